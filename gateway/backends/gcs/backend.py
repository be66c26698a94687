"""The `Backend` that keeps objects in Google Cloud Storage."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from gateway.backends.gcs import bucket_labels, buckets, completing, copying, listing, reading, uploads, writing
from gateway.backends.gcs.buckets import Account
from gateway.backends.gcs.client import Client
from gateway.backends.gcs.deleting import Deletions
from gateway.conditions import ANY_STATE, Conditions
from gateway.storage import (
    Address,
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


class Gcs:
    """One project of Google Cloud Storage, or whatever speaks its JSON API."""

    def __init__(self, client: Client, account: Account, deletions: Deletions) -> None:
        self.name = client.name
        self._client, self._account, self._deletions = client, account, deletions

    # --- buckets ---

    async def list_buckets(self) -> Sequence[BucketInfo]:
        return await buckets.list_buckets(self._client, self._account)

    async def head_bucket(self, bucket: str) -> BucketInfo:
        return await buckets.head_bucket(self._client, bucket)

    async def create_bucket(self, bucket: str, labels: Mapping[str, str]) -> None:
        await buckets.create_bucket(self._client, self._account, bucket, labels)

    async def delete_bucket(self, bucket: str) -> None:
        await buckets.delete_bucket(self._client, bucket)

    # --- objects ---

    def get(self, at: Address, options: ReadOptions = ReadOptions()) -> AbstractAsyncContextManager[Download]:
        return reading.open_object(self._client, at, options)

    async def head(self, at: Address, options: ReadOptions = ReadOptions()) -> ObjectInfo:
        return await reading.head(self._client, at, options)

    async def put(self, at: Address, body: Body, options: WriteOptions = WriteOptions()) -> ObjectInfo:
        return await writing.put(self._client, at, body, options)

    async def copy(self, source: Address, to: Address, options: WriteOptions, etag: str) -> ObjectInfo:
        return await copying.copy(self._client, source, to, options, etag)

    async def annotate(self, at: Address, labels: Mapping[str, str], was: Mapping[str, str] | None = None) -> None:
        if at.key:
            await writing.annotate(self._client, at, labels, was)
        else:
            await bucket_labels.annotate(self._client, at.bucket, labels, was)

    async def delete(self, at: Address, conditions: Conditions = ANY_STATE) -> None:
        if conditions:
            await writing.delete_if(self._client, at, conditions)
        else:
            await self._deletions.delete(at)

    async def list_objects(self, bucket: str, query: ListQuery) -> ListPage:
        return await listing.list_objects(self._client, bucket, query)

    # --- uploads ---

    async def create_upload(self, at: Address, options: WriteOptions = WriteOptions()) -> Upload:
        return await uploads.create_upload(self._client, at, options)

    async def put_part(self, upload: Upload, number: int, body: Body) -> Part:
        return await uploads.put_part(self._client, upload, number, body)

    async def copy_part(self, upload: Upload, number: int, source: Address, options: ReadOptions, etag: str) -> Part:
        return await uploads.copy_part(self._client, upload, number, (source, etag), options.range)

    async def list_parts(self, upload: Upload, after: int = 0, limit: int = 1000) -> PartPage:
        return await uploads.list_parts(self._client, upload, after, limit)

    async def list_uploads(self, bucket: str, query: UploadQuery) -> UploadPage:
        return await uploads.list_uploads(self._client, bucket, query)

    async def complete_upload(self, upload: Upload, parts: Sequence[Part], completion: Completion) -> ObjectInfo:
        return await completing.complete_upload(self._client, upload, parts, completion)

    async def abort_upload(self, upload: Upload) -> None:
        await uploads.abort_upload(self._client, upload)
