"""Multipart uploads in a bucket that moves: all on the new storage, and completed as anything is written there."""

from collections.abc import Sequence
from dataclasses import replace

from gateway.routing.lazy.copying import Copying
from gateway.storage import (
    Address,
    Body,
    Completion,
    ObjectInfo,
    Part,
    PartPage,
    Upload,
    UploadPage,
    UploadQuery,
    WriteOptions,
)


class Uploads(Copying):
    """Multipart uploads."""

    async def create_upload(self, at: Address, options: WriteOptions = WriteOptions()) -> Upload:
        await self.prepare(at.bucket)
        return await self.new.create_upload(at, options)

    async def put_part(self, upload: Upload, number: int, body: Body) -> Part:
        return await self.new.put_part(upload, number, body)

    async def list_parts(self, upload: Upload, after: int = 0, limit: int = 1000) -> PartPage:
        return await self.new.list_parts(upload, after, limit)

    async def list_uploads(self, bucket: str, query: UploadQuery) -> UploadPage:
        await self.prepare(bucket)
        return await self.new.list_uploads(bucket, query)

    async def complete_upload(self, upload: Upload, parts: Sequence[Part], completion: Completion) -> ObjectInfo:
        async with self.deciding(upload.at, completion.conditions) as decision:
            await decision.gate()
            decided = replace(completion, conditions=decision.conditions)
            return await self.new.complete_upload(upload, parts, decided)

    async def abort_upload(self, upload: Upload) -> None:
        await self.new.abort_upload(upload)
