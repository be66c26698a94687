"""Multipart uploads: an empty object that says what the whole will be, and an object for each part.

Why they are not those of the storage's XML API: docs/backends/gcs.md.
"""

import json
import re
from collections.abc import Iterable
from secrets import token_hex
from time import time_ns
from typing import Any, Final, NamedTuple

import structlog

from gateway.backends.assembly import fold_uploads, new_upload_id, page_of_parts, span
from gateway.backends.gcs import copying, own
from gateway.backends.gcs.client import Client
from gateway.backends.gcs.names import PARTS, UPLOADS, check_write
from gateway.backends.gcs.reading import body_of, look_inside, open_object
from gateway.backends.gcs.resources import UPLOAD, Found, describe, found, moment
from gateway.backends.gcs.sending import Draft
from gateway.backends.gcs.tables import table
from gateway.backends.gcs.writing import find, remove, store
from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import NoSuchKey, NoSuchUpload, S3Error
from gateway.storage import (
    Address,
    Body,
    Part,
    PartPage,
    ReadOptions,
    Upload,
    UploadInfo,
    UploadPage,
    UploadQuery,
    WriteOptions,
)
from gateway.transfer import room_for

log = structlog.get_logger()

_ID: Final = re.compile(r"[0-9a-f]{16,128}")
_PART: Final = re.compile(r"([0-9]{5})-[0-9a-f]+")


class Marker(NamedTuple):
    """The object that stands for an open upload: while its generation is there, the upload is open."""

    found: Found
    info: UploadInfo


class StoredPart(NamedTuple):
    """A part, and the object that holds its bytes."""

    part: Part
    found: Found
    updated: str


async def create_upload(client: Client, at: Address, options: WriteOptions) -> Upload:
    """Begin an upload."""
    check_write(at)
    upload = Upload(at, new_upload_id())
    said = {"key": at.key, "checksum": options.checksum, "composite": options.composite}
    resource = describe(options)
    resource["metadata"][UPLOAD] = json.dumps(said, ensure_ascii=False)
    await own.write(client, _marker(upload), b"", resource)
    return upload


async def marker_of(client: Client, upload: Upload) -> Marker:
    """Return what stands for an open upload. Raises: NoSuchUpload, NoSuchBucket."""
    if not _ID.fullmatch(upload.id):
        raise NoSuchUpload(UploadId=upload.id)
    try:
        marker = _read(upload.at.bucket, await look_inside(client, _marker(upload)))
    except NoSuchKey:
        raise NoSuchUpload(UploadId=upload.id) from None
    if marker.info.upload != upload:
        raise NoSuchUpload(UploadId=upload.id)
    return marker


async def put_part(client: Client, upload: Upload, number: int, body: Body) -> Part:
    """Store a part. It counts from when its checksum is known, which is when the object is complete."""
    marker = await marker_of(client, upload)
    at, algorithm = _new_part(upload, number), marker.info.options.checksum
    body.kept = algorithm
    stored = await store(client, Draft(at, {"metadata": {}}, algorithm), body, ANY_STATE)
    return await _kept(client, upload, _part(number, stored), at)


async def copy_part(
    client: Client, upload: Upload, number: int, source: tuple[Address, str], wanted: slice | None
) -> Part:
    """Store bytes of another object as a part. They pass through here only where they are not all of it."""
    marker = await marker_of(client, upload)
    there = await copying.look_for(client, *source)
    if span(there.found.info.size, (), ReadOptions(wanted)) == (0, there.found.info.size):
        at = _new_part(upload, number)
        copied = await copying.copy_as_part(client, there, at, marker.info.options.checksum)
        return await _kept(client, upload, _part(number, copied), at)
    pinned = ReadOptions(wanted, conditions=Conditions(if_match=(there.found.info.etag,)))
    async with open_object(client, there.at, pinned) as download, room_for(download):
        return await put_part(client, upload, number, body_of(download))


def _new_part(upload: Upload, number: int) -> Address:
    return Address(upload.at.bucket, f"{part_prefix(upload)}{number:05}-{time_ns():016x}{token_hex(4)}")


async def _kept(client: Client, upload: Upload, part: Part, at: Address) -> Part:
    """Return a part that was stored, if the upload has not gone while its bytes came."""
    try:
        await marker_of(client, upload)
    except NoSuchUpload:
        await own.remove_each(client, [at])
        raise
    return part


