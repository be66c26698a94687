"""How the checksum of a body gets to the server, and whether what it stored is what was sent."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Final, NamedTuple

import structlog

from gateway.backends.dialects import Dialect
from gateway.backends.s3.described import checksum_of, etag_of, own_checksum
from gateway.backends.s3.feed import Feed
from gateway.checksums import ALGORITHMS, MD5, Checksum
from gateway.errors import InternalError
from gateway.storage import Body

ENCRYPTED: Final = "x-amz-server-side-encryption"  # by a key of KMS: the ETag is no MD5 then
FRAMED: Final = "aws-chunked"
SDK_ALGORITHM: Final = "x-amz-sdk-checksum-algorithm"
_CUSTOMER_KEY: Final = "x-amz-server-side-encryption-customer-algorithm"

log = structlog.get_logger()


class Plan(NamedTuple):
    """What travels with which headers; `keeps`: the server will know the checksum."""

    body: bytes | Feed
    headers: dict[str, str]
    keeps: bool


def plan_object(body: Body, data: bytes | None, algorithm: str, dialect: Dialect) -> Plan:
    """Decide how an object travels, whose bytes are `data` if they were read already.

    A checksum that is known before goes into a header, or into the metadata where the server keeps none. Else the
    server computes the same by itself, or it goes behind the body, or it is not kept.
    """
    known = _known(body, data, algorithm)
    if known and algorithm not in dialect.checksums:
        return Plan(Feed(body) if data is None else data, _sent(body, data) | own_checksum(known), keeps=True)
    if known is None and algorithm == dialect.default_checksum:
        return Plan(Feed(body), _sent(body, data), keeps=True)
    return plan_part(body, data, algorithm, dialect)


def plan_part(body: Body, data: bytes | None, algorithm: str, dialect: Dialect) -> Plan:
    """As `plan_object` for a part, beside which nothing can be kept but what the server knows."""
    sent = Feed(body) if data is None else data
    if algorithm not in dialect.checksums:
        return Plan(sent, _sent(body, data), keeps=False)
    known = _known(body, data, algorithm)
    if known:
        said = {known.header: known.value, SDK_ALGORITHM: algorithm}
        return Plan(sent, _sent(body, data) | said, keeps=True)
    if dialect.trailers:
        return Plan(Feed(body, algorithm), _md5(body) | _trailer(body, algorithm), keeps=True)
    return Plan(sent, _sent(body, data), keeps=False)


def check_stored(body: Body, headers: Mapping[str, str], dialect: Dialect, name: str) -> str:
    """Return the ETag of what was stored. Raises InternalError if it is not what was sent.

    The object is stored then, wrong as it is: to delete it could delete another one that came after it.
    """
    etag = etag_of(headers)
    encrypted = headers.get(ENCRYPTED, "AES256") != "AES256" or _CUSTOMER_KEY in headers
    told = checksum_of(headers)
    wrong_etag = dialect.etag_is_md5 and not encrypted and etag != body.digest[MD5].hex()
    wrong_checksum = (
        told is not None
        and not told.composite
        and told.algorithm in body.digest.algorithms
        and body.digest.checksum(told.algorithm) != told
    )
    if wrong_etag or wrong_checksum:
        log.error("backend_stored_other_bytes", backend=name, etag=etag, sent=body.digest[MD5].hex())
        raise InternalError("The storage has stored other bytes than it was sent.")
    return etag


def _known(body: Body, data: bytes | None, algorithm: str) -> Checksum | None:
    if data is not None:
        return body.digest.checksum(algorithm)
    declared = body.declared.get(algorithm)
    return Checksum.of(algorithm, declared) if declared is not None else None


def _sent(body: Body, data: bytes | None) -> dict[str, str]:
    return _md5(body) | {"content-length": str(body.size if data is None else len(data))}


def _md5(body: Body) -> dict[str, str]:
    declared = body.declared.get(MD5)
    return {"content-md5": b64encode(declared).decode()} if declared is not None else {}


def _trailer(body: Body, algorithm: str) -> dict[str, str]:
    return {
        "x-amz-trailer": ALGORITHMS[algorithm].header,
        "x-amz-decoded-content-length": str(body.size),
        SDK_ALGORITHM: algorithm,
        "content-encoding": FRAMED,
    }


def merged(headers: Mapping[str, str], plan: Plan) -> dict[str, str]:
    """Return what is said of an object and of its way together: framing is an encoding before the object's own."""
    together = {**headers, **plan.headers}
    if plan.headers.get("content-encoding") == FRAMED and "content-encoding" in headers:
        together["content-encoding"] = f"{FRAMED},{headers['content-encoding']}"
    return together
