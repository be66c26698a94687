"""Completion of multipart uploads in a replicated bucket, wherever they were begun."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from gateway.checksums import multipart_etag
from gateway.conditions import ANY_STATE
from gateway.errors import NoSuchKey, NoSuchUpload, S3Error, ServiceUnavailable
from gateway.replication.copier import Carriage
from gateway.replication.records import Begun, Kind, Look, Op
from gateway.routing.replicated.answers import refused
from gateway.routing.replicated.uploads import Uploads, inner, staging
from gateway.routing.replicated.writing import Gate
from gateway.storage import Address, Check, Completion, Download, ObjectInfo, Part, ReadOptions, Upload


class Completing(Uploads):
    """CompleteMultipartUpload."""

    async def complete_upload(self, upload: Upload, parts: Sequence[Part], completion: Completion) -> ObjectInfo:
        """As `Backend.complete_upload`; again the same if it was completed before, by a request without an answer.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
        """
        try:
            return await self._complete(upload, parts, completion)
        except NoSuchUpload:
            made = await self._made_before(upload.at, parts)
            if made is None:
                raise
            return made

    async def _complete(self, upload: Upload, parts: Sequence[Part], completion: Completion) -> ObjectInfo:
        begun = await self._begun(upload)
        if begun is None:
            return await self._complete_on_primary(upload, parts, completion)
        look = await self.look(upload.at)
        if self.is_on_fallback(look):
            return await self._complete_on_fallback(begun, parts, completion, look)
        return await self._complete_across(begun, parts, completion)

    async def _complete_on_primary(self, upload: Upload, parts: Sequence[Part], completion: Completion) -> ObjectInfo:
        async def write(gate: Gate) -> ObjectInfo:
            if completion.check is None:
                await gate()
                return await self.primary.complete_upload(inner(upload), parts, completion)
            checked = replace(completion, check=_before(gate, completion.check))
            return await self.primary.complete_upload(inner(upload), parts, checked)

        return await self._to_primary(upload.at, Kind.PUT, write)

    async def _made_before(self, at: Address, parts: Sequence[Part]) -> ObjectInfo | None:
        """Return the object, if it is what an upload of these parts becomes."""
        with suppress(S3Error):
            info = await self.head(at)
            if info.etag == _etag(parts):
                return info
        return None

    async def _complete_on_fallback(
        self, begun: Begun, parts: Sequence[Part], completion: Completion, look: Look
    ) -> ObjectInfo:
        known = await self._known(begun.at, look, completion.conditions)

        async def stage(_: Op) -> ObjectInfo:
            return await self._assembled(begun, parts, completion)

        with refused():
            op = await self.journal.begin(begun.at, Kind.PUT, on_fallback=True, staged=begun.staged)
        commit = partial(self._commit, op, completion.conditions, known, upload=begun.id)
        return await self._make_current(op, stage, commit)

    async def _complete_across(self, begun: Begun, parts: Sequence[Part], completion: Completion) -> ObjectInfo:
        """Complete an upload on the fallback when the primary is back: then write it there, of the same parts."""
        made = await self._assembled(begun, parts, completion)
        staged = Address(begun.at.bucket, begun.staged)

        async def write(gate: Gate) -> ObjectInfo:
            carriage = Carriage(
                self.fallback,
                staged,
                self.primary,
                begun.at,
                gate,
                parts=made.parts,
                conditions=completion.conditions,
            )
            await carriage.run()
            return replace(made, parts=())

        stored = await self._to_primary(begun.at, Kind.PUT, write)
        with suppress(ServiceUnavailable):  # it is aborted when it is old
            await self.journal.end_upload(begun.id)
        return stored

    async def _assembled(self, begun: Begun, parts: Sequence[Part], completion: Completion) -> ObjectInfo:
        """Return what the parts became on the fallback, now or at an earlier try, as its client will see it."""
        etag = _etag(parts)
        is_new = True
        try:
            await self.fallback.complete_upload(staging(begun), parts, replace(completion, conditions=ANY_STATE))
        except NoSuchUpload:
            is_new = False
        try:
            made = await self.fallback.head(Address(begun.at.bucket, begun.staged), ReadOptions(parts=True))
        except NoSuchKey:
            raise NoSuchUpload(UploadId=begun.id) from None
        if not is_new and made.etag != etag:  # it became an object of other parts
            raise NoSuchUpload(UploadId=begun.id)
        return replace(made, key=begun.at.key, etag=etag or made.etag)


def _before(gate: Gate, check: Check) -> Check:
    """Return a check that asks the gate when it is through: it may take longer than what the gate says holds."""

    async def checked(download: Download) -> None:
        await check(download)
        await gate()

    return checked


def _etag(parts: Sequence[Part]) -> str | None:
    """Return the ETag of what is made of parts; None if theirs are no MD5s."""
    try:
        return multipart_etag([part.etag for part in parts])
    except ValueError:
        return None
