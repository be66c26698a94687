"""Gives a mirror what was there before it was one, and tells when it holds all: only then may it be read.

The same once more for a mirror that was away for so long that not all it lacks could be written down.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import structlog

from gateway.errors import BucketAlreadyExists, NoSuchBucket, NoSuchKey, S3Error, ServiceUnavailable
from gateway.replication import records
from gateway.replication.copier import is_stamped
from gateway.replication.journal import Journal
from gateway.replication.outcome import name_of
from gateway.replication.records import Kind, Mode
from gateway.replication.walk import Pair, side_by_side
from gateway.storage import Address, Backend

log = structlog.get_logger()
AGAIN: Final = 30.0  # seconds between two looks
BATCH: Final = 500  # keys that are marked in one transaction
BUSY: Final = 10_000  # tasks beyond which the walk waits for the workers
MOST: Final = 2_000_000  # keys that a mirror may lack one by one: about half a gigabyte of tables


class Baseline:
    """Walks through primary and mirror once, and has the workers look at each key that differs.

    What a client changes meanwhile is dirty of itself. A key is marked before the walk ends, so at its end each key
    is either the same on both or known to be dirty. `buckets` names what there is to walk through, `most` says how many
    keys that the mirror lacks are written down at most.
    """

    def __init__(  # noqa: PLR0913  two storages are what it is between
        self,
        journal: Journal,
        target: str,
        primary: Backend,
        mirror: Backend,
        buckets: Callable[[], Awaitable[Sequence[str]]],
        *,
        most: int = MOST,
    ) -> None:
        self._most, self._busy = most, min(BUSY, most // 2)
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
        if not await self._is_all_written_down():
            return
        replica = await self._journal.replica(self._target)
        state = await self._journal.state()
        if replica.baseline is records.Baseline.COMPLETE or replica.paused or state.mode is not Mode.NORMAL:
            return
        await self._journal.set_baseline(self._target, records.Baseline.RUNNING)
        overflow, keys = await self._journal.excess.find(self._target), 0
        deletes = overflow is not None and overflow.deletes
        for bucket in await self._buckets():
            keys += await self._walk(bucket, deletes=deletes)
        await self._journal.know(self._target, keys)
        is_current = (await self._journal.state()).epoch == state.epoch  # it was the primary's word throughout
        if is_current and await self._journal.excess.complete(self._target, deletes=deletes):
            log.info("baseline_complete", target=self._target)

    async def _is_all_written_down(self) -> bool:
        """Say whether all is written down that the mirror lacks, or will be; when it is too much, it is not any more.

        It is again when the mirror has got nearly all of what was.
        """
        overflow = await self._journal.excess.find(self._target)
        lag = (await self._journal.lag())[self._target]
        if overflow is None or overflow.ended:
            if lag.pending > self._most:
                log.error("mirror_overflowed", route=self._journal.route, target=self._target, keys=lag.pending)
                await self._journal.excess.begin(self._target)
            return lag.pending <= self._most
        is_back = lag.pending <= self._most // 2 and lag.pending - lag.dead <= self._busy
        if is_back:
            await self._journal.excess.end(self._target)
        return is_back

    async def _walk(self, bucket: str, *, deletes: bool) -> int:
        """Have what differs looked at, and return how many keys the mirror is to hold."""
        try:
            labels = (await self._primary.head_bucket(bucket)).labels
        except NoSuchBucket:
            return 0  # nobody has created it yet
        with suppress(BucketAlreadyExists):
            await self._mirror.create_bucket(bucket, labels)
        keys, marked = 0, dict[Kind, list[Address]]({Kind.COPY: [], Kind.DELETE: []})
        async for pair in side_by_side(bucket, self._primary, self._mirror):
            keys += pair.source is not None
            at = Address(bucket, pair.key)
            if _differs(pair):
                is_left = deletes and pair.source is None and await self._is_ours(at)
                marked[Kind.DELETE if is_left else Kind.COPY].append(at)
            if sum(map(len, marked.values())) >= BATCH:
                await self._mark(marked)
        await self._mark(marked)
        return keys

    async def _is_ours(self, at: Address) -> bool:
        """Say whether what only the mirror has is a copy: then it was deleted while that was not written down."""
        try:
            return is_stamped(await self._mirror.head(at))
        except NoSuchKey:
            return False

    async def _mark(self, marked: Mapping[Kind, list[Address]]) -> None:
        for kind, ats in marked.items():
            if ats:
                await self._journal.mark(self._target, ats, kind)
                ats.clear()
        while (pending := (await self._journal.lag())[self._target].pending) > self._busy:
            if pending > self._most:  # the next round says that no more of it is written down
                raise ServiceUnavailable("The mirror lacks too much by now.")
            await asyncio.sleep(1)


def _differs(pair: Pair) -> bool:
    """Say whether a key has to be looked at. Sizes that are the same prove nothing: the stamp of a copy does."""
    if pair.source is None or pair.copy is None:
        return True
    return (pair.source.size, pair.source.etag) != (pair.copy.size, pair.copy.etag)
