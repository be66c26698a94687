"""CopyObject and UploadPartCopy."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, TypeVar
from urllib.parse import unquote_plus

from gateway.checksums import DEFAULT
from gateway.conditions import Conditions
from gateway.errors import (
    InvalidArgument,
    InvalidRange,
    InvalidRequest,
    NoSuchKey,
    OperationAborted,
    PreconditionFailed,
)
from gateway.message import KEY_LIMIT, Answer, Call
from gateway.operations import xml
from gateway.operations.checksumming import ALGORITHM, algorithm_named, element_of, elements_of
from gateway.operations.demands import expect_owner
from gateway.operations.headers import (
    BODY_LIMIT,
    conditions,
    images_header,
    part_number,
    require_conditions,
    write_options,
)
from gateway.operations.metadata import REDIRECT
from gateway.operations.multipart import upload_of
from gateway.operations.objects import allow_opened, told
from gateway.operations.patience import answer_in_time
from gateway.operations.service import Service
from gateway.storage import Address, ObjectInfo, ReadOptions, WriteOptions

SOURCE: Final = "x-amz-copy-source"
RANGE: Final = "x-amz-copy-source-range"
SOURCE_OWNER: Final = "x-amz-source-expected-bucket-owner"
ATTEMPTS: Final = 5  # how often a source is looked at anew that changes just before it is copied
_COPY, _REPLACE = "COPY", "REPLACE"
_BROKEN_ESCAPE: Final = re.compile("%(?![0-9A-Fa-f]{2})")
_RANGE: Final = re.compile(r"bytes=([0-9]{1,18})-([0-9]{1,18})")
_T = TypeVar("_T")
_ONTO_ITSELF: Final = (
    "This copy request is illegal because it is trying to copy an object to itself without changing the object's "
    "metadata, storage class, website redirect location or encryption attributes."
)
_RANGE_FORM: Final = (
    "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based "
    "offsets of the first and last bytes to copy"
)


async def copy_object(service: Service, call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html."""
    source = _source(call)
    keep = _directive(call, "metadata") == _COPY
    _directive(call, "tagging")
    options = write_options(service, call, _algorithm(call))
    if keep and source == call.address and REDIRECT not in call.headers:
        raise InvalidRequest(_ONTO_ITSELF)
    await _may_read(service, call, source)
    await require_conditions(call, call.address, options.conditions)

    async def copy(info: ObjectInfo) -> ObjectInfo:
        _limit(info.size)
        wanted = _described_by(info, options, keep=keep)
        if ALGORITHM not in call.headers:
            wanted = replace(wanted, checksum=info.checksum.algorithm if info.checksum else DEFAULT)
        return await service.storage.copy(source, call.address, wanted, info.etag)

    headers: dict[str, str] = {}

    async def work() -> bytes:
        made = await _pinned(service, call, source, copy)
        headers.update(images_header(made))
        return xml.document("CopyObjectResult", _result(made.etag, made.modified) | elements_of(made.checksum))

    return await answer_in_time(call, work(), headers)


