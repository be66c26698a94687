"""Copies and labels of objects in a bucket that moves."""

from collections.abc import Mapping
from dataclasses import replace

from gateway.backends.assembly import check_labels
from gateway.conditions import Conditions
from gateway.errors import NoSuchKey, OperationAborted, PreconditionFailed
from gateway.migration.copying import Copier
from gateway.replication.copier import MIGRATED
from gateway.routing.lazy.moving import unmarked
from gateway.routing.lazy.writing import Writing
from gateway.storage import Address, ObjectInfo, Part, ReadOptions, Upload, WriteOptions
from gateway.transfer import body_of, room_for

ATTEMPTS = 5  # how often an object is labelled that is replaced just then


class Copying(Writing):
    """COPY and labels: by the new storage itself where the source lies on it, else through the gateway."""

    async def copy(self, source: Address, to: Address, options: WriteOptions, etag: str) -> ObjectInfo:
        if await self._lies_on_old(source):
            async with self.get(source, _pinned(ReadOptions(), etag)) as download, room_for(download):
                return await self.put(to, body_of(download), options)
        async with self.deciding(to, options.conditions) as decision:
            await decision.gate()
            return await self.new.copy(source, to, replace(options, conditions=decision.conditions), etag)

    async def copy_part(self, upload: Upload, number: int, source: Address, options: ReadOptions, etag: str) -> Part:
        if await self._lies_on_old(source):
            async with self.get(source, _pinned(options, etag)) as download, room_for(download):
                return await self.new.put_part(upload, number, body_of(download))
        return await self.new.copy_part(upload, number, source, options, etag)

    async def annotate(self, at: Address, labels: Mapping[str, str], was: Mapping[str, str] | None = None) -> None:
        """As `Backend.annotate`. What only the old storage has is copied first; a copy stays one."""
        await self.prepare(at.bucket)
        if not at.key:
            await self.new.annotate(at, labels, was)
            return
        for _ in range(ATTEMPTS):
            seen = await self.look(at)
            if seen.info is None:
                raise NoSuchKey(Key=at.key)
            check_labels(unmarked(seen.info).labels, was)
            if seen.info is seen.old:
                await Copier(self.old, self.new).copy(at, at)
                continue
            note = {name: value for name, value in seen.info.labels.items() if name == MIGRATED}
            try:
                await self.new.annotate(at, {**labels, **note}, seen.info.labels)
            except PreconditionFailed:
                continue
            return
        raise OperationAborted

    async def _lies_on_old(self, source: Address) -> bool:
        """Say where an object is to be copied from. Raises: NoSuchKey."""
        await self.prepare(source.bucket)
        seen = await self.look(source)
        if seen.info is None:
            raise NoSuchKey(Key=source.key)
        return seen.info is seen.old


def _pinned(options: ReadOptions, etag: str) -> ReadOptions:
    return replace(options, conditions=Conditions(if_match=(etag,)))
