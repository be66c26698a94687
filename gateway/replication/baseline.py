"""Gives a mirror what was there before it was one, and tells when it holds all: only then may it be read."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import structlog

from gateway.errors import BucketAlreadyExists, NoSuchBucket, S3Error
from gateway.replication import records
from gateway.replication.journal import Journal
from gateway.replication.outcome import name_of
from gateway.replication.records import Mode
from gateway.replication.walk import Pair, side_by_side
from gateway.storage import Address, Backend

log = structlog.get_logger()
AGAIN: Final = 30.0  # seconds between two looks
BATCH: Final = 500  # keys that are marked in one transaction
BUSY: Final = 10_000  # tasks beyond which the walk waits for the workers


class Baseline:
    """Walks through primary and mirror once, and has the workers look at each key that differs.

    What a client changes meanwhile is dirty of itself. A key is marked before the walk ends, so at its end each key
    is either the same on both or known to be dirty. `buckets` names what there is to walk through.
    """

    def __init__(
        self,
        journal: Journal,
        target: str,
        primary: Backend,
        mirror: Backend,
        buckets: Callable[[], Awaitable[Sequence[str]]],
    ) -> None:
        self._journal, self._target, self._buckets = journal, target, buckets
        self._primary, self._mirror = primary, mirror

    async def run(self) -> None:
        """Look for ever whether a walk is wanted."""
        while True:
            try:
                await self.round()
            except S3Error as error:
                log.warning("baseline_failed", target=self._target, error=name_of(error))
            await asyncio.sleep(AGAIN)

    async def round(self) -> None:
        """Walk, if that has not been done yet and the primary is the only one who knows. Raises: S3Error."""
        replica = await self._journal.replica(self._target)
        state = await self._journal.state()
        if replica.baseline is records.Baseline.COMPLETE or replica.paused or state.mode is not Mode.NORMAL:
            return
        await self._journal.set_baseline(self._target, records.Baseline.RUNNING)
        keys = 0
        for bucket in await self._buckets():
            keys += await self._walk(bucket)
        await self._journal.know(self._target, keys)
        if (await self._journal.state()).epoch == state.epoch:  # it was the primary's word throughout
            await self._journal.set_baseline(self._target, records.Baseline.COMPLETE)
            log.info("baseline_complete", target=self._target)

    async def _walk(self, bucket: str) -> int:
        """Have what differs looked at, and return how many keys the mirror is to hold."""
        try:
            labels = (await self._primary.head_bucket(bucket)).labels
        except NoSuchBucket:
            return 0  # nobody has created it yet
        with suppress(BucketAlreadyExists):
            await self._mirror.create_bucket(bucket, labels)
        keys, marked = 0, list[Address]()
        async for pair in side_by_side(bucket, self._primary, self._mirror):
            keys += pair.source is not None
            if _differs(pair):
                marked.append(Address(bucket, pair.key))
            if len(marked) >= BATCH:
                await self._mark(marked)
                marked = []
        await self._mark(marked)
        return keys

    async def _mark(self, ats: Sequence[Address]) -> None:
        if ats:
            await self._journal.mark(self._target, ats)
        while (await self._journal.lag())[self._target].pending > BUSY:  # noqa: ASYNC110  only the database knows
            await asyncio.sleep(1)


def _differs(pair: Pair) -> bool:
    """Say whether a key has to be looked at. Sizes that are the same prove nothing: the stamp of a copy does."""
    if pair.source is None or pair.copy is None:
        return True
    return (pair.source.size, pair.source.etag) != (pair.copy.size, pair.copy.etag)
