"""What stands beside the bytes of an object, as headers of a request and of an answer."""

import json
import re
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache
from typing import Final

from gateway.backends.dialects import Dialect
from gateway.checksums import ALGORITHMS, Checksum
from gateway.conditions import Conditions
from gateway.errors import InternalError, InvalidArgument, NotImplementedByGateway
from gateway.storage import ObjectInfo, WriteOptions

METADATA: Final = "x-amz-meta-"
LABELS: Final = "gw-labels"  # base64url of a JSON object
CHECKSUM: Final = "gw-checksum"  # algorithm and value, where the server keeps none
MODIFIED: Final = "gw-modified"  # of an object whose labels were changed, which S3 can only do by copying it
CHECKSUM_TYPE: Final = "x-amz-checksum-type"
COMPOSITE: Final = "COMPOSITE"
OWN: Final = frozenset({LABELS, CHECKSUM, MODIFIED})
REDIRECT: Final = "x-amz-website-redirect-location"
STORED: Final = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    REDIRECT,
)
UNTYPED: Final = "binary/octet-stream"  # what S3 says of an object whose sender named no type
UNKNOWN: Final = datetime.fromtimestamp(0, UTC)
_CHECKSUMS: Final = {algorithm.header: algorithm.name for algorithm in ALGORITHMS.values()}
_ENCODED: Final = re.compile(r"=\?utf-8\?[bq]\?[^?]*\?=", re.IGNORECASE)


def headers_of(options: WriteOptions, dialect: Dialect) -> dict[str, str]:
    """Return the headers that store what is said beside the bytes, checksum and conditions apart.

    Raises: InvalidArgument (metadata under a name of our own), NotImplementedByGateway.
    """
    if REDIRECT in options.headers and not dialect.redirects:
        raise NotImplementedByGateway(Header=REDIRECT)
    headers = dict(options.headers)
    for name, value in options.metadata.items():
        if name in OWN:
            raise InvalidArgument("This name of metadata is the gateway's own.", ArgumentName=METADATA + name)
        headers[METADATA + name] = _mail_safe(value)
    if options.labels:
        headers[METADATA + LABELS] = urlsafe_b64encode(json.dumps(dict(options.labels)).encode()).decode()
    return headers


def condition_headers(conditions: Conditions) -> dict[str, str]:
    """Return the headers of a read under conditions."""
    headers = {}
    if conditions.if_match:
        headers["if-match"] = _tags(conditions.if_match)
    if conditions.if_none_match:
        headers["if-none-match"] = _tags(conditions.if_none_match)
    if conditions.if_modified_since:
        headers["if-modified-since"] = format_datetime(conditions.if_modified_since, usegmt=True)
    if conditions.if_unmodified_since:
        headers["if-unmodified-since"] = format_datetime(conditions.if_unmodified_since, usegmt=True)
    return headers


def write_conditions(conditions: Conditions, dialect: Dialect) -> dict[str, str]:
    """Return the headers of a write under conditions. Raises NotImplementedByGateway for what the server lacks.

    What it lacks is not emulated: between a look and the write another write may come.
    """
    headers = condition_headers(conditions)
    for name in headers:
        if name not in dialect.write_conditions:
            raise lacking(dialect, name)
    if not dialect.matches_absent_etag and headers.get("if-none-match", "*") != "*":
        raise lacking(dialect, "if-none-match")
    if not dialect.etag_lists:
        for name, etags in (("if-match", conditions.if_match), ("if-none-match", conditions.if_none_match)):
            if len(etags) > 1:
                raise lacking(dialect, name)
    if dialect.bare_etags:
        return {name: value.strip('"') for name, value in headers.items()}
    return headers


def completion_conditions(conditions: Conditions, dialect: Dialect) -> dict[str, str]:
    """As `write_conditions` for what is written in parts: some servers drop them there."""
    headers = write_conditions(conditions, dialect)
    for name in headers if not dialect.completion_conditions else ():
        raise lacking(dialect, name)
    return headers


def lacking(dialect: Dialect, header: str) -> NotImplementedByGateway:
    """Return the refusal of what a server does not know."""
    return NotImplementedByGateway(f"The storage behind this bucket ({dialect.name}) cannot do this.", Header=header)


