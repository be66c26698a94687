"""Bodies in aws-chunked, as clients make them."""

import hashlib
from collections.abc import Mapping, Sequence

from gateway.auth.chunked import Chain
from gateway.sigv4 import Scope, signing_key
from tests.auth.calls import SECRET

SCOPE = Scope("20130524", "us-east-1")
KEY = signing_key(SECRET, SCOPE)
TIMESTAMP = "20130524T000000Z"
SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"


def chain(seed: str = SEED) -> Chain:
    return Chain(KEY, TIMESTAMP, SCOPE, seed)


def signed(pieces: Sequence[bytes], trailers: Mapping[str, str] | None = None, links: Chain | None = None) -> bytes:
    links = links or chain()
    sent = bytearray()
    for piece in (*pieces, b""):
        signature = links.chunk(hashlib.sha256(piece).hexdigest())
        sent += f"{len(piece):x};chunk-signature={signature}\r\n".encode() + piece + (b"\r\n" if piece else b"")
    if trailers is not None:
        lines = "".join(f"{name}:{value}\n" for name, value in sorted(trailers.items()))
        sent += lines.replace("\n", "\r\n").encode()
        sent += f"x-amz-trailer-signature:{links.trailers(lines)}\r\n".encode()
    return bytes(sent + b"\r\n")


def unsigned(pieces: Sequence[bytes], trailers: Mapping[str, str] | None = None) -> bytes:
    sent = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces) + b"0\r\n"
    return sent + b"".join(f"{name}:{value}\r\n".encode() for name, value in (trailers or {}).items()) + b"\r\n"
