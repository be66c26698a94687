"""Whether all that a bucket holds was copied, and as it is."""

import asyncio
from collections.abc import AsyncIterator

from gateway.errors import S3Error
from gateway.migration.copying import beside, found, is_copy_of, is_migrated
from gateway.migration.walking import Sides
from gateway.replication.comparing import (
    ATTEMPTS,
    Finding,
    Level,
    Mark,
    Seen,
    have_other_checksums,
    is_same_state,
    see,
)
from gateway.replication.walk import Pair

COPY_LEFT = "a copy of what is gone"


class Check:
    """Compares the buckets; a key that is written meanwhile is looked at again."""

    def __init__(self, sides: Sides, level: Level) -> None:
        self._sides, self._level = sides, level

    def run(self) -> AsyncIterator[Finding]:
        """Give what is found of each key that either has. Raises: S3Error, where one cannot be listed."""
        return self._sides.through(self._compare)

    async def _compare(self, pair: Pair) -> Finding:
        if self._level is Level.L0 and pair.source and pair.copy and pair.source.size == pair.copy.size:
            return Finding(Mark.SAME, pair.key)
        try:
            return await self._settled(pair.key)
        except S3Error as error:
            return Finding(Mark.ERROR, pair.key, f"{error.code}: {error}")

    async def _settled(self, key: str) -> Finding:
        at = self._sides.at(key)
        for _ in range(ATTEMPTS):
            source, copy = await asyncio.gather(
                see(self._sides.source, at, self._level), see(self._sides.target, at, self._level)
            )
            finding = self._judged(key, source, copy)
            if finding.mark is Mark.SAME or is_same_state(source and source.info, await found(self._sides.source, at)):
                return finding
        return Finding(Mark.PENDING, key)

    def _judged(self, key: str, source: Seen | None, copy: Seen | None) -> Finding:
        if source and copy:
            why = difference(source, copy, self._level)
            return Finding(Mark.DIFFERENT if why else Mark.SAME, key, why)
        if source:
            return Finding(Mark.MISSING, key)
        if copy:
            return Finding(Mark.EXTRA, key, COPY_LEFT if is_migrated(copy.info) else "")
        return Finding(Mark.SAME, key)


def difference(source: Seen, copy: Seen, level: Level) -> str:
    """Return what differs, "" if nothing does as far as is looked: "state" where nothing tells that it does not."""
    if source.info.size != copy.info.size:
        return "size"
    if level is Level.L0:
        return ""
    if source.digest != copy.digest:
        return "bytes"
    if have_other_checksums(source.info, copy.info):
        return "checksum"
    if beside(source.info) != beside(copy.info):
        return "metadata"
    is_known = source.digest or source.info.etag == copy.info.etag or is_copy_of(copy.info, source.info)
    return "" if is_known else "state"
