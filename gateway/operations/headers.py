"""HTTP headers to options of the storage, and what is known of an object to headers."""

import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from gateway.checksums import DEFAULT, Checksum
from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import EntityTooLarge, InvalidArgument, InvalidRequest, MissingContentLength
from gateway.message import Call
from gateway.operations import acl
from gateway.operations.checksumming import headers_of
from gateway.operations.metadata import METADATA, OCTETS, REDIRECT, STORED, mail_safe, stored_headers, user_metadata
from gateway.operations.service import Service
from gateway.storage import Address, ObjectInfo, ReadOptions, WriteOptions

PARTS: Final = 10_000
IMAGES: Final = "x-gateway-images"
BODY_LIMIT: Final = 5 * 1024**3  # of one request: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
_OVERRIDES: Final[Mapping[str, str]] = MappingProxyType(
    {f"response-{name}": written for name, written in STORED.items() if name != REDIRECT}
)
_WHOLE: Final = ReadOptions()
_RANGE: Final = re.compile(r"bytes=\s*(?:([0-9]+)\s*)?-\s*(?:([0-9]+)\s*)?", re.IGNORECASE)
_TAG: Final = re.compile(r'(?:W/)?"[^"]*"|[^\s,"]+')
_MANY_DIGITS: Final = 19
_CONDITIONS: Final = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
_DATES: Final = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")  # RFC 9110 §5.6.7


def read_options(call: Call) -> ReadOptions:
    """Return which bytes a GET or HEAD wants, and when.

    A range that is no single range of bytes is ignored, as S3 does; so is one beside If-Range, which RFC 9110 §14.2
    allows and which can never give bytes of two versions.
    Raises: InvalidArgument, InvalidRequest (part and range at once).
    """
    headers = call.headers
    asked = parse_range(headers["range"]) if "range" in headers and "if-range" not in headers else None
    number = call.query.get("partNumber")
    if number is not None and "range" in headers:
        raise InvalidRequest("Cannot specify both Range header and partNumber query parameter")
    when = conditions(call)
    if asked is None and number is None and when is ANY_STATE:
        return _WHOLE
    if number is None:
        return ReadOptions(asked, None, when)
    return ReadOptions(None, part_number(number), when, parts=wants_checksum(call) or call.method == "HEAD")


def parse_range(value: str) -> slice | None:
    """Return the slice that a Range names, or None if it is to be ignored. `bytes=-0` is a slice without bytes.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html#API_GetObject_RequestSyntax
    """
    found = _RANGE.fullmatch(value.strip())
    if not found or found[0].strip().endswith("=-"):
        return None
    first, last = found[1] or "", found[2] or ""
    if not first:
        return slice(-_offset(last), None) if _offset(last) else slice(0, 0)
    if not last:
        return slice(_offset(first), None)
    return slice(_offset(first), _offset(last) + 1) if _offset(first) <= _offset(last) else None


def part_number(value: str) -> int:
    """Return a part number from its parameter. Raises InvalidArgument."""
    number = int(value) if value.isascii() and value.isdigit() and len(value) <= len(str(PARTS)) else 0
    if not 1 <= number <= PARTS:
        raise InvalidArgument(
            f"Part number must be an integer between 1 and {PARTS}, inclusive",
            ArgumentName="partNumber",
            ArgumentValue=value,
        )
    return number


def conditions(call: Call, prefix: str = "") -> Conditions:
    """Return the conditions of a read; with `prefix` (x-amz-copy-source-) those on the source of a copy.

    Dates that are none are ignored (RFC 9110 §13.1.3), empty headers too.
    """
    headers = call.headers
    names = [f"{prefix}{name}" for name in _CONDITIONS] if prefix else _CONDITIONS
    if not headers.has_any(names):
        return ANY_STATE
    match, none_match, modified, unmodified = names
    return Conditions(
        _tags(call, match), _tags(call, none_match, weak=True), _date(call, modified), _date(call, unmodified)
    )


def write_conditions(call: Call) -> Conditions:
    """Return the conditions of a write or a deletion: If-Match and If-None-Match only, as S3 has them.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html
    """
    if "if-match" not in call.headers and "if-none-match" not in call.headers:
        return ANY_STATE
    return Conditions(_tags(call, "if-match"), _tags(call, "if-none-match", weak=True))


async def require_conditions(call: Call, at: Address, when: Conditions) -> None:
    """Raise AccessDenied where the caller may not read what a condition tells of: what the object's ETag is.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html#conditional-write-permissions
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html
    """
    if any(tag != "*" for tag in (*when.if_match, *when.if_none_match)):
        await call.require("read", at)


