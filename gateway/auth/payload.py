"""What x-amz-content-sha256 says about a body: its hash, nothing, or that it comes in frames.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-auth-using-authorization-header.html
"""

import hmac
import re
from collections.abc import Mapping
from typing import Final

from gateway.auth.chunked import MOST_TRAILERS, Chain, Decoder, decode
from gateway.errors import (
    InvalidArgument,
    InvalidRequest,
    MissingContentLength,
    NotImplementedByGateway,
    XAmzContentSHA256Mismatch,
)
from gateway.message import Call
from gateway.sigv4 import EMPTY_SHA256, UNSIGNED
from gateway.storage import Body

HEADER: Final = "x-amz-content-sha256"
SIGNED_FRAMES: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_FRAMES_AND_TRAILERS: Final = f"{SIGNED_FRAMES}-TRAILER"
UNSIGNED_FRAMES: Final = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
SIGNED: Final = frozenset((SIGNED_FRAMES, SIGNED_FRAMES_AND_TRAILERS))

_FRAMES: Final = SIGNED | {UNSIGNED_FRAMES}
_ASYMMETRIC: Final = ("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER")
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_SIZE: Final = re.compile(r"[0-9]{1,18}")


def check(declared: str) -> None:
    """Refuse what x-amz-content-sha256 must not be. Raises: InvalidArgument, NotImplementedByGateway."""
    if declared in _ASYMMETRIC:
        raise NotImplementedByGateway("SigV4A is not implemented.", Header=HEADER)
    if declared != UNSIGNED and declared not in _FRAMES and not _SHA256.fullmatch(declared):
        raise InvalidArgument(
            f"{HEADER} must be {UNSIGNED}, {UNSIGNED_FRAMES}, {SIGNED_FRAMES}, {SIGNED_FRAMES_AND_TRAILERS}, "
            f"{_ASYMMETRIC[0]}, {_ASYMMETRIC[1]} or a valid sha256 value.",
            ArgumentName=HEADER,
            ArgumentValue=declared,
        )


def declared(headers: Mapping[str, str], sent: str = "") -> str:
    """Return how the body comes, where neither a header nor what was `sent` else need say it. Raises as `check`.

    An announced trailer needs frames around the body: botocore sends such over TLS with unsigned requests, and does
    not say it.
    """
    said = sent or headers.get(HEADER) or (UNSIGNED_FRAMES if "x-amz-trailer" in headers else UNSIGNED)
    check(said)
    return said


def expect(call: Call, declared: str, headers: Mapping[str, str], chain: Chain | None) -> None:
    """Make `call.body` yield the object's bytes, and fail if they are not the declared ones.

    `declared` has passed `check`. Raises: MissingContentLength, InvalidArgument, InvalidRequest,
    XAmzContentSHA256Mismatch where there is no body to wait for.
    """
    if declared == UNSIGNED:
        return
    if declared in _FRAMES:
        call.body = _decoded(call.body, declared, headers, chain)
    elif call.body.size == 0:
        _compare(declared, EMPTY_SHA256)
    elif declared.lower() == EMPTY_SHA256:
        _expect_nothing(call.body, declared)
    else:
        _expect_hash(call.body, declared)


def _expect_nothing(body: Body, declared: str) -> None:
    """Spare the hashing: most requests without a body do not say that there is none."""

    def check_received() -> None:
        if body.received:
            raise XAmzContentSHA256Mismatch(ClientComputedContentSHA256=declared)

    body.check(check_received)


def _expect_hash(body: Body, declared: str) -> None:
    body.digest.want("SHA256")
    body.check(lambda: _compare(declared, body.digest["SHA256"].hex()))


def _compare(declared: str, computed: str) -> None:
    if not hmac.compare_digest(declared.lower().encode(), computed.encode()):
        raise XAmzContentSHA256Mismatch(ClientComputedContentSHA256=declared, S3ComputedContentSHA256=computed)


def _decoded(encoded: Body, declared: str, headers: Mapping[str, str], chain: Chain | None) -> Body:
    if declared == UNSIGNED_FRAMES:
        chain = None
    elif chain is None:
        raise InvalidRequest("Chunks can be signed with AWS4-HMAC-SHA256 only.")
    size = _decoded_size(headers)
    if size is None and (chain or encoded.size is not None):
        raise MissingContentLength
    trailers: dict[str, str] = {}
    body = Body(decode(encoded.raw, Decoder(chain, _announced(declared, headers)), trailers), size, limit=encoded.limit)
    body.trailers = trailers
    return body


def _decoded_size(headers: Mapping[str, str]) -> int | None:
    name = "x-amz-decoded-content-length"
    text = headers.get(name)
    if text is None:
        return None
    if not _SIZE.fullmatch(text):
        raise InvalidArgument(f"{name} must be a number of bytes", ArgumentName=name, ArgumentValue=text)
    return int(text)


def _announced(declared: str, headers: Mapping[str, str]) -> frozenset[str]:
    names = [name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",")]
    announced = frozenset(name for name in names if name)
    supported = all(name.startswith("x-amz-checksum-") for name in announced)
    if not supported or len(announced) > MOST_TRAILERS or (announced and declared == SIGNED_FRAMES):
        raise InvalidRequest("The value specified in the x-amz-trailer header is not supported")
    return announced
