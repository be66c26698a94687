"""The base of all that stands around another storage and changes only a part of what it does."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from gateway.conditions import ANY_STATE, Conditions
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


class Wrapper:
    """A `Backend` that passes every method on to another one."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner

    @property
    def name(self) -> str:
        return self.inner.name

    async def list_buckets(self) -> Sequence[BucketInfo]:
        return await self.inner.list_buckets()

    async def head_bucket(self, bucket: str) -> BucketInfo:
        return await self.inner.head_bucket(bucket)

    async def create_bucket(self, bucket: str, labels: Mapping[str, str]) -> None:
        await self.inner.create_bucket(bucket, labels)

    async def delete_bucket(self, bucket: str) -> None:
        await self.inner.delete_bucket(bucket)

    def get(self, at: Address, options: ReadOptions = ReadOptions()) -> AbstractAsyncContextManager[Download]:
        return self.inner.get(at, options)

    async def head(self, at: Address, options: ReadOptions = ReadOptions()) -> ObjectInfo:
        return await self.inner.head(at, options)

    async def put(self, at: Address, body: Body, options: WriteOptions = WriteOptions()) -> ObjectInfo:
        return await self.inner.put(at, body, options)

    async def copy(self, source: Address, to: Address, options: WriteOptions, etag: str) -> ObjectInfo:
        return await self.inner.copy(source, to, options, etag)

    async def annotate(self, at: Address, labels: Mapping[str, str], was: Mapping[str, str] | None = None) -> None:
        await self.inner.annotate(at, labels, was)

    async def delete(self, at: Address, conditions: Conditions = ANY_STATE) -> None:
        await self.inner.delete(at, conditions)

    async def list_objects(self, bucket: str, query: ListQuery) -> ListPage:
        return await self.inner.list_objects(bucket, query)

    async def create_upload(self, at: Address, options: WriteOptions = WriteOptions()) -> Upload:
        return await self.inner.create_upload(at, options)

    async def put_part(self, upload: Upload, number: int, body: Body) -> Part:
        return await self.inner.put_part(upload, number, body)

    async def copy_part(self, upload: Upload, number: int, source: Address, options: ReadOptions, etag: str) -> Part:
        return await self.inner.copy_part(upload, number, source, options, etag)

    async def list_parts(self, upload: Upload, after: int = 0, limit: int = 1000) -> PartPage:
        return await self.inner.list_parts(upload, after, limit)

    async def list_uploads(self, bucket: str, query: UploadQuery) -> UploadPage:
        return await self.inner.list_uploads(bucket, query)

    async def complete_upload(self, upload: Upload, parts: Sequence[Part], completion: Completion) -> ObjectInfo:
        return await self.inner.complete_upload(upload, parts, completion)

    async def abort_upload(self, upload: Upload) -> None:
        await self.inner.abort_upload(upload)
