"""A storage that is asked so much at once, and no more."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

from gateway import metrics
from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import SlowDown
from gateway.routing.wrapper import Wrapper
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


class AtMost(Wrapper):
    """A `Backend` that refuses with SlowDown what comes while `most` calls are under way; a download is until it ends.

    Giving an upload up is never refused: it makes room.
    """

    def __init__(self, inner: Backend, most: int) -> None:
        super().__init__(inner)
        self._most, self._under_way = most, 0

    async def list_buckets(self) -> Sequence[BucketInfo]:
        with self._counted():
            return await self.inner.list_buckets()

    async def head_bucket(self, bucket: str) -> BucketInfo:
        with self._counted():
            return await self.inner.head_bucket(bucket)

    async def create_bucket(self, bucket: str, labels: Mapping[str, str]) -> None:
        with self._counted():
            await self.inner.create_bucket(bucket, labels)

    async def delete_bucket(self, bucket: str) -> None:
        with self._counted():
            await self.inner.delete_bucket(bucket)

    def get(self, at: Address, options: ReadOptions = ReadOptions()) -> AbstractAsyncContextManager[Download]:
        return self._opened(at, options)

    @asynccontextmanager
    async def _opened(self, at: Address, options: ReadOptions) -> AsyncIterator[Download]:
        with self._counted():
            async with self.inner.get(at, options) as download:
                yield download

    async def head(self, at: Address, options: ReadOptions = ReadOptions()) -> ObjectInfo:
        with self._counted():
            return await self.inner.head(at, options)

    async def put(self, at: Address, body: Body, options: WriteOptions = WriteOptions()) -> ObjectInfo:
        with self._counted():
            return await self.inner.put(at, body, options)

    async def copy(self, source: Address, to: Address, options: WriteOptions, etag: str) -> ObjectInfo:
        with self._counted():
            return await self.inner.copy(source, to, options, etag)

    async def annotate(self, at: Address, labels: Mapping[str, str], was: Mapping[str, str] | None = None) -> None:
        with self._counted():
            await self.inner.annotate(at, labels, was)

    async def delete(self, at: Address, conditions: Conditions = ANY_STATE) -> None:
        with self._counted():
            await self.inner.delete(at, conditions)

    async def list_objects(self, bucket: str, query: ListQuery) -> ListPage:
        with self._counted():
            return await self.inner.list_objects(bucket, query)

    async def create_upload(self, at: Address, options: WriteOptions = WriteOptions()) -> Upload:
        with self._counted():
            return await self.inner.create_upload(at, options)

    async def put_part(self, upload: Upload, number: int, body: Body) -> Part:
        with self._counted():
            return await self.inner.put_part(upload, number, body)

    async def copy_part(self, upload: Upload, number: int, source: Address, options: ReadOptions, etag: str) -> Part:
        with self._counted():
            return await self.inner.copy_part(upload, number, source, options, etag)

    async def list_parts(self, upload: Upload, after: int = 0, limit: int = 1000) -> PartPage:
        with self._counted():
            return await self.inner.list_parts(upload, after, limit)

    async def list_uploads(self, bucket: str, query: UploadQuery) -> UploadPage:
        with self._counted():
            return await self.inner.list_uploads(bucket, query)

    async def complete_upload(self, upload: Upload, parts: Sequence[Part], completion: Completion) -> ObjectInfo:
        with self._counted():
            return await self.inner.complete_upload(upload, parts, completion)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if self._under_way >= self._most:
            metrics.LIMITED.labels("backend").inc()
            error = SlowDown()
            error.headers = {"Retry-After": "1"}
            raise error
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
