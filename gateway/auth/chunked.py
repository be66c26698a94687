"""Bodies in the aws-chunked encoding: frames with a size, a signature each where they are signed, and trailers.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
"""

import hashlib
import hmac
import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection
from typing import Final, Protocol

from gateway.errors import IncompleteBody, InvalidChunkSizeError, MalformedTrailerError, S3Error, SignatureDoesNotMatch
from gateway.hashing import Errand
from gateway.sigv4 import EMPTY_SHA256, Scope, octets, signature
from gateway.storage import SMALL

LONGEST_HEADER: Final = 128  # 16 digits, ";chunk-signature=" and 64 more fill 97
LARGEST_SIGNED: Final = 16 * 1024 * 1024  # a signed chunk is held until its signature is checked
SMALLEST: Final = 8192  # S3 takes smaller chunks only at the end
LONGEST_TRAILERS: Final = 8192
MOST_TRAILERS: Final = 16

_SIGNED_HEADER: Final = re.compile(rb"([0-9a-fA-F]{1,16});chunk-signature=([0-9a-f]{64})")
_UNSIGNED_HEADER: Final = re.compile(rb"([0-9a-fA-F]{1,16})")
_TRAILER: Final = re.compile(r"([a-z0-9-]{1,128}):([\t\x20-\x7e]{0,1024})", re.IGNORECASE)
_SIGNATURE: Final = "x-amz-trailer-signature"


Step = Callable[["Decoder", bytes, int, list[bytes]], int]


class Digest(Protocol):
    """A running hash."""

    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class Chain:
    """The signatures of a body, each made over the one before it; the first is that of the request."""

    def __init__(self, key: bytes, timestamp: str, scope: Scope, seed: str) -> None:
        self._key, self._moment, self._previous = key, f"{timestamp}\n{scope}", seed

    def chunk(self, digest: str) -> str:
        """Return the signature of the next chunk, by the SHA256 of its data."""
        return self._next(f"AWS4-HMAC-SHA256-PAYLOAD\n{self._moment}\n{self._previous}\n{EMPTY_SHA256}\n{digest}")

    def trailers(self, lines: str) -> str:
        """Return the signature of the trailers, written as `name:value` and a line feed each."""
        digest = hashlib.sha256(octets(lines)).hexdigest()
        return self._next(f"AWS4-HMAC-SHA256-TRAILER\n{self._moment}\n{self._previous}\n{digest}")

    def _next(self, text: str) -> str:
        self._previous = signature(self._key, text)
        return self._previous


