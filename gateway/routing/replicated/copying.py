"""Copies and labels of objects in a replicated bucket."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from gateway.backends.assembly import check_labels
from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import ConditionalRequestConflict, NoSuchKey, PreconditionFailed, ServiceUnavailable
from gateway.replication.records import Kind, Look, Op, Row, Seen
from gateway.routing.replicated.answers import not_current
from gateway.routing.replicated.reading import ROUNDS
from gateway.routing.replicated.writing import Gate, Stage, Writing
from gateway.storage import Address, ObjectInfo, ReadOptions, WriteOptions
from gateway.transfer import body_of, room_at_once, room_for


class Copying(Writing):
    """COPY and labels: by a storage itself where both ends lie on it, else through the gateway."""

    async def copy(self, source: Address, to: Address, options: WriteOptions, etag: str) -> ObjectInfo:
        async def write(gate: Gate) -> ObjectInfo:
            await gate()
            return await self.primary.copy(source, to, options, etag)

        there, here = await self.look(source), await self.look(to)
        if self.is_on_primary(there) and not self.is_on_fallback(here):
            return await self._to_primary(to, Kind.PUT, write)
        if there.row and there.row.staged and self.is_on_fallback(here):
            pin(there.row, etag)
            return await self._to_fallback(to, self._restaging(there.row, options), options.conditions, here)
        pinned = ReadOptions(conditions=Conditions(if_match=(etag,)))
        async with self.get(source, pinned) as download, room_for(download):
            refuse_stale(download.info)
            return await self.put(to, body_of(download), options)

    async def annotate(self, at: Address, labels: Mapping[str, str], was: Mapping[str, str] | None = None) -> None:
        async def write(gate: Gate) -> None:
            await gate()
            await self.primary.annotate(at, labels, was)

        look = await self.look(at)
        for _ in range(ROUNDS):
            if not self.is_on_fallback(look):
                await self._to_primary(at, Kind.PUT, write)
                return
            with suppress(ConditionalRequestConflict):  # it is another object by now
                await self._annotate_on_fallback(at, labels, was, look)
                return
            look = await self.look_anew(at)
        raise not_current()

    async def _annotate_on_fallback(
        self, at: Address, labels: Mapping[str, str], was: Mapping[str, str] | None, look: Look
    ) -> None:
        """Stage the object once more with other labels: what is staged never changes."""
        if look.row:
            if look.row.info is None:
                raise NoSuchKey(Key=at.key)
            check_labels(look.row.info.labels, was)
            info = replace(look.row.info, labels=labels)
            await self._relabel(at, self._restaging(look.row, _options_of(info)), info, look)
            return
        async with self.get(at, ReadOptions(parts=True)) as download:
            refuse_stale(download.info)
            check_labels(download.info.labels, was)
            info = replace(download.info, labels=labels, served_by="", replication="")

            async def stage(op: Op) -> ObjectInfo:
                target = Address(at.bucket, op.staged)
                with room_at_once(download):
                    return await self.fallback.put(target, body_of(download), _options_of(info))

            await self._relabel(at, stage, info, look)

    async def _relabel(self, at: Address, stage: Stage, info: ObjectInfo, look: Look) -> None:
        """Make current what has been staged, if what `look` saw still is. Raises: ConditionalRequestConflict."""

        async def commit(_: ObjectInfo) -> Row:
            seen = Conditions(if_match=(info.etag,))
            if look.row:
                return await self.journal.commit(op, info, seen, gen=look.row.gen)
            return await self.journal.commit(op, info, seen, Seen(info, look.epoch))

        op = await self._begin_staging(at, look)
        await self._make_current(op, stage, commit)

    def _restaging(self, row: Row, options: WriteOptions) -> Stage:
        """Return what stages an object once more, under another key and with other things beside it."""

        async def stage(op: Op) -> ObjectInfo:
            source, target = Address(row.at.bucket, row.staged), Address(op.at.bucket, op.staged)
            try:
                found = await self.fallback.head(source)
                plain = replace(options, conditions=ANY_STATE)
                made = await self.fallback.copy(source, target, plain, found.etag)
            except NoSuchKey as error:  # superseded and collected since
                raise ServiceUnavailable from error
            is_whole = row.info is not None and not row.info.part_count
            return replace(made, key=op.at.key, etag=row.info.etag if row.info and is_whole else made.etag)

        return stage


def pin(row: Row, etag: str) -> None:
    """Raise PreconditionFailed unless a row's object is the one that was meant."""
    if row.info is None or row.info.etag != etag:
        raise PreconditionFailed


def refuse_stale(info: ObjectInfo) -> None:
    """Let nothing be made of an object that may be an old one."""
    if info.stale:
        raise not_current()


def _options_of(info: ObjectInfo) -> WriteOptions:
    """Return what is to be said of another copy of an object."""
    checksum = info.checksum
    return WriteOptions(
        headers=info.headers,
        metadata=info.metadata,
        labels=info.labels,
        checksum=checksum.algorithm if checksum else WriteOptions().checksum,
        composite=bool(checksum and checksum.composite),
    )
