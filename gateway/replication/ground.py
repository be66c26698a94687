"""Knows the buckets of the primary, and has them on the fallback, before an outage: in it nobody can ask for them."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Final

import structlog

from gateway.errors import BucketAlreadyExists, NoSuchBucket, S3Error
from gateway.replication.journal import Journal
from gateway.replication.outcome import name_of
from gateway.storage import Backend, BucketInfo

log = structlog.get_logger()
AGAIN: Final = 600.0  # seconds, for buckets that were made at the primary itself
SOON: Final = 10.0  # seconds after a failure


class Ground:
    """Looks now and then which buckets there are; `buckets` names them. Those made through the gateway are known."""

    def __init__(
        self,
        journal: Journal,
        primary: Backend,
        fallback: Backend,
        buckets: Callable[[], Awaitable[Sequence[str]]],
    ) -> None:
        self._journal, self._primary, self._fallback, self._buckets = journal, primary, fallback, buckets
        self._made: set[str] = set()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                await self.round()
            except S3Error as error:
                log.warning("fallback_not_prepared", fallback=self._fallback.name, error=name_of(error))
                await asyncio.sleep(SOON)
            else:
                await asyncio.sleep(AGAIN)

    async def round(self) -> None:
        """Write down which buckets there are, and make those that are missing, with their labels. Raises: S3Error."""
        named = await self._buckets()
        found = [info for bucket in named if (info := await self._found(bucket))]
        names = {info.name for info in found}
        await self._adopt(names)
        await self._journal.buckets.know(sorted(names), all_=True)
        recorded, _ = await self._journal.buckets.every()
        gone = [bucket for bucket in recorded if bucket not in names and not await self._found(bucket)]
        await self._journal.buckets.fade(gone)
        for info in found:
            if info.name not in self._made:
                with suppress(BucketAlreadyExists):
                    await self._fallback.create_bucket(info.name, info.labels)
                self._made.add(info.name)

    async def _adopt(self, names: Collection[str]) -> None:
        """Have the primary given the buckets of what waits for it, if it lacks them and nothing is known of them."""
        homeless = [bucket for bucket in await self._journal.buckets.homeless() if bucket not in names]
        for bucket, labels in (await lacking(self._primary, self._fallback, homeless)).items():
            await self._journal.buckets.adopt(bucket, labels)

    async def _found(self, bucket: str) -> BucketInfo | None:
        return await _found(self._primary, bucket)


async def lacking(primary: Backend, fallback: Backend, buckets: Collection[str]) -> Mapping[str, Mapping[str, str]]:
    """Return those buckets that the primary says it lacks, with their labels on the fallback. Raises: S3Error."""
    missing = [bucket for bucket in sorted(buckets) if not await _found(primary, bucket)]
    return {bucket: (await fallback.head_bucket(bucket)).labels for bucket in missing}


async def _found(primary: Backend, bucket: str) -> BucketInfo | None:
    """Return what the primary says of a bucket; None: nobody has created it yet."""
    with suppress(NoSuchBucket):
        return await primary.head_bucket(bucket)
    return None