async def upload_part_copy(service: Service, call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html."""
    source = _source(call)
    number = part_number(call.query["partNumber"])
    span = _span(call)
    await _may_read(service, call, source)

    async def copy(info: ObjectInfo) -> bytes:
        if span and span.stop > info.size:
            raise InvalidRange.of(info.size, call.headers[RANGE])
        _limit(span.stop - span.start if span else info.size)
        part = await service.storage.copy_part(upload_of(call), number, source, ReadOptions(range=span), info.etag)
        content = _result(part.etag, part.modified or datetime.now(UTC)) | element_of(part.checksum)
        return xml.document("CopyPartResult", content)

    return await answer_in_time(call, _pinned(service, call, source, copy))


def _source(call: Call) -> Address:
    """Return what is to be copied, however it is written: with a leading slash or without, encoded or not.

    A plus stands for a space, as S3 has it; clients write %2B for a plus. Raises InvalidArgument.
    """
    value = call.headers[SOURCE]
    path, _, version = value.partition("?versionId=")
    decoded = _decoded(path)
    if decoded is None:
        raise InvalidArgument("Invalid copy source encoding", ArgumentName=SOURCE, ArgumentValue=value)
    bucket, _, key = decoded.removeprefix("/").partition("/")
    if not bucket or not key:
        raise InvalidArgument(
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
            ArgumentName=SOURCE,
            ArgumentValue=value,
        )
    if len(key.encode()) > KEY_LIMIT:
        raise InvalidArgument("Invalid copy source object key", ArgumentName=SOURCE, ArgumentValue=value)
    return Address(bucket, key, None if version in {"", "null"} else version)


def _decoded(path: str) -> str | None:
    """Return what a path says without its escapes, or None where one of them is broken, or they make no text."""
    try:
        decoded = unquote_plus(path, errors="strict")
        decoded.encode()
    except UnicodeError:
        return None
    return None if _BROKEN_ESCAPE.search(path) else decoded


def _directive(call: Call, what: str) -> str:
    """Return whether metadata or tagging is to be copied or replaced. Raises InvalidArgument."""
    name = f"x-amz-{what}-directive"
    value = call.headers.get(name) or _COPY
    if value not in {_COPY, _REPLACE}:
        raise InvalidArgument(f"Unknown {what} directive.", ArgumentName=name, ArgumentValue=value)
    return value


def _algorithm(call: Call) -> str | None:
    return algorithm_named(call.headers[ALGORITHM]) if ALGORITHM in call.headers else None


def _span(call: Call) -> slice | None:
    """Return which bytes of the source are wanted, all of them without a header. Raises InvalidArgument."""
    if RANGE not in call.headers:
        return None
    found = _RANGE.fullmatch(call.headers[RANGE])
    if not found or int(found[1]) > int(found[2]):
        raise InvalidArgument(_RANGE_FORM, ArgumentName=RANGE, ArgumentValue=call.headers[RANGE])
    return slice(int(found[1]), int(found[2]) + 1)


async def _may_read(service: Service, call: Call, source: Address) -> None:
    await call.require("read", source)
    if owner := call.headers.get(SOURCE_OWNER):
        await expect_owner(service, call, source.bucket, owner)


async def _pinned(service: Service, call: Call, source: Address, copy: Callable[[ObjectInfo], Awaitable[_T]]) -> _T:
    """Copy a source as it is found, and find it again if it has changed meanwhile. Raises OperationAborted."""
    when = conditions(call, f"{SOURCE}-")
    for _ in range(ATTEMPTS):
        info = await _find(service, call, source, when)
        try:
            return await copy(info)
        except PreconditionFailed:
            if (await _find(service, call, source, when)).etag == info.etag:
                raise  # it was the destination
    raise OperationAborted


async def _find(service: Service, call: Call, source: Address, when: Conditions) -> ObjectInfo:
    try:
        info = await service.storage.head(source)
    except NoSuchKey as error:
        raise await told(call, source, error) from error
    await allow_opened(service, call, source, info)
    when.check_source(info)
    return info


def _limit(size: int) -> None:
    if size > BODY_LIMIT:
        raise InvalidRequest(
            f"The specified copy source is larger than the maximum allowable size for a copy source: {BODY_LIMIT}"
        )


def _described_by(info: ObjectInfo, options: WriteOptions, *, keep: bool) -> WriteOptions:
    """Return what is stored with the copy. A redirect is never copied, only given."""
    if not keep:
        return options
    headers = {name: value for name, value in info.headers.items() if name != REDIRECT}
    if REDIRECT in options.headers:
        headers[REDIRECT] = options.headers[REDIRECT]
    return replace(options, headers=headers, metadata=info.metadata)


def _result(etag: str, modified: datetime) -> dict[str, str]:
    return {"LastModified": xml.timestamp(modified), "ETag": f'"{etag}"'}
