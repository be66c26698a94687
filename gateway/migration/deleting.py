"""Deletes from the source what was copied, each key only where all that can be told says that the copy is the same."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from gateway.conditions import Conditions
from gateway.errors import NoSuchKey, PreconditionFailed, S3Error
from gateway.migration.checking import difference
from gateway.migration.copying import found, is_copy_of, is_migrated
from gateway.migration.walking import CHANGED, Sides, Sign, Step, concerns_all, failed
from gateway.replication.comparing import Level, Seen, is_same_state, see
from gateway.replication.walk import Pair
from gateway.storage import Address, ObjectInfo


class Removal:
    """Deletes the objects of the source that are older than `min_age` and have a copy that was made of this very state.

    That the bytes are the same is to be shown by ETag or checksum; with L2 all of them are read instead. At most `most`
    are deleted. `exclusive`: nobody else writes to the source, so that it need not know conditions of deletions.
    """

    def __init__(  # noqa: PLR0913  all that holds it back
        self,
        sides: Sides,
        min_age: timedelta,
        *,
        level: Level = Level.L1,
        dry_run: bool = False,
        exclusive: bool = False,
        most: int | None = None,
    ) -> None:
        self._sides, self._min_age, self._level = sides, min_age, level
        self._dry_run, self._exclusive, self._left = dry_run, exclusive, most

    async def run(self) -> AsyncIterator[Step]:
        """Give what was done about each key of the source, until one could not be seen to.

        Raises: S3Error, where a bucket cannot be listed, or nothing can be deleted under conditions.
        """
        async for step in self._sides.through(self._see_to, _has_failed):
            if step:
                yield step

    async def _see_to(self, pair: Pair) -> Step | None:
        """Do what is to be done about a key; nothing is told of one that the source lacks."""
        if pair.source is None:
            return None
        try:
            return await self._settle(self._sides.at(pair.key))
        except S3Error as error:
            if concerns_all(error):
                raise
            return failed(pair.key, error)

    async def _settle(self, at: Address) -> Step | None:
        source, doubt = await self._look(at, Level.L1)  # of what is kept anyway nothing is read
        if source and not doubt and self._level is not Level.L1:
            source, doubt = await self._look(at, self._level)
        if source is None:
            return None
        return Step(Sign.KEPT, at.key, doubt) if doubt else await self._deleted(at, source)

    async def _look(self, at: Address, level: Level) -> tuple[ObjectInfo | None, str]:
        """Return what the source has, and why it is kept; "" if it need not be."""
        source, copy = await asyncio.gather(see(self._sides.source, at, level), see(self._sides.target, at, level))
        return (source.info, self._doubt(source, copy, level)) if source else (None, "")

    def _doubt(self, source: Seen, copy: Seen | None, level: Level) -> str:
        if copy is None:
            return "not copied"
        if not is_migrated(copy.info):
            return "something else is there"
        if not is_copy_of(copy.info, source.info):
            return CHANGED
        if datetime.now(UTC) - source.info.modified < self._min_age:
            return "too young"
        if why := difference(source, copy, level):
            return f"another {why}"
        is_shown = level is not self._level or _are_shown_the_same(source, copy)
        return "" if is_shown else "nothing shows that the bytes are the same"

    async def _deleted(self, at: Address, seen: ObjectInfo) -> Step:
        if self._left is not None:
            if not self._left:
                return Step(Sign.KEPT, at.key, "more than were counted")
            self._left -= 1
        if not self._dry_run:
            try:
                await self._delete(at, seen)
            except (NoSuchKey, PreconditionFailed):
                if await found(self._sides.source, at):
                    return Step(Sign.KEPT, at.key, CHANGED)
        return Step(Sign.DELETED, at.key, size=seen.size)

    async def _delete(self, at: Address, seen: ObjectInfo) -> None:
        """Delete what was seen, and nothing else. Raises: NoSuchKey, PreconditionFailed."""
        if not self._exclusive:
            await self._sides.source.delete(at, Conditions(if_match=(seen.etag,)))
        elif is_same_state(seen, await found(self._sides.source, at)):
            await self._sides.source.delete(at)
        else:
            raise PreconditionFailed


def _has_failed(step: Step | None) -> bool:
    return step is not None and step.mark is Sign.FAILED


def _are_shown_the_same(source: Seen, copy: Seen) -> bool:
    """Say whether the bytes of both were read, or what both storages tell of them is the same."""
    one, other = source.info, copy.info
    has_checksum = one.checksum is not None and one.checksum == other.checksum
    return bool(source.digest) or has_checksum or one.etag == other.etag
