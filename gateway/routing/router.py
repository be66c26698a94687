"""Which bucket lies on which storage."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import AccessDenied, NoSuchBucket
from gateway.routing import across
from gateway.routing.together import Together
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
    UploadPage,
    UploadQuery,
    WriteOptions,
)
from gateway.transfer import body_of, room_for


class Router:
    """A `Backend` made of others: a bucket lies on the one that its route names, else on the default.

    A bucket that a storage holds but that is not routed there does not exist. Copies between two storages are read
    from one and written to the other.
    """

    def __init__(self, routes: Mapping[str, Backend], default: Backend | None) -> None:
        self.name = "router"
        self._routes = routes
        self._default = default
        self._together = Together()

    # --- buckets ---

    async def list_buckets(self) -> Sequence[BucketInfo]:
        """As promised. Where a storage serves but a few buckets by name, it is asked for these, not for all it has.

        An error is no absence: if one storage does not answer, nobody knows which buckets there are.
        """
        named = [bucket for bucket, backend in self._routes.items() if backend is not self._default]
        found = await self._together.each(lambda list_some: list_some(), [self._others, *map(self._named, named)])
        return sorted((info for infos in found for info in infos), key=lambda info: info.name)

    async def head_bucket(self, bucket: str) -> BucketInfo:
        return await self._of(bucket).head_bucket(bucket)

    async def create_bucket(self, bucket: str, labels: Mapping[str, str]) -> None:
        backend = self._routes.get(bucket, self._default)
        if backend is None:
            raise AccessDenied("No storage is configured for a bucket of this name.", BucketName=bucket)
        await backend.create_bucket(bucket, labels)

    async def delete_bucket(self, bucket: str) -> None:
        await self._of(bucket).delete_bucket(bucket)

    # --- objects ---

    def get(self, at: Address, options: ReadOptions = ReadOptions()) -> AbstractAsyncContextManager[Download]:
        return self._of(at.bucket).get(at, options)

    async def head(self, at: Address, options: ReadOptions = ReadOptions()) -> ObjectInfo:
        return await self._of(at.bucket).head(at, options)

    async def put(self, at: Address, body: Body, options: WriteOptions = WriteOptions()) -> ObjectInfo:
        return await self._of(at.bucket).put(at, body, options)

    async def copy(self, source: Address, to: Address, options: WriteOptions, etag: str) -> ObjectInfo:
        there, here = self._of(source.bucket), self._of(to.bucket)
        if there is here:
            return await here.copy(source, to, options, etag)
        return await across.copy(across.Across(there, source, etag, here, to), options)

    async def annotate(self, at: Address, labels: Mapping[str, str], was: Mapping[str, str] | None = None) -> None:
        await self._of(at.bucket).annotate(at, labels, was)

    async def delete(self, at: Address, conditions: Conditions = ANY_STATE) -> None:
        await self._of(at.bucket).delete(at, conditions)

    async def list_objects(self, bucket: str, query: ListQuery) -> ListPage:
        return await self._of(bucket).list_objects(bucket, query)

    # --- uploads ---

    async def create_upload(self, at: Address, options: WriteOptions = WriteOptions()) -> Upload:
        return await self._of(at.bucket).create_upload(at, options)

    async def put_part(self, upload: Upload, number: int, body: Body) -> Part:
        return await self._of(upload.at.bucket).put_part(upload, number, body)

    async def copy_part(self, upload: Upload, number: int, source: Address, options: ReadOptions, etag: str) -> Part:
        there, here = self._of(source.bucket), self._of(upload.at.bucket)
        if there is here:
            return await here.copy_part(upload, number, source, options, etag)
        pinned = replace(options, conditions=Conditions(if_match=(etag,)))
        async with there.get(source, pinned) as download, room_for(download):
            return await here.put_part(upload, number, body_of(download))

    async def list_parts(self, upload: Upload, after: int = 0, limit: int = 1000) -> PartPage:
        return await self._of(upload.at.bucket).list_parts(upload, after, limit)

    async def list_uploads(self, bucket: str, query: UploadQuery) -> UploadPage:
        return await self._of(bucket).list_uploads(bucket, query)

    async def complete_upload(self, upload: Upload, parts: Sequence[Part], completion: Completion) -> ObjectInfo:
        return await self._of(upload.at.bucket).complete_upload(upload, parts, completion)

    async def abort_upload(self, upload: Upload) -> None:
        await self._of(upload.at.bucket).abort_upload(upload)

    async def _others(self) -> Sequence[BucketInfo]:
        """Return the buckets of the storage that may hold any."""
        if self._default is None:
            return ()
        found = await self._default.list_buckets()
        return [info for info in found if self._routes.get(info.name, self._default) is self._default]

    def _named(self, bucket: str) -> Callable[[], Awaitable[Sequence[BucketInfo]]]:
        async def look() -> Sequence[BucketInfo]:
            try:
                return (await self._of(bucket).head_bucket(bucket),)
            except NoSuchBucket:
                return ()

        return look

    def _of(self, bucket: str) -> Backend:
        backend = self._routes.get(bucket, self._default)
        if backend is None:
            raise NoSuchBucket(BucketName=bucket)
        return backend
