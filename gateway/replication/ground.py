"""Has the buckets of the primary on the fallback before they are needed there: in an outage nobody can ask for them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import structlog

from gateway.errors import BucketAlreadyExists, NoSuchBucket, S3Error
from gateway.replication.outcome import name_of
from gateway.storage import Backend

log = structlog.get_logger()
AGAIN: Final = 600.0  # seconds, for buckets that were made at the primary itself
SOON: Final = 10.0  # seconds after a failure


class Ground:
    """Looks now and then which buckets there are; `buckets` names them. Those made through the gateway are there."""

    def __init__(self, primary: Backend, fallback: Backend, buckets: Callable[[], Awaitable[Sequence[str]]]) -> None:
        self._primary, self._fallback, self._buckets = primary, fallback, buckets
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
        """Make the buckets that are missing, each with its labels. Raises: S3Error."""
        for bucket in await self._buckets():
            if bucket not in self._made:
                with suppress(NoSuchBucket):  # nobody has created it yet
                    await self._make(bucket)

    async def _make(self, bucket: str) -> None:
        labels = (await self._primary.head_bucket(bucket)).labels
        with suppress(BucketAlreadyExists):
            await self._fallback.create_bucket(bucket, labels)
        self._made.add(bucket)
