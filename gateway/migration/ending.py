"""The end of a lazy migration: what nobody has read is copied, dead copies go, and nothing is left that was missed."""

from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from gateway.errors import S3Error
from gateway.migration.copying import Copier, Outcome, found, is_migrated
from gateway.migration.tombs import Tombs
from gateway.migration.walking import Sides, Sign, Step, failed
from gateway.replication.outcome import Fenced
from gateway.replication.walk import Pair

PAGE: Final = 1000  # buried keys that are looked at in one go


class Left(NamedTuple):
    """What is left to be done: keys that only the old storage has, and dead copies. `buried`: what clients deleted."""

    keys: int
    copies: int
    buried: int

    @property
    def is_nothing(self) -> bool:
        return not (self.keys or self.copies)


class Ending:
    """Goes through a bucket that moves. The source of `sides` is the old storage, the target the new one."""

    def __init__(self, sides: Sides, tombs: Tombs) -> None:
        self._sides, self._tombs = sides, tombs
        self._copier = Copier(sides.source, sides.target)

    async def copy(self) -> AsyncIterator[Step]:
        """Copy what only the old storage has and is not dead, while clients go on. Raises: what listings raise."""
        async for step in self._sides.through(self._copy):
            if step:
                yield step

    async def sweep(self) -> AsyncIterator[Step]:
        """Delete the copies of what clients have deleted since.

        Nobody may write to the bucket meanwhile: what a client put there just then might go instead.
        """
        async for key in self._buried():
            at = self._sides.at(key)
            try:
                info = await found(self._sides.target, at)
                if info and is_migrated(info):
                    await self._sides.target.delete(at)
                    yield Step(Sign.DELETED, key)
            except S3Error as error:
                yield failed(key, error)

    async def left(self) -> Left:
        """Say what is left to be done. Raises: what the storages raise."""
        keys = copies = buried = 0
        async for is_left in self._sides.through(self._is_left):
            keys += is_left
        async for key in self._buried():
            info = await found(self._sides.target, self._sides.at(key))
            copies += info is not None and is_migrated(info)
            buried += 1
        return Left(keys, copies, buried)

    async def _copy(self, pair: Pair) -> Step | None:
        at = self._sides.at(pair.key)

        async def gate() -> None:
            if await self._tombs.is_buried(at):
                raise Fenced

        try:
            if not await self._is_left(pair):
                return None
            copied = await self._copier.copy(at, at, gate=gate)
        except Fenced:
            return None
        except S3Error as error:
            return failed(pair.key, error)
        return Step(Sign.COPIED, pair.key, size=copied.size) if copied.outcome is Outcome.COPIED else None

    async def _is_left(self, pair: Pair) -> bool:
        return pair.copy is None and not await self._tombs.is_buried(self._sides.at(pair.key))

    async def _buried(self) -> AsyncIterator[str]:
        after = ""
        while keys := await self._tombs.page(self._sides.bucket, after, PAGE):
            for key in keys:
                yield key
            after = keys[-1]
