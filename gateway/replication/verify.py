"""Compares a mirror with its primary, key by key, and believes nothing that the journal says is equal."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Final

from gateway.errors import NoSuchKey, PreconditionFailed, S3Error
from gateway.replication.comparing import (
    AT_ONCE,
    ATTEMPTS,
    Finding,
    Level,
    Mark,
    Seen,
    have_other_checksums,
    is_same_state,
    see,
)
from gateway.replication.copier import STAMP, is_copy, lasting
from gateway.replication.journal import Journal
from gateway.replication.outcome import name_of
from gateway.replication.records import SOURCE_MISSING
from gateway.replication.walk import Pair, batches, side_by_side
from gateway.storage import Address, Backend, ObjectInfo

WAITING: Final = 10_000  # keys that are looked at once more at the end
PAUSE: Final = 1.0  # seconds between two looks at them


DAMAGED: Final = frozenset({"bytes", "checksum"})  # what a copy's own stamp cannot know


class Verify:
    """Walks through the primary and one mirror of a route."""

    def __init__(self, journal: Journal, target: str, primary: Backend, mirror: Backend, level: Level) -> None:
        self._journal, self._target, self._level = journal, target, level
        self._primary, self._mirror = primary, mirror

    async def run(self, bucket: str, prefix: str = "", patience: float = 10.0) -> AsyncIterator[Finding]:
        """Give what is found of each key, in order; at the end, what was pending and could be looked at once more.

        `patience`: seconds for which that is waited for. Raises: S3Error, where one side cannot be listed.
        """
        waiting: list[str] = []
        async for pairs in batches(side_by_side(bucket, self._primary, self._mirror, prefix), AT_ONCE[self._level]):
            for finding in await asyncio.gather(*(self._compare(bucket, pair) for pair in pairs)):
                if finding.mark is Mark.PENDING and len(waiting) < WAITING:
                    waiting.append(finding.key)
                else:
                    yield finding
        async for finding in self._once_more(bucket, waiting, patience):
            yield finding

    async def mend(self, bucket: str, findings: Sequence[Finding]) -> None:
        """Have the workers copy what is missing or different. Raises: S3Error.

        A worker believes a copy that bears the right stamp, so the stamp is taken from what is damaged all the same.
        """
        for finding in findings:
            if finding.why in DAMAGED:
                await self._discredit(Address(bucket, finding.key))
        await self._journal.mark(self._target, [Address(bucket, finding.key) for finding in findings])

    async def _discredit(self, at: Address) -> None:
        with suppress(NoSuchKey, PreconditionFailed):  # it is gone, or another copy, by now
            was = (await self._mirror.head(at)).labels
            if STAMP in was:
                await self._mirror.annotate(at, {name: was[name] for name in was if name != STAMP}, was)

    async def _once_more(self, bucket: str, keys: Sequence[str], patience: float) -> AsyncIterator[Finding]:
        now = asyncio.get_running_loop().time
        ends, left = now() + patience, deque(keys)
        while left:
            for _ in range(len(left)):
                finding = await self._settled(Address(bucket, left.popleft()))
                if finding.mark is Mark.PENDING and now() < ends:
                    left.append(finding.key)
                else:
                    yield finding
            if left:
                await asyncio.sleep(PAUSE)

    async def _compare(self, bucket: str, pair: Pair) -> Finding:
        """Compare a key by what is at hand; what looks different then is looked at with more care."""
        if pair.source and pair.copy:
            if self._level is Level.L0 and pair.source.size == pair.copy.size:
                return Finding(Mark.SAME, pair.key)
            if self._level is not Level.L0 and await self._look_same(Address(bucket, pair.key)):
                return Finding(Mark.SAME, pair.key)
        return await self._settled(Address(bucket, pair.key))

    async def _look_same(self, at: Address) -> bool:
        try:
            source, copy = await asyncio.gather(self._see(self._primary, at), self._see(self._mirror, at))
        except S3Error:
            return False
        return bool(source and copy and not self._difference(source, copy))

    async def _settled(self, at: Address) -> Finding:
        """Compare a key that may be written meanwhile.

        Where the journal has nothing to say of it, both are the same; so a mirror that is another then differs, unless
        the primary has been written since, which shows.
        """
        try:
            for _ in range(ATTEMPTS):
                source = await self._see(self._primary, at)
                look = await self._journal.look(at)
                if look.row or self._target in look.dirty:
                    return Finding(Mark.PENDING if look.row or source else await self._missing(at), at.key)
                copy = await self._see(self._mirror, at)
                if is_same_state(source and source.info, await self._head(at)):
                    return self._judged(at.key, source, copy)
        except S3Error as error:
            return Finding(Mark.ERROR, at.key, name_of(error))
        return Finding(Mark.PENDING, at.key)

    async def _missing(self, at: Address) -> Mark:
        """Return what a key is that the primary lacks and the mirror may have: there it stays if nobody deleted it."""
        is_kept = await self._journal.error_of(self._target, at) == SOURCE_MISSING
        return Mark.EXTRA if is_kept else Mark.PENDING

    def _judged(self, key: str, source: Seen | None, copy: Seen | None) -> Finding:
        if source and copy:
            why = self._difference(source, copy)
            return Finding(Mark.DIFFERENT if why else Mark.SAME, key, why)
        if source:
            return Finding(Mark.MISSING, key)
        return Finding(Mark.EXTRA if copy else Mark.SAME, key)

    def _difference(self, source: Seen, copy: Seen) -> str:
        """Return what differs, "" if nothing does as far as is looked."""
        if source.info.size != copy.info.size:
            return "size"
        if self._level is Level.L0:
            return ""
        if source.digest != copy.digest:
            return "bytes"
        if have_other_checksums(source.info, copy.info):
            return "checksum"
        if is_copy(copy.info, source.info) or _are_twins(copy.info, source.info):
            return ""
        return "metadata" if source.digest else "state"

    async def _see(self, backend: Backend, at: Address) -> Seen | None:
        return await see(backend, at, self._level)

    async def _head(self, at: Address) -> ObjectInfo | None:
        try:
            return await self._primary.head(at)
        except NoSuchKey:
            return None


def _are_twins(copy: ObjectInfo, source: ObjectInfo) -> bool:
    """Say whether a copy without a stamp, which was there before it was a mirror's, is the same."""
    one, other = ((info.etag, info.headers, info.metadata, lasting(info.labels)) for info in (copy, source))
    return one == other
