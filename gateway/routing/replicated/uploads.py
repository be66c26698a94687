"""Multipart uploads of a replicated bucket: each stays where it was begun, and its id tells where that is."""

import re
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from gateway.backends.assembly import new_upload_id
from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import NoSuchUpload, S3Error, ServiceUnavailable
from gateway.replication.records import Begun, Look, Mode, Outcome, new_id, staged_key
from gateway.routing.replicated.answers import failed, refused, unanswered
from gateway.routing.replicated.buckets import Buckets
from gateway.routing.replicated.copying import pin, refuse_stale
from gateway.routing.replicated.open_uploads import ON_FALLBACK, ON_PRIMARY, for_primary, joined, on_fallback, told
from gateway.routing.replicated.route import NO_ANSWER
from gateway.storage import (
    Address,
    Body,
    Part,
    PartPage,
    ReadOptions,
    Upload,
    UploadPage,
    UploadQuery,
    WriteOptions,
)
from gateway.transfer import body_of, room_for

_OURS: Final = re.compile("[0-9a-f]{48}")


class Uploads(Buckets):
    """Create, store and copy parts, list, complete, abort."""

    async def create_upload(self, at: Address, options: WriteOptions = WriteOptions()) -> Upload:
        look = await self.look(at)
        if not self.is_on_fallback(look):
            try:
                return Upload(at, ON_PRIMARY + (await self.primary.create_upload(at, options)).id)
            except ServiceUnavailable as error:
                look = await self.look(at)
                if not self.is_on_fallback(look):
                    raise failed(error, Outcome.REFUSED) from error
        return await self._begin_on_fallback(at, options, look)

    async def put_part(self, upload: Upload, number: int, body: Body) -> Part:
        with refused():
            begun = await self._begun(upload)
            if begun is None:
                return await self.primary.put_part(inner(upload), number, body)
            return await self.fallback.put_part(staging(begun), number, body)

    async def copy_part(self, upload: Upload, number: int, source: Address, options: ReadOptions, etag: str) -> Part:
        """As `Backend.copy_part`; by the storage itself only where both ends lie on the same one."""
        with refused():
            begun, look = await self._begun(upload), await self.look(source)
            if begun is None and self.is_on_primary(look):
                return await self.primary.copy_part(inner(upload), number, source, options, etag)
            if begun and look.row and look.row.staged:
                pin(look.row, etag)
                staged = Address(source.bucket, look.row.staged)
                found = await self.fallback.head(staged)
                return await self.fallback.copy_part(staging(begun), number, staged, options, found.etag)
        pinned = replace(options, conditions=Conditions(if_match=(etag,)))
        async with self.get(source, pinned) as download, room_for(download):
            refuse_stale(download.info)
            return await self.put_part(upload, number, body_of(download))

    async def list_parts(self, upload: Upload, after: int = 0, limit: int = 1000) -> PartPage:
        try:
            begun = await self._begun(upload)
            if begun is None:
                page = await self.primary.list_parts(inner(upload), after, limit)
                return page._replace(info=replace(page.info, upload=upload))
            page = await self.fallback.list_parts(staging(begun), after, limit)
            return page._replace(info=told(begun))
        except NO_ANSWER as error:
            raise unanswered(error) from error

    async def abort_upload(self, upload: Upload) -> None:
        with refused():
            begun = await self._begun(upload)
            if begun is None:
                await self.primary.abort_upload(inner(upload))
                return
            if not await self.journal.end_upload(begun.id):
                raise NoSuchUpload(UploadId=upload.id)
        with suppress(S3Error):
            await self.fallback.abort_upload(staging(begun))

    async def list_uploads(self, bucket: str, query: UploadQuery) -> UploadPage:
        """As `Backend.list_uploads`; while the primary is down only those that can go on.

        Of one key those on the primary come first.
        """
        with refused():
            begun = await on_fallback(self.journal, bucket, query)
        look = await self.look(Address(bucket))
        if look.mode is Mode.FAILOVER or look.is_new:
            return begun
        try:
            page = await self.primary.list_uploads(bucket, for_primary(query))
        except NO_ANSWER as error:
            raise unanswered(error) from error
        return joined(page, begun, query.limit)

    # --- where an upload is ---

    async def _begin_on_fallback(self, at: Address, options: WriteOptions, look: Look) -> Upload:
        await self._prepare(at.bucket, look)
        begun = Begun(new_upload_id(), at, "", staged_key(new_id()), datetime.now(UTC), options)
        plain = replace(options, conditions=ANY_STATE)
        with refused():
            there = await self.fallback.create_upload(Address(at.bucket, begun.staged), plain)
            await self.journal.begin_upload(replace(begun, inner=there.id))
        return Upload(at, ON_FALLBACK + begun.id)

    async def _begun(self, upload: Upload) -> Begun | None:
        """Return an upload that was begun on the fallback, None for others. Raises: NoSuchUpload."""
        if not upload.id.startswith(ON_FALLBACK):
            if (await self.look(upload.at)).is_new:  # nothing was ever begun on the primary
                raise NoSuchUpload(UploadId=upload.id)
            return None
        identity = upload.id.removeprefix(ON_FALLBACK)
        if not _OURS.fullmatch(identity):
            raise NoSuchUpload(UploadId=upload.id)
        with refused():
            begun = await self.journal.find_upload(identity)
        if begun is None or begun.at != upload.at:
            raise NoSuchUpload(UploadId=upload.id)
        return begun


def inner(upload: Upload) -> Upload:
    """Return an upload as the primary knows it."""
    return upload._replace(id=upload.id.removeprefix(ON_PRIMARY))


def staging(begun: Begun) -> Upload:
    """Return an upload as the fallback knows it."""
    return Upload(Address(begun.at.bucket, begun.staged), begun.inner)
