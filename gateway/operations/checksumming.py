"""Checksums on the wire: what a request promises of its body, and what answers tell of an object.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

import re
from base64 import b64encode
from hmac import compare_digest
from typing import Final, NamedTuple

from gateway.checksums import ALGORITHMS, DEFAULT, MD5, Checksum, decode
from gateway.errors import BadDigest, InvalidDigest, InvalidRequest, MalformedTrailerError
from gateway.message import Call
from gateway.storage import Body

PREFIX: Final = "x-amz-checksum-"
ALGORITHM: Final = "x-amz-checksum-algorithm"
SDK_ALGORITHM: Final = "x-amz-sdk-checksum-algorithm"
TRAILER: Final = "x-amz-trailer"
TYPE: Final = "x-amz-checksum-type"
_COMPOSITE: Final = {"COMPOSITE": True, "FULL_OBJECT": False}
_ABOUT: Final = frozenset({TYPE, f"{PREFIX}mode", ALGORITHM})  # under the same prefix, but no values
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_TOO_MANY: Final = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
_UNKNOWN: Final = "The algorithm type you specified in x-amz-checksum- header is invalid."
_WITHOUT_VALUE: Final = (
    "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found."
)


class Declared(NamedTuple):
    """A checksum that the sender announced; without a value it comes as a trailer."""

    algorithm: str
    value: str | None


def verify_body(call: Call) -> str | None:
    """Have the body compared with its Content-MD5 and its checksum; return the algorithm of the latter.

    Raises: InvalidDigest, InvalidRequest, BadDigest for what is wrong without looking at the body.
    """
    verify_md5(call)
    said = declared(call)
    if said is None:
        return None
    if said.value is None:
        _expect_trailer(call.body, said.algorithm)
    else:
        _expect(call.body, said.algorithm, _digest(said.algorithm, said.value))
    return said.algorithm


def verify_md5(call: Call) -> None:
    """Have the body compared with its Content-MD5, if there is one. Raises: InvalidDigest, BadDigest."""
    if "content-md5" not in call.headers:
        return
    value, body = call.headers["content-md5"], call.body
    wanted = decode(MD5, value)
    if wanted is None:
        raise InvalidDigest(**{"Content-MD5": value})
    body.digest.want(MD5)
    body.declared[MD5] = wanted

    def check() -> None:
        computed = body.digest[MD5]
        if not compare_digest(computed, wanted):
            raise BadDigest(ExpectedDigest=wanted.hex(), CalculatedDigest=b64encode(computed).decode())

    body.check(check)


def declared(call: Call) -> Declared | None:
    """Return the one checksum that headers announce. Raises InvalidRequest where they contradict each other."""
    values = [name for name in call.headers.names() if name.startswith(PREFIX) and name not in _ABOUT]
    trailer = call.headers.get(TRAILER)
    sdk = call.headers.get(SDK_ALGORITHM).upper()
    if sdk:
        algorithm_named(sdk)
    if not values and not trailer:
        if sdk:
            raise InvalidRequest(_WITHOUT_VALUE)
        return None
    if len(values) + bool(trailer) > 1:
        raise InvalidRequest(_TOO_MANY)
    said = _of_header(values[0], call.headers[values[0]]) if values else Declared(_of_trailer(trailer), None)
    if sdk and sdk != said.algorithm:
        raise InvalidRequest(f"Value for {SDK_ALGORITHM} header is invalid.")
    return said


def expect_algorithm(body: Body, algorithm: str) -> None:
    """Refuse the body of a part if the storage keeps another checksum of it than this: that of the upload.

    Where the upload has the algorithm of those that name none, any will do, as SDKs send one with every part.
    Raises InvalidRequest from the body, before anything is stored.
    """

    def check() -> None:
        if body.kept not in {"", DEFAULT, algorithm}:
            raise InvalidRequest(
                f"Checksum Type mismatch occurred, expected checksum Type: {body.kept.lower()}, "
                f"actual checksum Type: {algorithm.lower()}"
            )

    body.check(check)


def declared_whole(call: Call) -> Checksum | None:
    """Return the checksum that a CompleteMultipartUpload announces: of the object, not of the body."""
    said = declared(call)
    if said is None or said.value is None:
        return None
    value, dash, count = said.value.partition("-")
    _digest(said.algorithm, value)
    if dash and not (count.isascii() and count.isdigit()):
        raise _invalid(said.algorithm)
    return Checksum(said.algorithm, said.value, composite=bool(dash))


def type_wanted(call: Call) -> bool | None:
    """Return whether a checksum of checksums is asked for, None where nothing is. Raises InvalidRequest."""
    name = call.headers.get(TYPE).upper()
    if name and name not in _COMPOSITE:
        raise InvalidRequest(f"Value for {TYPE} header is invalid.")
    return _COMPOSITE.get(name)


def type_name(composite: bool) -> str:  # noqa: FBT001 - the two types of S3, by the flag that stands for them
    """Return S3's word for a type of checksum."""
    return "COMPOSITE" if composite else "FULL_OBJECT"


