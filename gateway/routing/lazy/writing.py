"""PUT and DELETE in a bucket that moves: on the new storage, the key being dead in the old one before it is deleted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final

from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import ConditionalRequestConflict, NoSuchKey, PreconditionFailed, S3Error, ServiceUnavailable
from gateway.migration.copying import Copier
from gateway.migration.tombs import Burial, Hold
from gateway.replication.outcome import outcome_of
from gateway.replication.records import Outcome
from gateway.routing.lazy.moving import PATIENCE, PAUSE, Seen
from gateway.routing.lazy.reading import Reading
from gateway.routing.replicated.answers import refused, unknown
from gateway.storage import Address, Body, ObjectInfo, WriteOptions

COPIED: Final = 16 * 1024 * 1024  # bytes
_ANOTHER: Final = (ConditionalRequestConflict, NoSuchKey, PreconditionFailed)  # it is not what it was
MARGIN: Final = 60.0  # seconds that the last bytes may take, besides what an answer that was lost may


class Writing(Reading):
    """PUT and DELETE, and what all writes share."""

    async def put(self, at: Address, body: Body, options: WriteOptions = WriteOptions()) -> ObjectInfo:
        async with self.deciding(at, options.conditions) as decision:
            if options.conditions:
                body.gate(decision.gate)
            return await self.new.put(at, body, replace(options, conditions=decision.conditions))

    async def delete(self, at: Address, conditions: Conditions = ANY_STATE) -> None:
        """As `Backend.delete`.

        A copy that is there is left, as dead as what it was made of: to delete it, too, would be to delete twice, and
        the second time perhaps what a client has put there in between.
        """
        await self.prepare(at.bucket)
        if conditions:
            await self._delete_if(at, conditions)
            return
        seen, burial = await self.bury(at)
        if burial is Burial.BEFORE or seen.is_own:
            await self.new.delete(at)

    @asynccontextmanager
    async def deciding(self, at: Address, conditions: Conditions) -> AsyncIterator["_Decision"]:
        """Have what is written inside under its own conditions be written under these.

        The new storage decides by itself where it alone tells of the key. Else what is written replaces what the old
        one has, or a copy of it: the key is held meanwhile, so that nobody deletes that, and is dead there afterwards.
        """
        await self.prepare(at.bucket)
        if not conditions:
            yield _Decision(self, at, Seen(None), conditions)
            return
        decision = _Decision(self, at, await self._look_for(at, conditions), conditions)
        try:
            yield decision
        except BaseException as error:
            await decision.failed(error)
            if isinstance(error, _ANOTHER):
                conditions.check_write(at.key, (await self.look(at)).info)
                raise ConditionalRequestConflict from error
            raise
        await decision.done()

    async def _look_for(self, at: Address, conditions: Conditions) -> Seen:
        """Return what is known of a key whose state fulfils conditions.

        Who writes what he has just read would come across its copy in the background: what is small is copied first.
        Raises: PreconditionFailed, NoSuchKey.
        """
        seen = await self.look(at)
        conditions.check_write(at.key, seen.info)
        if seen.old is None or seen.old.size > COPIED:
            return seen
        with suppress(S3Error):
            await Copier(self.old, self.new).copy(at, at)
        seen = await self.look(at)
        conditions.check_write(at.key, seen.info)
        return seen

    async def _delete_if(self, at: Address, conditions: Conditions) -> None:
        async with self.deciding(at, conditions) as decision:
            await decision.gate()
            if decision.alone:
                await self.bury(at)
                await self.new.delete(at, conditions)


class _Decision:
    """How one write is decided. `gate` is awaited before the last bytes go; `conditions` are what the storage is told.

    `alone`: the new storage decides by itself. Only what replaces what the old one has, or a copy, is held up.
    """

    def __init__(self, moving: Writing, at: Address, seen: Seen, conditions: Conditions) -> None:
        self._moving, self._at, self._seen = moving, at, seen
        self._hold: Hold | None = None
        self.alone = seen.is_own or not (seen.new or seen.old)
        self.conditions = conditions if self.alone else _unchanged(seen.new)

    async def gate(self) -> None:
        """Return if it may be written now. Raises: ConditionalRequestConflict, if the key is another than was seen."""
        if self.alone:
            return
        for _ in range(PATIENCE):
            with refused():
                self._hold = await self._moving.tombs.hold(self._at, self._moving.hold + MARGIN)
            if self._hold:
                break
            await asyncio.sleep(PAUSE)
        if self._hold is None or not await self._is_unchanged(self._hold):
            raise ConditionalRequestConflict

    async def failed(self, error: BaseException) -> None:
        """Let go of the key, if it is certain that nothing was written; else the hold ends when nothing can be."""
        if self._hold and outcome_of(error) is Outcome.REFUSED:
            with suppress(S3Error):  # it ends of itself
                await self._moving.tombs.let_go(self._hold, buried=False)

    async def done(self) -> None:
        """Have what was replaced be dead. Raises: InternalError, if nobody knows whether it was there to the end."""
        if self._hold is None:
            return
        try:
            if await self._moving.tombs.let_go(self._hold, buried=True):
                return
        except ServiceUnavailable as error:
            raise unknown() from error
        raise unknown()

    async def _is_unchanged(self, hold: Hold) -> bool:
        new = await self._moving.look_new(self._at)
        seen = self._seen._replace(new=new)
        is_same = (new and new.etag) == (self._seen.new and self._seen.new.etag)
        return hold.buried == self._seen.buried and not seen.is_own and is_same


def _unchanged(copy: ObjectInfo | None) -> Conditions:
    """Return the conditions under which the new storage still has just this copy, or nothing."""
    return Conditions(if_match=(copy.etag,)) if copy else Conditions(if_none_match=("*",))
