"""Objects in the memory of one process: for tests, and the shortest example of a backend."""

from bisect import bisect_left
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from gateway.backends.assembly import assemble, check_labels, fold, fold_uploads, new_upload_id, page_of_parts, span
from gateway.checksums import MD5
from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import (
    BucketAlreadyExists,
    BucketNotEmpty,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    NoSuchVersion,
    PreconditionFailed,
)
from gateway.storage import (
    Address,
    Backend,
    Body,
    BucketInfo,
    Completion,
    Download,
    ListPage,
    ListQuery,
    ObjectInfo,
    Part,
    PartPage,
    ReadOptions,
    Upload,
    UploadInfo,
    UploadPage,
    UploadQuery,
    WriteOptions,
)


def open_memory(name: str) -> AbstractAsyncContextManager[Backend]:
    """Return an empty storage; it forgets everything when the process ends."""
    return nullcontext(Memory(name))


@dataclass(frozen=True, slots=True)
class _Object:
    info: ObjectInfo  # without its parts
    data: bytes
    parts: Sequence[Part] = ()


@dataclass(frozen=True, slots=True)
class _OpenUpload:
    info: UploadInfo
    parts: dict[int, Part] = field(default_factory=dict)
    data: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class _Bucket:
    info: BucketInfo
    objects: dict[str, _Object] = field(default_factory=dict)
    uploads: dict[str, _OpenUpload] = field(default_factory=dict)