class Decoder:
    """Takes the frames off a body that is fed to it piece by piece.

    What `feed` returns may be passed on at once: a signed chunk is returned when its signature is known to be right.
    `announced` are the names of the trailers, lower case, which must come then, and no others; `finish` returns
    them. Without a `chain` nothing is signed. Raises: IncompleteBody where the framing is broken or cut,
    InvalidChunkSizeError, SignatureDoesNotMatch, MalformedTrailerError.
    """

    def __init__(self, chain: Chain | None = None, announced: Collection[str] = ()) -> None:
        self._chain = chain
        self._announced = announced
        self._step: Step = Decoder._header  # unbound: a cycle would keep what is held until the collector comes
        self._line = b""  # of a header or a trailer, as far as it came
        self._left = 0  # of the chunk
        self._last, self._count = SMALLEST, 0
        self._claimed = ""
        self._digest: Digest = hashlib.sha256()
        self._held: list[bytes] = []
        self._trailers: dict[str, str] = {}
        self._trailer_bytes = 0

    @property
    def signed(self) -> bool:
        """True where feeding costs hashing."""
        return self._chain is not None

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the body, return those of the object."""
        decoded: list[bytes] = []
        position = 0
        while position < len(data):
            position = self._step(self, data, position, decoded)
        return decoded

    def finish(self) -> dict[str, str]:
        """Say that the body is at its end, return the trailers."""
        if self._step is not Decoder._trailer or self._line:
            raise _cut()
        claimed = self._trailers.pop(_SIGNATURE, "")
        if self._trailers.keys() != set(self._announced):
            raise MalformedTrailerError
        if self._chain and self._trailers and claimed:
            lines = "".join(f"{name}:{value}\n" for name, value in sorted(self._trailers.items()))
            _compare(claimed, self._chain.trailers(lines))
        elif claimed or (self._chain and self._trailers):
            raise MalformedTrailerError
        return self._trailers

    def _header(self, data: bytes, position: int, _decoded: list[bytes]) -> int:
        line, position = self._read_line(data, position, LONGEST_HEADER)
        if line is None:
            return position
        match = (_SIGNED_HEADER if self._chain else _UNSIGNED_HEADER).fullmatch(line)
        if not match:
            raise _cut()
        self._left = int(match[1], 16)
        if self._chain:
            self._claimed = match[2].decode()
            self._digest = hashlib.sha256()
        self._check_size()
        if self._left:
            self._step = Decoder._data
        else:
            self._verify()
            self._step = Decoder._trailer
        return position

    def _data(self, data: bytes, position: int, decoded: list[bytes]) -> int:
        end = min(position + self._left, len(data))
        piece = data[position:end]
        self._left -= len(piece)
        if self._chain:
            self._digest.update(piece)
            self._held.append(piece)
        else:
            decoded.append(piece)
        if not self._left:
            self._verify()
            decoded += self._held
            self._held = []
            self._step = Decoder._gap
        return end

    def _gap(self, data: bytes, position: int, _decoded: list[bytes]) -> int:
        line, position = self._read_line(data, position, 0)
        if line is not None:
            self._step = Decoder._header
        return position

    def _trailer(self, data: bytes, position: int, _decoded: list[bytes]) -> int:
        """Read one line behind the last chunk. Blank ones end the trailers, or stand before their signature."""
        start = position
        line, position = self._read_line(data, position, LONGEST_TRAILERS, feed=b"\n")
        self._trailer_bytes += position - start
        if self._trailer_bytes > LONGEST_TRAILERS:
            raise MalformedTrailerError
        if line:
            match = _TRAILER.fullmatch(line.decode("latin-1"))
            name = match[1].lower() if match else ""
            if not match or name in self._trailers or len(self._trailers) == MOST_TRAILERS:
                raise MalformedTrailerError
            self._trailers[name] = match[2].strip(" \t")
        return position

    def _read_line(
        self, data: bytes, position: int, longest: int, *, feed: bytes = b"\r\n"
    ) -> tuple[bytes | None, int]:
        """Return a line that is complete (else None) and the position behind what was taken of it.

        Trailers end in a line feed alone with some clients (minio-go), chunk headers never do.
        """
        end = data.find(b"\n", position)
        stop = end + 1 if end >= 0 else len(data)
        line = data[position : min(stop, position + longest + 3)]
        if self._line:
            line = self._line + line
        if len(line) > longest + 2:
            raise _cut()
        if end < 0:
            self._line = line
            return None, stop
        self._line = b""
        if not line.endswith(feed):
            raise _cut()
        return line.removesuffix(b"\n").removesuffix(b"\r"), stop

    def _check_size(self) -> None:
        self._count += 1
        if self._left and self._last < SMALLEST:
            raise InvalidChunkSizeError(Chunk=str(self._count), BadChunkSize=str(self._last))
        if self._chain and self._left > LARGEST_SIGNED:
            raise InvalidChunkSizeError(
                f"A signed chunk must not be larger than {LARGEST_SIGNED} bytes",
                Chunk=str(self._count),
                BadChunkSize=str(self._left),
            )
        self._last = self._left

    def _verify(self) -> None:
        if self._chain:
            _compare(self._claimed, self._chain.chunk(self._digest.hexdigest()))


async def decode(chunks: AsyncIterable[bytes], decoder: Decoder, trailers: dict[str, str]) -> AsyncIterator[bytes]:
    """Yield the bytes of the object, then put what came behind them into `trailers`."""
    async for chunk in chunks:
        if decoder.signed and len(chunk) > SMALL:
            decoded = await Errand(decoder.feed, chunk).result()
        else:
            decoded = decoder.feed(chunk)
        del chunk
        decoded.reverse()
        while decoded:
            yield decoded.pop()  # so that none is held while the next chunk is waited for
    trailers.update(decoder.finish())


def _cut() -> S3Error:
    return IncompleteBody("The request body terminated unexpectedly")


def _compare(claimed: str, right: str) -> None:
    if not hmac.compare_digest(claimed.encode(), right.encode()):
        raise SignatureDoesNotMatch
