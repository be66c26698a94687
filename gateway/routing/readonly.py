"""Buckets in which nothing can be changed."""

from collections.abc import Callable, Mapping, Sequence

from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import AccessDenied
from gateway.routing.wrapper import Wrapper
from gateway.storage import (
    Address,
    Backend,
    Body,
    Completion,
    ObjectInfo,
    Part,
    ReadOptions,
    Upload,
    WriteOptions,
)


class ReadOnly(Wrapper):
    """A `Backend` that denies every change of the buckets that `is_read_only` names; nothing inside hears of it."""

    def __init__(self, inner: Backend, is_read_only: Callable[[str], bool]) -> None:
        super().__init__(inner)
        self._is_read_only = is_read_only

    async def create_bucket(self, bucket: str, labels: Mapping[str, str]) -> None:
        self._check(bucket)
        await self.inner.create_bucket(bucket, labels)

    async def delete_bucket(self, bucket: str) -> None:
        self._check(bucket)
        await self.inner.delete_bucket(bucket)

    async def put(self, at: Address, body: Body, options: WriteOptions = WriteOptions()) -> ObjectInfo:
        self._check(at.bucket)
        return await self.inner.put(at, body, options)

    async def copy(self, source: Address, to: Address, options: WriteOptions, etag: str) -> ObjectInfo:
        self._check(to.bucket)
        return await self.inner.copy(source, to, options, etag)

    async def annotate(self, at: Address, labels: Mapping[str, str], was: Mapping[str, str] | None = None) -> None:
        self._check(at.bucket)
        await self.inner.annotate(at, labels, was)

    async def delete(self, at: Address, conditions: Conditions = ANY_STATE) -> None:
        self._check(at.bucket)
        await self.inner.delete(at, conditions)

    async def create_upload(self, at: Address, options: WriteOptions = WriteOptions()) -> Upload:
        self._check(at.bucket)
        return await self.inner.create_upload(at, options)

    async def put_part(self, upload: Upload, number: int, body: Body) -> Part:
        self._check(upload.at.bucket)
        return await self.inner.put_part(upload, number, body)

    async def copy_part(self, upload: Upload, number: int, source: Address, options: ReadOptions, etag: str) -> Part:
        self._check(upload.at.bucket)
        return await self.inner.copy_part(upload, number, source, options, etag)

    async def complete_upload(self, upload: Upload, parts: Sequence[Part], completion: Completion) -> ObjectInfo:
        self._check(upload.at.bucket)
        return await self.inner.complete_upload(upload, parts, completion)

    async def abort_upload(self, upload: Upload) -> None:
        self._check(upload.at.bucket)
        await self.inner.abort_upload(upload)

    def _check(self, bucket: str) -> None:
        if self._is_read_only(bucket):
            raise AccessDenied("This bucket is read-only: the configuration of the gateway says so.", BucketName=bucket)