async def list_parts(client: Client, upload: Upload, after: int, limit: int) -> PartPage:
    """Return the parts after number `after`."""
    marker = await marker_of(client, upload)
    stored = await parts_of(client, marker.info, after)
    return page_of_parts(marker.info, [each.part for each in stored.values()], after, limit)


async def parts_of(client: Client, info: UploadInfo, after: int = 0) -> dict[int, StoredPart]:
    """Return the newest part of each number after `after`."""
    prefix = part_prefix(info.upload)
    newest: dict[int, StoredPart] = {}
    async for item in own.items(client, info.upload.at.bucket, prefix, f"{prefix}{after + 1:05}"):
        there = found(item)
        named = _PART.fullmatch(there.info.key.removeprefix(prefix))
        if not named or not there.info.checksum or there.info.checksum.algorithm != info.options.checksum:
            continue  # it is not complete yet
        number = int(named[1])
        part = StoredPart(_part(number, there), there, item["updated"])
        if number not in newest or _age(newest[number]) < _age(part):
            newest[number] = part
    return newest


async def list_uploads(client: Client, bucket: str, query: UploadQuery) -> UploadPage:
    """Return a page of open uploads. Every one of them is looked at; the first page clears what belongs to none.

    An upload is begun before its first part is stored: parts that were there before the open uploads were listed, and
    whose upload is not among those, are of one that is gone for good.
    """
    is_first = query.after in {"", query.prefix}  # nothing of a prefix comes before the prefix itself
    with_parts = {folder async for folder in own.folders(client, bucket, PARTS)} if is_first else set()
    markers = [_read(bucket, found(item)) async for item in own.items(client, bucket, UPLOADS)]
    left = with_parts - {part_prefix(marker.info.upload) for marker in markers}
    await _clear(client, bucket, left)
    return fold_uploads((marker.info for marker in markers), query)


async def _clear(client: Client, bucket: str, left: Iterable[str]) -> None:
    """Remove what gateways left that were stopped before they could, as far as that is possible now."""
    for prefix in left:
        try:
            await own.remove_all(client, bucket, prefix)
        except S3Error as error:
            log.warning("upload_left_behind", backend=client.name, parts=prefix, error=error.code)
            return


async def abort_upload(client: Client, upload: Upload) -> None:
    """Give an upload up. One whose object was made just now is complete and cannot be given up any more."""
    marker = await marker_of(client, upload)
    try:
        await remove(client, _marker(upload), marker.found.generation)
    except NoSuchKey:
        raise NoSuchUpload(UploadId=upload.id) from None
    there = await find(client, upload.at)
    await own.remove_all(client, upload.at.bucket, part_prefix(upload))
    if there and there.identity.upload == upload.id:
        raise NoSuchUpload(UploadId=upload.id)
    await own.remove_each(client, [table(upload.at.bucket, upload.id)])


async def clean(client: Client, upload: Upload) -> None:
    """Remove what is left of an upload whose object was made: the parts first, so that none is ever forgotten.

    What fails here is left to whoever gives up uploads that nobody completed.
    """
    try:
        await own.remove_all(client, upload.at.bucket, part_prefix(upload))
        await own.remove_each(client, [_marker(upload)])
    except S3Error as error:
        log.warning("upload_left_behind", backend=client.name, upload=upload.id, error=error.code)


def part_prefix(upload: Upload) -> str:
    """Return what the names of all parts of an upload begin with."""
    return f"{PARTS}{upload.id}/"


def _marker(upload: Upload) -> Address:
    return Address(upload.at.bucket, f"{UPLOADS}{upload.id}")


def _read(bucket: str, there: Found) -> Marker:
    said: dict[str, Any] = json.loads(there.resource.get("metadata", {}).get(UPLOAD, "{}"))
    info = there.info
    options = WriteOptions(
        headers=info.headers,
        metadata=info.metadata,
        labels=info.labels,
        checksum=said.get("checksum", ""),
        composite=said.get("composite", False),
    )
    upload = Upload(Address(bucket, said.get("key", "")), info.key.removeprefix(UPLOADS))
    return Marker(there, UploadInfo(upload, moment(there.resource["timeCreated"]), options))


def _part(number: int, there: Found) -> Part:
    info = there.info
    return Part(number, info.etag, info.size, moment(there.resource["updated"]), info.checksum)


def _age(part: StoredPart) -> tuple[str, str]:
    return part.updated, part.found.info.key
