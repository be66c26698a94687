"""Clears away what nobody will finish: intents of nodes that are gone, and staged objects that nothing points to."""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from gateway.errors import BucketNotEmpty, NoSuchBucket, S3Error, ServiceUnavailable
from gateway.replication import corner
from gateway.replication.journal import Journal
from gateway.replication.outcome import name_of
from gateway.replication.records import Timing, Trash
from gateway.storage import Backend

log = structlog.get_logger()
AT_ONCE: Final = 16  # deletes


class Sweeper:
    """Deletes what the journal has given up. Names of staged objects are never used again, so this is never wrong."""

    def __init__(self, journal: Journal, backends: Mapping[str, Backend], timing: Timing) -> None:
        self._journal, self._backends, self._timing = journal, backends, timing

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            await self.round()
            await asyncio.sleep(self._timing.sweep_every)

    async def round(self) -> None:
        """Sweep once: until nothing is due that has not been tried."""
        try:
            while trash := await self._journal.sweep():
                for start in range(0, len(trash), AT_ONCE):
                    await asyncio.gather(*map(self._delete, trash[start : start + AT_ONCE]))
        except ServiceUnavailable as error:
            log.warning("sweep_failed", error=name_of(error))

    async def _delete(self, trash: Trash) -> None:
        backend = self._backends.get(trash.backend)
        if backend is None:  # it is configured no more
            return
        try:
            await (backend.delete(trash.at) if trash.at.key else _delete_bucket(backend, trash.at.bucket))
        except NoSuchBucket:
            pass
        except BucketNotEmpty:  # what is in it goes first
            return
        except S3Error as error:
            log.warning("trash_not_deleted", backend=trash.backend, key=trash.at.key, error=error.code)
            return
        await self._journal.swept(trash)


async def _delete_bucket(backend: Backend, bucket: str) -> None:
    await corner.clear(backend, bucket)
    await backend.delete_bucket(bucket)
