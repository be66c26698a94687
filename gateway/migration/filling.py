"""Copies what was read from the old storage of a bucket that moves, beside all else."""

import asyncio
from typing import Final

import structlog

from gateway import metrics
from gateway.errors import S3Error
from gateway.migration.copying import Copier
from gateway.migration.tombs import Tombs
from gateway.replication.outcome import Fenced, name_of
from gateway.replication.window import Window
from gateway.storage import Address, Backend

log = structlog.get_logger()
WAITING: Final = 10_000  # keys; the next read of what is forgotten beyond them wants it again
CROWDED: Final = 1.0  # seconds after which a worker looks again whether the storage bears so many
FAILED, DELETED = "failed", "deleted"


class Filling:
    """Copies keys as they are wanted, a few at a time, and each once.

    Nothing depends on that: what is not copied is read from the old storage once more. `window` says how many at a
    time, and hears of it from `new`.
    """

    def __init__(self, route: str, old: Backend, new: Backend, tombs: Tombs, window: Window) -> None:
        self._route, self._tombs, self._window = route, tombs, window
        self._copier, self._most = Copier(old, new), window.size
        self._queue: asyncio.Queue[Address] = asyncio.Queue()
        self._wanted: set[Address] = set()

    def want(self, at: Address) -> None:
        """Have a key copied, if there is room for it among those that wait."""
        if at not in self._wanted and len(self._wanted) < WAITING:
            self._wanted.add(at)
            self._queue.put_nowait(at)

    async def run(self) -> None:
        """Copy for ever."""
        async with asyncio.TaskGroup() as workers:
            for number in range(self._most):
                workers.create_task(self._work(number))

    async def _work(self, number: int) -> None:
        while True:
            while number >= self._window.size:  # noqa: ASYNC110  that changes by and by
                await asyncio.sleep(CROWDED)
            at = await self._queue.get()
            try:
                await self._copy(at)
            finally:
                self._wanted.discard(at)

    async def _copy(self, at: Address) -> None:
        async def gate() -> None:
            if await self._tombs.is_buried(at):
                raise Fenced

        try:
            copied = await self._copier.copy(at, at, gate=gate)
        except Fenced:
            self._count(DELETED)
        except S3Error as error:
            log.warning("lazy_copy_failed", bucket=at.bucket, key=at.key, error=name_of(error))
            self._count(FAILED)
        else:
            self._count(copied.outcome.value, copied.size)

    def _count(self, result: str, size: int = 0) -> None:
        metrics.LAZY_COPIES.labels(self._route, result).inc()
        metrics.LAZY_BYTES.labels(self._route).inc(size)
