"""Buckets that have another name at their backend, or are a prefix of a bucket there."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from typing import Final, TypeVar

from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import BucketAlreadyExists, BucketNotEmpty, NoSuchBucket, NoSuchUpload, S3Error
from gateway.routing.notes import Notes
from gateway.routing.place import Place
from gateway.routing.together import Together
from gateway.storage import (
    PRIVATE,
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

_Query = TypeVar("_Query", ListQuery, UploadQuery)
_NAMES: Final = ("Key", "ArgumentValue")  # fields of an error in which a key may stand
_SIZES: Final = frozenset({"Size", "MaxSizeAllowed"})  # both in bytes of a key, the prefix among them


class Rename:
    """A `Backend` around one, whose buckets lie at `places`; a bucket without a place keeps its name.

    A bucket under a prefix is there while the bucket around it is and nobody has deleted it; that one is created if
    need be, and never deleted. Copies stay copies at the backend. Under a prefix something of the gateway's own is
    kept, to be hidden by `Private`.
    """

    def __init__(self, inner: Backend, places: Mapping[str, Place]) -> None:
        self.inner = inner
        self._places = places
        self._notes = Notes(inner)
        self._together = Together()

    @property
    def name(self) -> str:
        return self.inner.name

    # --- buckets ---

    async def list_buckets(self) -> Sequence[BucketInfo]:
        found = {info.name: info for info in await self.inner.list_buckets()}
        placed = {bucket: place for bucket, place in self._places.items() if place.bucket in found}
        hidden = self._places.keys() | {place.bucket for place in self._places.values()}
        plain = [info for name, info in found.items() if name not in hidden]
        named = [replace(found[to.bucket], name=name) for name, to in placed.items() if not to.prefix]
        under = await self._together.each(self._listed, [(name, to) for name, to in placed.items() if to.prefix])
        return sorted([*plain, *named, *(info for info in under if info)], key=lambda info: info.name)

    async def head_bucket(self, bucket: str) -> BucketInfo:
        place = self._place(bucket)
        with self._told(Address(bucket)):
            if place.prefix:
                return await self._notes.info(bucket, place)
            return replace(await self.inner.head_bucket(place.bucket), name=bucket)

    async def create_bucket(self, bucket: str, labels: Mapping[str, str]) -> None:
        place = self._place(bucket)
        with self._told(Address(bucket)):
            if not place.prefix:
                await self.inner.create_bucket(place.bucket, labels)
            elif not await self._create_under(place, labels):
                raise BucketAlreadyExists(BucketName=bucket)

    async def delete_bucket(self, bucket: str) -> None:
        place = self._place(bucket)
        with self._told(Address(bucket)):
            if not place.prefix:
                await self.inner.delete_bucket(place.bucket)
                return
            await self._notes.info(bucket, place)
            if await self._notes.is_used(place):
                raise BucketNotEmpty(BucketName=bucket)
            await self._abort_all(bucket)
            await self._notes.delete(place)

    async def annotate(self, at: Address, labels: Mapping[str, str], was: Mapping[str, str] | None = None) -> None:
        place = self._place(at.bucket)
        with self._told(at):
            if place.prefix and not at.key:
                await self._notes.annotate(place, labels, was)
            else:
                await self.inner.annotate(place.address(at), labels, was)

    # --- objects ---

    @asynccontextmanager
    async def get(self, at: Address, options: ReadOptions = ReadOptions()) -> AsyncIterator[Download]:
        async with AsyncExitStack() as opened:
            with self._told(at):
                download = await opened.enter_async_context(self.inner.get(self._to(at), options))
            yield download._replace(info=_named(download.info, at))

    async def head(self, at: Address, options: ReadOptions = ReadOptions()) -> ObjectInfo:
        with self._told(at):
            return _named(await self.inner.head(self._to(at), options), at)

    async def put(self, at: Address, body: Body, options: WriteOptions = WriteOptions()) -> ObjectInfo:
        with self._told(at):
            return _named(await self.inner.put(self._to(at), body, options), at)

    async def copy(self, source: Address, to: Address, options: WriteOptions, etag: str) -> ObjectInfo:
        with self._told(source, to):
            return _named(await self.inner.copy(self._to(source), self._to(to), options, etag), to)

    async def delete(self, at: Address, conditions: Conditions = ANY_STATE) -> None:
        with self._told(at):
            await self.inner.delete(self._to(at), conditions)

    async def list_objects(self, bucket: str, query: ListQuery) -> ListPage:
        place = self._place(bucket)
        with self._told(Address(bucket)):
            if not place.prefix:
                return await self.inner.list_objects(place.bucket, query)
            page = _page_of(await self.inner.list_objects(place.bucket, _under(place, query)), place)
            if not query.after and all(item.startswith(PRIVATE) for item in (*page.prefixes, *_keys(page))):
                await self._notes.check(place)  # nothing is there: it may have been deleted
        return page

    # --- uploads ---

    async def create_upload(self, at: Address, options: WriteOptions = WriteOptions()) -> Upload:
        with self._told(at):
            return Upload(at, (await self.inner.create_upload(self._to(at), options)).id)

    async def put_part(self, upload: Upload, number: int, body: Body) -> Part:
        with self._told(upload.at):
            return await self.inner.put_part(self._upload(upload), number, body)

    async def copy_part(self, upload: Upload, number: int, source: Address, options: ReadOptions, etag: str) -> Part:
        with self._told(source, upload.at):
            return await self.inner.copy_part(self._upload(upload), number, self._to(source), options, etag)

    async def list_parts(self, upload: Upload, after: int = 0, limit: int = 1000) -> PartPage:
        with self._told(upload.at):
            page = await self.inner.list_parts(self._upload(upload), after, limit)
        return page._replace(info=replace(page.info, upload=upload))

    async def list_uploads(self, bucket: str, query: UploadQuery) -> UploadPage:
        place = self._place(bucket)
        with self._told(Address(bucket)):
            page = await self.inner.list_uploads(place.bucket, _under(place, query))
        return UploadPage(
            [_upload_of(info, bucket, place) for info in page.uploads],
            [place.key(prefix) for prefix in page.prefixes],
            place.key(page.last),
            page.last_id,
        )

    async def complete_upload(self, upload: Upload, parts: Sequence[Part], completion: Completion) -> ObjectInfo:
        with self._told(upload.at):
            made = await self.inner.complete_upload(self._upload(upload), parts, completion)
        return _named(made, upload.at)

    async def abort_upload(self, upload: Upload) -> None:
        with self._told(upload.at):
            await self.inner.abort_upload(self._upload(upload))

    # --- there and back ---

    def _place(self, bucket: str) -> Place:
        return self._places.get(bucket) or Place(bucket)

    def _to(self, at: Address) -> Address:
        return self._place(at.bucket).address(at)

    def _upload(self, upload: Upload) -> Upload:
        return Upload(self._to(upload.at), upload.id)

    @contextmanager
    def _told(self, *asked: Address) -> Iterator[None]:
        """Have errors name what was asked for, not what that is at the backend."""
        try:
            yield
        except S3Error as error:
            for at in asked:
                _rename(error.fields, at, self._place(at.bucket))
            raise

    # --- buckets under a prefix ---

    async def _listed(self, placed: tuple[str, Place]) -> BucketInfo | None:
        try:
            return await self._notes.info(*placed)
        except NoSuchBucket:
            return None

    async def _create_under(self, place: Place, labels: Mapping[str, str]) -> bool:
        with suppress(NoSuchBucket):
            return await self._notes.create(place, labels)
        with suppress(BucketAlreadyExists):  # for another prefix, just now
            await self.inner.create_bucket(place.bucket, {})
        return await self._notes.create(place, labels)

    async def _abort_all(self, bucket: str) -> None:
        while uploads := (await self.list_uploads(bucket, UploadQuery())).uploads:
            for info in uploads:
                with suppress(NoSuchUpload):
                    await self.abort_upload(info.upload)


def _under(place: Place, query: _Query) -> _Query:
    """Return a query of what lies under a prefix, without the object that is the prefix itself."""
    return query._replace(prefix=place.prefix + query.prefix, after=place.prefix + query.after)


def _page_of(page: ListPage, place: Place) -> ListPage:
    objects = [replace(info, key=place.key(info.key)) for info in page.objects]
    return ListPage(objects, [place.key(prefix) for prefix in page.prefixes], place.key(page.last))


def _keys(page: ListPage) -> Iterator[str]:
    return (info.key for info in page.objects)


def _named(info: ObjectInfo, at: Address) -> ObjectInfo:
    return info if info.key == at.key else replace(info, key=at.key)


def _upload_of(info: UploadInfo, bucket: str, place: Place) -> UploadInfo:
    upload = info.upload
    return replace(info, upload=Upload(Address(bucket, place.key(upload.at.key)), upload.id))


def _rename(fields: dict[str, str], at: Address, place: Place) -> None:
    if fields.get("BucketName") == place.bucket:
        fields["BucketName"] = at.bucket
    for name in _NAMES:
        if at.key and fields.get(name) == place.prefix + at.key:
            fields[name] = at.key
    for name in _SIZES if place.prefix and fields.keys() >= _SIZES else ():
        fields[name] = str(int(fields[name]) - len(place.prefix.encode()))
