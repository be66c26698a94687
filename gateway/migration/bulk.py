"""Copies all that a bucket holds into another storage. It may be ended at any moment, and begun again."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from gateway.errors import S3Error
from gateway.migration.checking import difference
from gateway.migration.copying import Copied, Copier, Outcome, found, is_copy_of, is_migrated
from gateway.migration.walking import CHANGED, Sides, Sign, Step, concerns_all, failed
from gateway.replication.comparing import Level, Seen
from gateway.replication.walk import Pair
from gateway.storage import ObjectInfo

GIVE_UP: Final = 100  # failures one after another: then a storage is down, and not a key odd


class Bulk:
    """Copies what the target lacks, and again what was changed since it was copied. That a key is done its copy tells.

    What others have put there stays; with `overwrite_older` only what is not older than the source's. `dry_run` has
    all looked at and nothing written.
    """

    def __init__(
        self, sides: Sides, *, dry_run: bool = False, overwrite_older: bool = False, exclusive: bool = False
    ) -> None:
        self._sides, self._dry_run, self._overwrites = sides, dry_run, overwrite_older
        self._copier = Copier(sides.source, sides.target, exclusive)
        self._failures = 0

    async def run(self) -> AsyncIterator[Step]:
        """Give what was done about each key of the source.

        Raises: S3Error, where a bucket cannot be listed, or no key could be copied as this one cannot.
        """
        async for step in self._sides.through(self._see_to, self._gives_up):
            if step:
                yield step

    def _gives_up(self, step: Step | None) -> bool:
        if step:
            self._failures = self._failures + 1 if step.mark is Sign.FAILED else 0
        return self._failures >= GIVE_UP

    async def _see_to(self, pair: Pair) -> Step | None:
        """Do what is to be done about a key; nothing is told of one that the source lacks."""
        if pair.source is None:
            return None
        try:
            return await self._settle(pair)
        except S3Error as error:
            if concerns_all(error):
                raise
            return failed(pair.key, error)

    async def _settle(self, pair: Pair) -> Step | None:
        at, held = self._sides.at(pair.key), None
        if pair.copy or self._dry_run:
            source, held = await asyncio.gather(found(self._sides.source, at), found(self._sides.target, at))
            if source is None:
                return None
            if held and (step := self._left(source, held)):
                return step
            if self._dry_run:
                return Step(Sign.COPIED, at.key, CHANGED if held else "", source.size)
        return _told(at.key, await self._copier.copy(at, at, held), held)

    def _left(self, source: ObjectInfo, held: ObjectInfo) -> Step | None:
        """Return what is told of a key that stays as it is; None: what is there is to be replaced."""
        if is_copy_of(held, source):
            return Step(Sign.SAME, held.key)
        if is_migrated(held):
            return None
        why = difference(Seen(source), Seen(held), Level.L1)
        if why and self._overwrites and held.modified < source.modified:
            return None
        return Step(Sign.TAKEN if why else Sign.SAME, held.key, why)


def _told(key: str, copied: Copied, over: ObjectInfo | None) -> Step | None:
    match copied.outcome:
        case Outcome.COPIED:
            why = ", ".join([*([CHANGED] if over else ()), *(f"another {name}" for name in copied.lost)])
            return Step(Sign.COPIED, key, why, copied.size)
        case Outcome.SAME:
            return Step(Sign.SAME, key)
        case Outcome.TAKEN:
            return Step(Sign.TAKEN, key, "written meanwhile")
        case Outcome.GONE:
            return None
