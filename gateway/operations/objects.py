"""PutObject, GetObject, HeadObject and DeleteObject."""

from dataclasses import replace

from gateway.checksums import Checksum
from gateway.errors import AccessDenied, InvalidRange, NoSuchKey, S3Error
from gateway.message import Answer, Call
from gateway.operations.checksumming import headers_of, verify_body
from gateway.operations.headers import (
    images_header,
    limit_body,
    object_headers,
    read_options,
    require_conditions,
    write_conditions,
    write_options,
)
from gateway.operations.service import Service
from gateway.storage import Address, ObjectInfo, ReadOptions


async def put_object(service: Service, call: Call) -> Answer:
    """Store the body. https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html."""
    limit_body(call)
    return Answer(headers=await store(service, call))


async def store(service: Service, call: Call) -> dict[str, str]:
    """Store the body under the address of the call; return the headers that tell of what was stored."""
    options = write_options(service, call, verify_body(call))
    await require_conditions(call, call.address, options.conditions)
    info = await service.storage.put(call.address, call.body, options)
    return {"ETag": f'"{info.etag}"', **headers_of(info.checksum), **images_header(info)}


async def get_object(service: Service, call: Call) -> Answer:
    """Open the object for the server to send. https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html."""
    options, at = read_options(call), call.address
    try:
        download = await call.keep_open.enter_async_context(service.storage.get(at, options))
    except NoSuchKey as error:
        raise await told(call, at, error) from error
    except InvalidRange as error:
        error.fields.setdefault("RangeRequested", call.headers.get("range"))
        raise
    await allow_opened(service, call, at, download.info)
    status, headers = _described(call, download.info, options, (download.start, download.stop))
    return Answer(status, headers, download)


async def head_object(service: Service, call: Call) -> Answer:
    """Say what a GET would. https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html."""
    options, at = read_options(call), call.address
    try:
        info = await service.storage.head(at, options)
        start, stop = _span(info, options)
    except NoSuchKey as error:
        raise await told(call, at, error) from error
    except InvalidRange as error:
        error.fields.setdefault("RangeRequested", call.headers.get("range"))
        raise
    await allow_opened(service, call, at, info)
    status, headers = _described(call, info, options, (start, stop))
    return Answer(status, headers, length=stop - start)


async def delete_object(service: Service, call: Call) -> Answer:
    """Delete the object. https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html."""
    conditions = write_conditions(call)
    await require_conditions(call, call.address, conditions)
    await service.storage.delete(call.address, conditions)
    return Answer(204)


async def allow_opened(service: Service, call: Call, at: Address, info: ObjectInfo) -> None:
    """Judge what was opened by its own ACL: it may have come after the caller was allowed to read what was there."""
    if service.keeps_acls(at.bucket):
        await call.require("read", at, info.labels)


async def told(call: Call, at: Address, error: NoSuchKey) -> S3Error:
    """Return what the caller may know: who may not list a bucket is not told that a key is missing from it.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html#API_GetObject_RequestSyntax (Permissions)
    """
    try:
        await call.require("list", Address(at.bucket))
    except AccessDenied as denial:
        return denial
    error.fields.setdefault("Key", at.key)
    return error


def _described(call: Call, info: ObjectInfo, options: ReadOptions, span: tuple[int, int]) -> tuple[int, dict[str, str]]:
    """Return status and headers of an answer with the bytes of `span`."""
    start, stop = span
    if options.range is None and options.part is None:
        return 200, object_headers(info, call, info.checksum)
    headers = object_headers(info, call, _checksum(info, options, span))
    if options.part is not None and info.part_count:
        headers["x-amz-mp-parts-count"] = str(info.part_count)
    if start == stop:  # part 1 of an empty object, or its last bytes: HTTP cannot name a range without bytes
        return 200, headers
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{info.size}"
    return 206, headers


def _checksum(info: ObjectInfo, options: ReadOptions, span: tuple[int, int]) -> Checksum | None:
    """Return the checksum of just these bytes, where one is known: a client would compare any other with them.

    Its type is told as that of the object.
    """
    if options.part is not None and info.part_count:
        part = info.parts[options.part - 1].checksum if info.parts else None
        return replace(part, composite=info.checksum.composite) if part and info.checksum else part
    return info.checksum if span == (0, info.size) else None


def _span(info: ObjectInfo, options: ReadOptions) -> tuple[int, int]:
    """Return which bytes a GET would send. Raises InvalidRange."""
    if options.part is not None and info.parts:
        start = sum(part.size for part in info.parts[: options.part - 1])
        return start, start + info.parts[options.part - 1].size
    return options.span(info.size)