class Memory:
    """A dict of buckets. What is decided and what is done about it have no `await` between them: that is the lock."""

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self._buckets: dict[str, _Bucket] = {}

    # --- buckets ---

    async def list_buckets(self) -> Sequence[BucketInfo]:
        return [self._buckets[name].info for name in sorted(self._buckets)]

    async def head_bucket(self, bucket: str) -> BucketInfo:
        return self._bucket(bucket).info

    async def create_bucket(self, bucket: str, labels: Mapping[str, str]) -> None:
        if bucket in self._buckets:
            raise BucketAlreadyExists(BucketName=bucket)
        self._buckets[bucket] = _Bucket(BucketInfo(bucket, _now(), dict(labels)))

    async def delete_bucket(self, bucket: str) -> None:
        if self._bucket(bucket).objects:
            raise BucketNotEmpty(BucketName=bucket)
        del self._buckets[bucket]

    # --- objects ---

    @asynccontextmanager
    async def get(self, at: Address, options: ReadOptions = ReadOptions()) -> AsyncIterator[Download]:
        found = self._object(at)
        options.conditions.check_read(found.info)
        start, stop = span(found.info.size, found.parts, options)
        yield Download(_told(found, options), start, stop, found.data[start:stop])

    async def head(self, at: Address, options: ReadOptions = ReadOptions()) -> ObjectInfo:
        found = self._object(at)
        options.conditions.check_read(found.info)
        span(found.info.size, found.parts, replace(options, range=None))
        return _told(found, options)

    async def put(self, at: Address, body: Body, options: WriteOptions = WriteOptions()) -> ObjectInfo:
        self._check_write(at, options.conditions)
        data = await _read(body, options.checksum)
        return self._store(at, _object(at.key, body, data, options), options.conditions)

    async def copy(self, source: Address, to: Address, options: WriteOptions, etag: str) -> ObjectInfo:
        return await self.put(to, _body_of(self._pinned(source, etag).data), options)

    async def annotate(self, at: Address, labels: Mapping[str, str], was: Mapping[str, str] | None = None) -> None:
        bucket = self._bucket(at.bucket)
        if not at.key:
            check_labels(bucket.info.labels, was)
            bucket.info = replace(bucket.info, labels=dict(labels))
            return
        found = self._object(at)
        check_labels(found.info.labels, was)
        bucket.objects[at.key] = replace(found, info=replace(found.info, labels=dict(labels)))

    async def delete(self, at: Address, conditions: Conditions = ANY_STATE) -> None:
        objects = self._bucket(at.bucket).objects
        found = objects.get(at.key)
        conditions.check_write(at.key, found.info if found else None)
        objects.pop(at.key, None)

    async def list_objects(self, bucket: str, query: ListQuery) -> ListPage:
        objects = self._bucket(bucket).objects
        keys = sorted(objects)
        page = fold(lambda start: keys[bisect_left(keys, start) :], query)
        return ListPage([objects[key].info for key in page.keys], page.prefixes, page.last)

    # --- uploads ---

    async def create_upload(self, at: Address, options: WriteOptions = WriteOptions()) -> Upload:
        upload = Upload(at, new_upload_id())
        self._bucket(at.bucket).uploads[upload.id] = _OpenUpload(UploadInfo(upload, _now(), options))
        return upload

    async def put_part(self, upload: Upload, number: int, body: Body) -> Part:
        checksum = body.kept = self._upload(upload).info.options.checksum
        data = await _read(body, checksum)
        part = Part(number, body.digest[MD5].hex(), len(data), _now(), body.digest.checksum(checksum))
        open_upload = self._upload(upload)  # it may have gone while the body came
        open_upload.parts[number], open_upload.data[number] = part, data
        return part

    async def copy_part(self, upload: Upload, number: int, source: Address, options: ReadOptions, etag: str) -> Part:
        self._upload(upload)
        found = self._pinned(source, etag)
        start, stop = span(found.info.size, found.parts, options)
        return await self.put_part(upload, number, _body_of(found.data[start:stop]))

    async def list_parts(self, upload: Upload, after: int = 0, limit: int = 1000) -> PartPage:
        found = self._upload(upload)
        return page_of_parts(found.info, found.parts.values(), after, limit)

    async def list_uploads(self, bucket: str, query: UploadQuery) -> UploadPage:
        return fold_uploads((found.info for found in self._bucket(bucket).uploads.values()), query)

    async def complete_upload(self, upload: Upload, parts: Sequence[Part], completion: Completion) -> ObjectInfo:
        found = self._upload(upload)
        made = assemble(found.parts, found.info, parts, completion)
        options = found.info.options
        info = ObjectInfo(
            upload.at.key,
            made.size,
            made.etag,
            _now(),
            headers=options.headers,
            metadata=options.metadata,
            labels=options.labels,
            checksum=made.checksum,
            part_count=len(made.parts),
        )
        data = b"".join(found.data[part.number] for part in parts)
        if completion.check:
            self._check_write(upload.at, completion.conditions)
            await completion.check(Download(info, 0, len(data), data))
            self._upload(upload)  # it may have gone meanwhile
        stored = self._store(upload.at, _Object(info, data, made.parts), completion.conditions)
        del self._buckets[upload.at.bucket].uploads[upload.id]
        return stored

    async def abort_upload(self, upload: Upload) -> None:
        self._upload(upload)
        del self._buckets[upload.at.bucket].uploads[upload.id]

    # --- what is there ---

    def _bucket(self, name: str) -> _Bucket:
        try:
            return self._buckets[name]
        except KeyError:
            raise NoSuchBucket(BucketName=name) from None

    def _object(self, at: Address) -> _Object:
        if at.version not in {None, "null"}:
            raise NoSuchVersion(Key=at.key, VersionId=str(at.version))
        try:
            return self._bucket(at.bucket).objects[at.key]
        except KeyError:
            raise NoSuchKey(Key=at.key) from None

    def _pinned(self, source: Address, etag: str) -> _Object:
        found = self._object(source)
        if found.info.etag != etag:
            raise PreconditionFailed
        return found

    def _upload(self, upload: Upload) -> _OpenUpload:
        found = self._bucket(upload.at.bucket).uploads.get(upload.id)
        if found is None or found.info.upload != upload:
            raise NoSuchUpload(UploadId=upload.id)
        return found

    def _check_write(self, at: Address, conditions: Conditions) -> None:
        there = self._bucket(at.bucket).objects.get(at.key)
        conditions.check_write(at.key, there.info if there else None)

    def _store(self, at: Address, made: _Object, conditions: Conditions) -> ObjectInfo:
        self._check_write(at, conditions)
        self._bucket(at.bucket).objects[at.key] = made
        return made.info


def _now() -> datetime:
    return datetime.now(UTC)


def _told(found: _Object, options: ReadOptions) -> ObjectInfo:
    return replace(found.info, parts=found.parts) if options.parts else found.info


async def _read(body: Body, checksum: str) -> bytes:
    body.digest.want(MD5)
    body.digest.want(checksum)
    return await body.read()


def _object(key: str, body: Body, data: bytes, options: WriteOptions) -> _Object:
    info = ObjectInfo(
        key,
        len(data),
        body.digest[MD5].hex(),
        _now(),
        headers=options.headers,
        metadata=options.metadata,
        labels=options.labels,
        checksum=body.digest.checksum(options.checksum),
    )
    return _Object(info, data)


def _body_of(data: bytes) -> Body:
    async def chunks() -> AsyncIterator[bytes]:
        yield data

    return Body(chunks(), len(data))