def write_options(
    service: Service, call: Call, checksum: str | None = None, *, composite: bool = False
) -> WriteOptions:
    """Return what is to be stored beside the bytes of a new object, and when.

    Raises: InvalidArgument, MetadataTooLarge, AccessControlListNotSupported.
    """
    return WriteOptions(
        headers=stored_headers(call),
        metadata=user_metadata(call),
        labels=acl.labels_for_new(service, call),
        conditions=write_conditions(call),
        checksum=checksum or DEFAULT,
        composite=composite,
    )


def limit_body(call: Call) -> None:
    """Refuse a body that is too large for one request, or whose end the connection could not tell.

    Raises: EntityTooLarge, MissingContentLength.
    """
    body = call.body
    body.limit = BODY_LIMIT
    if body.size is None:
        if "transfer-encoding" not in call.headers:
            raise MissingContentLength
    elif body.size > BODY_LIMIT:
        raise EntityTooLarge(ProposedSize=str(body.size), MaxSizeAllowed=str(BODY_LIMIT))


def images_header(info: ObjectInfo) -> dict[str, str]:
    """Return what an answer tells of the variants of an image that was just written, if it is one."""
    return {IMAGES: info.images} if info.images else {}


def location(call: Call, safe: str = "/") -> str:
    """Return the URL of the object that the call writes; `safe` are the characters of its key that are not escaped."""
    scheme = "https" if call.secure else "http"
    return f"{scheme}://{call.host}/{'' if call.virtual_host else f'{call.bucket}/'}{quote(call.key, safe=safe)}"


def wants_checksum(call: Call) -> bool:
    """Say whether a GET or HEAD asks for the checksum of the object."""
    return call.headers.get("x-amz-checksum-mode").upper() == "ENABLED"


def object_headers(info: ObjectInfo, call: Call, checksum: Checksum | None = None) -> dict[str, str]:
    """Return the headers of an answer to GET or HEAD, with the checksum of what it holds if that is asked for.

    Raises: InvalidRequest, InvalidArgument for response-… parameters that cannot be served.
    """
    headers = {
        "ETag": f'"{info.etag}"',
        "Last-Modified": http_date(info.modified),
        "Accept-Ranges": "bytes",
        "Content-Type": OCTETS,
    }
    for name, value in info.headers.items():
        headers[STORED.get(name, name)] = value
    for name, value in info.metadata.items():
        headers[METADATA + name] = mail_safe(value)
    if info.version is not None:
        headers["x-amz-version-id"] = info.version
    if info.served_by:
        headers["x-gw-served-by"] = info.served_by
    if info.replication:
        headers["x-amz-replication-status"] = info.replication
    if info.stale:
        headers["x-gw-stale"] = "true"
    if checksum and wants_checksum(call):
        headers |= headers_of(checksum)
    for name in call.query:
        if name in _OVERRIDES:
            headers[_OVERRIDES[name]] = _override(call, name)
    return headers


def http_date(moment: datetime) -> str:
    """Write a UTC time as HTTP does."""
    return _written(moment.replace(microsecond=0))


@lru_cache(maxsize=4096)
def _written(second: datetime) -> str:
    return format_datetime(second, usegmt=True)


def _offset(digits: str) -> int:
    """Return an offset; one with more digits than any object could need is beyond each of them."""
    return int(digits or 0) if len(digits) < _MANY_DIGITS else sys.maxsize


def _tags(call: Call, name: str, *, weak: bool = False) -> tuple[str, ...]:
    """Return the ETags of a header without quotes. A weak one is kept apart where only a strong one may match."""
    if name not in call.headers:
        return ()
    text = ",".join(call.headers.all(name)).strip()
    tags = tuple((tag.removeprefix("W/") if weak else tag).strip('"') for tag in _TAG.findall(text))
    return tags or ((text,) if text else ())


def _date(call: Call, name: str) -> datetime | None:
    value = call.headers.get(name).strip()
    for form in _DATES if value else ():
        try:
            moment = datetime.strptime(value, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return _this_century(moment) if form is _DATES[1] else moment
    return None


def _this_century(moment: datetime) -> datetime:
    """Read a year of two digits that seems to be over 50 years ahead as one in the past (RFC 9110 §5.6.7)."""
    ahead = moment > datetime.now(UTC) + timedelta(days=50 * 365.25)
    return moment.replace(year=moment.year - 100) if ahead else moment


def _override(call: Call, name: str) -> str:
    value = call.query[name]
    if call.caller is None or call.caller.anonymous:
        raise InvalidRequest("Request specific response headers cannot be used for anonymous GET requests.")
    if not value.isprintable() or max(value, default=" ") > "\xff":
        raise InvalidArgument(
            "Header value cannot be represented using ISO-8859-1.", ArgumentName=name, ArgumentValue=value
        )
    return value
