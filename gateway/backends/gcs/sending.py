"""Bodies on their way to the storage: in one request where the length is known, else step by step.

https://cloud.google.com/storage/docs/uploads-downloads
"""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from secrets import token_hex
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from aiohttp import ClientConnectionError, ClientResponse

from gateway.backends.gcs.client import UPLOAD, Client, Patience, Request
from gateway.backends.gcs.names import bucket_path
from gateway.backends.gcs.resources import FIELDS, Identity, identified
from gateway.checksums import ALGORITHMS, MD5, Checksum
from gateway.errors import InternalError, S3Error, ServiceUnavailable
from gateway.storage import Address, Body

CRC32C: Final = "CRC32C"
_CHECKED: Final[Mapping[str, str]] = MappingProxyType({MD5: "md5Hash", CRC32C: "crc32c"})
_Answer = TypeVar("_Answer")


class Draft(NamedTuple):
    """An object that is to be written: what stands beside its bytes, its checksum's algorithm, over which version.

    `over` is the generation that must be there, "0" for none, "" for any.
    """

    at: Address
    resource: Mapping[str, Any]
    algorithm: str
    over: str = ""

    def request(self, kind: str, headers: Mapping[str, str], *, name: str = "") -> Request:
        """Return the request that begins the upload."""
        query = {"uploadType": kind, "fields": FIELDS} | ({"name": name} if name else {})
        if self.over:
            query["ifGenerationMatch"] = self.over
        return Request("POST", f"{UPLOAD}{bucket_path(self.at.bucket)}/o", self.at, query, headers=headers)

    def identified(self, crc32c: str, checksum: Checksum) -> Mapping[str, Any]:
        """Return the resource with all that is to be known, and to be checked; a CRC32C the storage knows by itself."""
        known = self.algorithm == CRC32C
        resource = self.resource if known else identified(self.resource, Identity(crc32c, checksum=checksum))
        return {**resource, "crc32c": crc32c}


class Tracked:
    """A body and its CRC32C, by which the storage and we understand each other.

    It is not asked of the digest of the body: only the algorithm that clients are told is asked of that.
    """

    def __init__(self, body: Body, algorithm: str) -> None:
        self.body, self._algorithm = body, algorithm
        self._crc = ALGORITHMS[CRC32C].new()
        body.digest.want(algorithm)

    @property
    def crc32c(self) -> str:
        """As the storage writes it."""
        return Checksum.of(CRC32C, self._crc.digest()).value

    @property
    def checksum(self) -> Checksum:
        """What clients are told."""
        return self.body.digest.checksum(self._algorithm)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self.body:
            self._crc.update(piece)
            yield piece


class Whole:
    """A body that is small enough to be kept, so that it can be described before it is sent, and sent again."""

    def __init__(self, tracked: Tracked, data: bytes | None = None) -> None:
        self.tracked, self._data = tracked, data

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return len(self._data) if self._data is not None else self.tracked.body.size or 0

    async def data(self) -> bytes:
        """Return its bytes; they are not asked for before there is a connection to send them on."""
        if self._data is None:
            self._data = b"".join([piece async for piece in self.tracked])
        return self._data


async def send_whole(client: Client, draft: Draft, whole: Whole) -> dict[str, Any]:
    """Store a small object with all that is to be known of it, in one request; return its resource."""
    frame = _Frame(draft)

    async def pieces() -> AsyncIterator[bytes]:
        data = await whole.data()
        resource = draft.identified(whole.tracked.crc32c, whole.tracked.checksum)
        yield frame.head(resource) + data + frame.tail

    as_long = draft.identified(_nothing(CRC32C).value, _nothing(draft.algorithm))
    return await _post(client, frame.request(as_long, whole.size), pieces())


def _nothing(algorithm: str) -> Checksum:
    return Checksum.of(algorithm, bytes(ALGORITHMS[algorithm].width))