def info_of(key: str, headers: Mapping[str, str], size: int, *, whole: bool) -> ObjectInfo:
    """Return what the headers of an answer tell of an object; the checksum only if they are about the `whole`."""
    metadata = _metadata(headers)
    own = {name: metadata.pop(name) for name in OWN if name in metadata} if metadata else {}
    etag = etag_of(headers)
    return ObjectInfo(
        key,
        size,
        etag,
        _moment(own[MODIFIED]) if MODIFIED in own else modified(headers, "last-modified"),
        headers=told({name: headers[name] for name in STORED if name in headers}),
        metadata=metadata,
        labels=_labels(own.get(LABELS, "")),
        checksum=(checksum_of(headers) or _own_checksum(own.get(CHECKSUM, ""))) if whole else None,
        part_count=part_count(etag),
    )


def told(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of an object without a type that only says that there is none."""
    return {name: value for name, value in headers.items() if (name, value) != ("content-type", UNTYPED)}


def etag_of(headers: Mapping[str, str]) -> str:
    """Return the ETag of an answer without quotes. Raises InternalError where it has none."""
    if "etag" not in headers:
        raise InternalError
    return headers["etag"].removeprefix("W/").strip('"')


def part_count(etag: str) -> int:
    """Return of how many parts an object was made, which its ETag tells; 0 if it was put at once."""
    count = etag.rpartition("-")[2] if "-" in etag else ""
    return int(count) if count.isascii() and count.isdigit() else 0


def checksum_of(headers: Mapping[str, str]) -> Checksum | None:
    """Return the checksum that an answer tells."""
    for header, algorithm in _CHECKSUMS.items():
        if value := headers.get(header):
            return Checksum(algorithm, value, composite="-" in value)
    return None


def own_checksum(checksum: Checksum) -> dict[str, str]:
    """Return the metadata that keeps a checksum where the server does not."""
    return {METADATA + CHECKSUM: f"{checksum.algorithm}:{checksum.value}"}


def own_time(moment: datetime) -> dict[str, str]:
    """Return the metadata that keeps the time of an object that is copied onto itself."""
    return {METADATA + MODIFIED: moment.isoformat(timespec="seconds")}


def modified(headers: Mapping[str, str], name: str) -> datetime:
    """Return the time that a header tells."""
    return _http_date(headers.get(name, ""))


def _tags(etags: Sequence[str]) -> str:
    return ", ".join(etag if etag == "*" else f'"{etag}"' for etag in etags)


def _metadata(headers: Mapping[str, str]) -> dict[str, str]:
    return {name[len(METADATA) :]: _decoded(headers[name]) for name in headers if name.startswith(METADATA)}


def _mail_safe(value: str) -> str:
    """Write metadata as a header: by RFC 2047 where it would not pass as it stands, as S3 does.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html#UserMetadata
    """
    if value.isascii() and value.isprintable() and value == value.strip():
        return value
    return f"=?UTF-8?B?{b64encode(value.encode()).decode()}?="


def _decoded(value: str) -> str:
    if not _ENCODED.fullmatch(value):
        return value
    try:
        return "".join(
            text.decode(charset or "ascii") if isinstance(text, bytes) else text
            for text, charset in decode_header(value)
        )
    except (HeaderParseError, UnicodeDecodeError, LookupError):
        return value


def _labels(value: str) -> dict[str, str]:
    if not value:
        return {}
    try:
        found = json.loads(urlsafe_b64decode(value))
    except (ValueError, Base64Error) as error:
        raise InternalError from error  # labels tell who may read: without them nobody may
    return {str(name): str(content) for name, content in found.items()} if isinstance(found, dict) else {}


def _own_checksum(value: str) -> Checksum | None:
    algorithm, _, digest = value.partition(":")
    return Checksum(algorithm, digest, composite="-" in digest) if algorithm in ALGORITHMS else None


def _moment(value: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return UNKNOWN


@lru_cache(maxsize=4096)
def _http_date(value: str) -> datetime:
    try:
        return parsedate_to_datetime(value).astimezone(UTC)
    except ValueError:
        return UNKNOWN