def algorithm_named(name: str) -> str:
    """Return the algorithm of that name in any case. Raises InvalidRequest for one that is not served."""
    if name.upper() not in ALGORITHMS:
        valid = ", ".join(sorted(ALGORITHMS))
        raise InvalidRequest(
            f"Checksum algorithm provided is unsupported. Please try again with any of the valid types: [{valid}]"
        )
    return name.upper()


def header_of(checksum: Checksum | None) -> dict[str, str]:
    """Return the header that carries a checksum, without its type."""
    return {checksum.header: checksum.value} if checksum else {}


def headers_of(checksum: Checksum | None) -> dict[str, str]:
    """Return the headers that carry a checksum and its type."""
    return {checksum.header: checksum.value, TYPE: checksum.type} if checksum else {}


def element_of(checksum: Checksum | None) -> dict[str, str]:
    """Return the XML element that carries a checksum, without its type."""
    return {ALGORITHMS[checksum.algorithm].element: checksum.value} if checksum else {}


def elements_of(checksum: Checksum | None) -> dict[str, str]:
    """Return the XML elements that carry a checksum and its type."""
    return {**element_of(checksum), "ChecksumType": checksum.type} if checksum else {}


def _of_header(name: str, value: str) -> Declared:
    algorithm = name.removeprefix(PREFIX).upper()
    if algorithm not in ALGORITHMS:
        raise InvalidRequest(_UNKNOWN)
    return Declared(algorithm, value)


def _of_trailer(names: str) -> str:
    name = names.strip().lower()
    algorithm = name.removeprefix(PREFIX).upper()
    if not name.startswith(PREFIX) or algorithm not in ALGORITHMS:
        raise InvalidRequest("The value specified in the x-amz-trailer header is not supported")
    return algorithm


def _digest(algorithm: str, value: str) -> bytes:
    """Decode a value. What is base64, but of another length, can only be a digest that does not match."""
    digest = decode(algorithm, value)
    if digest is not None:
        return digest
    raise _mismatch(algorithm) if _BASE64.fullmatch(value) else _invalid(algorithm)


def _expect(body: Body, algorithm: str, wanted: bytes) -> None:
    body.digest.want(algorithm)
    body.declared[algorithm] = wanted

    def check() -> None:
        if not compare_digest(body.digest[algorithm], wanted):
            raise _mismatch(algorithm)

    body.check(check)


def _expect_trailer(body: Body, algorithm: str) -> None:
    body.digest.want(algorithm)
    name = ALGORITHMS[algorithm].header

    def check() -> None:
        value = body.trailers.get(name)
        if value is None:
            raise MalformedTrailerError
        wanted = decode(algorithm, value)
        if wanted is None:
            raise InvalidRequest(f"Value for {name} trailing header is invalid.")
        if not compare_digest(body.digest[algorithm], wanted):
            raise _mismatch(algorithm)

    body.check(check)


def _mismatch(algorithm: str) -> BadDigest:
    return BadDigest(f"The {algorithm} you specified did not match the calculated checksum.")


def _invalid(algorithm: str) -> InvalidRequest:
    return InvalidRequest(f"Value for {ALGORITHMS[algorithm].header} header is invalid.")
