"""What is known of a bucket that is a prefix of another: a small object under that prefix, `.gw/bucket`."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from gateway.backends.assembly import check_labels
from gateway.conditions import Conditions
from gateway.errors import (
    ConditionalRequestConflict,
    InternalError,
    NoSuchBucket,
    NoSuchKey,
    NotImplementedByGateway,
    PreconditionFailed,
)
from gateway.routing.place import Place
from gateway.storage import PRIVATE, Address, Backend, Body, BucketInfo, ListQuery, WriteOptions
from gateway.transfer import bytes_of

NOTE: Final = f"{PRIVATE}bucket"
BEHIND: Final = f"{PRIVATE}\U0010ffff"  # after all keys of the gateway's own
LIMIT: Final = 64 * 1024
ATTEMPTS: Final = 5
AS_JSON: Final[Mapping[str, str]] = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Note:
    """What stands in a note, and the ETag that it has; none where there is no note."""

    labels: Mapping[str, str] = field(default_factory=dict)
    created: datetime | None = None
    deleted: bool = False
    etag: str = ""


class Notes:
    """Buckets under prefixes: one is there while the bucket around it is, unless its note says that it was deleted.

    One that was deleted is there again as soon as something lies under its prefix: no note is read for a write.
    """

    def __init__(self, inner: Backend) -> None:
        self._inner = inner

    async def info(self, bucket: str, place: Place) -> BucketInfo:
        """Return what is known of a bucket. Raises NoSuchBucket."""
        note = await self.check(place)
        created = note.created or (await self._inner.head_bucket(place.bucket)).created
        return BucketInfo(bucket, created, note.labels)

    async def check(self, place: Place) -> Note:
        """Return the note of a bucket. Raises NoSuchBucket where that was deleted."""
        note = await self._read(place)
        if not note.deleted:
            return note
        if not await self.is_used(place):
            raise NoSuchBucket(BucketName=place.bucket)
        return Note(etag=note.etag)

    async def create(self, place: Place, labels: Mapping[str, str]) -> bool:
        """Note that a bucket was created, and say whether it was: False where it is there already.

        A prefix at which nothing is noted and nothing lies can be created, so that somebody owns it.
        """
        note = await self._read(place)
        if (note.etag and not note.deleted) or await self.is_used(place):
            return False
        try:
            await self._write(place, Note(labels, datetime.now(UTC)), note)
        except PreconditionFailed:  # somebody was faster
            return False
        return True

    async def annotate(self, place: Place, labels: Mapping[str, str], was: Mapping[str, str] | None) -> None:
        """Replace the labels of a bucket. Raises: NoSuchBucket, PreconditionFailed."""
        for _ in range(ATTEMPTS):
            note = await self.check(place)
            check_labels(note.labels, was)
            try:
                await self._write(place, Note(labels, note.created), note)
            except PreconditionFailed:
                continue
            return
        raise ConditionalRequestConflict

    async def delete(self, place: Place) -> None:
        """Note that a bucket is not there any more."""
        await self._write(place, Note(deleted=True))

    async def is_used(self, place: Place) -> bool:
        """Say whether anything but our own lies under the prefix."""
        first = await self._first_after(place, "")
        if first and first.startswith(PRIVATE):
            first = await self._first_after(place, BEHIND)
        return bool(first)

    async def _first_after(self, place: Place, after: str) -> str:
        query = ListQuery(place.prefix, after=place.prefix + after, limit=1)
        page = await self._inner.list_objects(place.bucket, query)
        return place.key(page.objects[0].key) if page.objects else ""

    async def _read(self, place: Place) -> Note:
        try:
            async with self._inner.get(_address(place)) as download:
                if download.info.size > LIMIT:
                    raise InternalError
                data, etag = await bytes_of(download), download.info.etag
        except NoSuchKey:
            return Note()
        return _parsed(data, etag)

    async def _write(self, place: Place, note: Note, over: Note | None = None) -> None:
        """Write a note, over an earlier one or none where the storage can make sure of that."""
        options = WriteOptions(AS_JSON)
        if over is None:
            await self._inner.put(_address(place), _body(note), options)
            return
        conditions = Conditions(if_match=(over.etag,)) if over.etag else Conditions(if_none_match=("*",))
        try:
            await self._inner.put(_address(place), _body(note), WriteOptions(AS_JSON, conditions=conditions))
        except NotImplementedByGateway:  # a server that knows no conditions for writes
            await self._inner.put(_address(place), _body(note), options)
        except NoSuchKey as error:
            raise PreconditionFailed from error


def _address(place: Place) -> Address:
    return Address(place.bucket, place.prefix + NOTE)


def _body(note: Note) -> Body:
    created = note.created.isoformat() if note.created else ""
    data = json.dumps({"labels": dict(note.labels), "created": created, "deleted": note.deleted}).encode()

    async def chunks() -> AsyncIterator[bytes]:
        yield data

    return Body(chunks(), len(data))


def _parsed(data: bytes, etag: str) -> Note:
    """Read a note; what is not of our writing is an error, because labels tell whose the bucket is."""
    try:
        found = json.loads(data)
        labels = {str(name): str(value) for name, value in found["labels"].items()}
        created = datetime.fromisoformat(found["created"]) if found["created"] else None
        return Note(labels, created, bool(found["deleted"]), etag)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InternalError from error