async def send_stream(client: Client, draft: Draft, tracked: Tracked, size: int) -> dict[str, Any]:
    """Store an object of any known size in one request, but for what only its end tells; return its resource."""
    frame = _Frame(draft)
    resource = {**draft.resource, **_declared(tracked.body)}

    async def pieces() -> AsyncIterator[bytes]:
        yield frame.head(resource)
        async for piece in tracked:
            yield piece
        yield frame.tail

    return await _post(client, frame.request(resource, size), pieces())


def _declared(body: Body) -> Mapping[str, str]:
    """Return the hashes that the sender told beforehand, for the storage to check as well."""
    return {
        field: b64encode(body.declared[algorithm]).decode()
        for algorithm, field in _CHECKED.items()
        if algorithm in body.declared
    }


class _Frame:
    """Metadata and bytes in one body. https://cloud.google.com/storage/docs/uploading-objects#rest-upload-objects."""

    def __init__(self, draft: Draft) -> None:
        self._draft, self._boundary = draft, token_hex(16)
        self.tail = f"\r\n--{self._boundary}--\r\n".encode()

    def head(self, resource: Mapping[str, Any]) -> bytes:
        described = json.dumps({**resource, "name": self._draft.at.key}, ensure_ascii=False)
        return (
            f"--{self._boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{described}\r\n"
            f"--{self._boundary}\r\nContent-Type: {_type_of(resource)}\r\n\r\n"
        ).encode()

    def request(self, resource: Mapping[str, Any], size: int) -> Request:
        headers = {
            "Content-Type": f"multipart/related; boundary={self._boundary}",
            "Content-Length": str(len(self.head(resource)) + size + len(self.tail)),
        }
        return self._draft.request("multipart", headers)


def _type_of(resource: Mapping[str, Any]) -> str:
    """Return the type of the framed bytes, where the resource names none that could stand in a header."""
    named = str(resource.get("contentType", ""))
    return named if named.isascii() and named.isprintable() and named else "application/octet-stream"


async def _post(client: Client, request: Request, pieces: AsyncIterator[bytes]) -> dict[str, Any]:
    return await send(client, request, pieces, partial(client.document, request))


async def send(
    client: Client,
    request: Request,
    pieces: AsyncIterator[bytes],
    read: Callable[[ClientResponse], Awaitable[_Answer]],
) -> _Answer:
    """Send pieces, with an eye on how long the storage takes for each; return what is read from the answer.

    What the pieces raise is raised here, and the storage then has got less than it was told to expect.
    """
    outgoing = _Outgoing(pieces, client.patience)
    try:
        async with asyncio.timeout(None) as outgoing.deadline, await client.respond(request, outgoing) as response:
            return await read(response)
    except TimeoutError as error:
        unsure = outgoing.ended and not request.repeatable
        raise (InternalError if unsure else ServiceUnavailable) from error
    except S3Error:
        if outgoing.failure:
            raise outgoing.failure from None
        raise
    finally:
        await outgoing.idle.wait()  # nobody but us may read on in the body


class _Outgoing:
    """The pieces as aiohttp takes them, with an end to its patience, which does not watch what it sends."""

    def __init__(self, pieces: AsyncIterator[bytes], patience: Patience) -> None:
        self.deadline: asyncio.Timeout
        self.failure: Exception | None = None
        self.ended = self._begun = False
        self.idle = asyncio.Event()
        self.idle.set()
        self._pieces, self._patience = pieces, patience

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self._begun:
            raise ClientConnectionError  # a repetition beneath us: what was taken cannot be had again
        self._begun = True
        return self

    async def __anext__(self) -> bytes:
        self.idle.clear()
        self._expect(None)  # it is the client's turn, and its patience is watched elsewhere
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            self.ended = True
            self._expect(self._patience.answer)
            raise
        except Exception as error:
            self.failure = error
            raise
        finally:
            self.idle.set()
        self._expect(self._patience.stall)
        return piece

    def _expect(self, seconds: float | None) -> None:
        if not self.deadline.expired():
            self.deadline.reschedule(None if seconds is None else asyncio.get_running_loop().time() + seconds)
