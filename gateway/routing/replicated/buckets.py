"""Replicated buckets themselves: the primary decides, and the others are told, to answer for it when it is down."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import structlog

from gateway.errors import BucketAlreadyExists, BucketNotEmpty, NoSuchBucket, S3Error
from gateway.replication.outcome import name_of, outcome_of
from gateway.replication.records import Mode
from gateway.routing.replicated.answers import failed, not_current, unanswered, unavailable, unknown
from gateway.routing.replicated.copying import Copying
from gateway.routing.replicated.route import NO_ANSWER
from gateway.storage import Address, Backend, BucketInfo, ListQuery

log = structlog.get_logger()
PAUSE: Final = 0.1  # seconds


class Buckets(Copying):
    """List, look at, create, label and delete buckets."""

    patience = 50  # how often, before a bucket is deleted, it is looked whether nothing is left to be done for it

    async def list_buckets(self) -> Sequence[BucketInfo]:
        """As `Backend.list_buckets`. While the primary is down: those that were given to who stands in for it."""
        if await self.mode("") is not Mode.FAILOVER:
            try:
                return await self.primary.list_buckets()
            except NO_ANSWER as error:
                if not self.deputies:
                    raise unanswered(error) from error
        found = {info.name: info for deputy in await self._answering() for info in deputy}
        return [found[name] for name in sorted(found)]

    async def head_bucket(self, bucket: str) -> BucketInfo:
        """As `Backend.head_bucket`. That others do not know the bucket does not mean that there is none."""
        if await self.mode(bucket) is not Mode.FAILOVER:
            try:
                return await self.primary.head_bucket(bucket)
            except NO_ANSWER as error:
                if not self.deputies:
                    raise unanswered(error) from error
        for deputy in self.deputies:
            with suppress(NoSuchBucket, *NO_ANSWER):
                return await deputy.head_bucket(bucket)
        raise not_current()

    async def create_bucket(self, bucket: str, labels: Mapping[str, str]) -> None:
        await self._require_primary(bucket)
        try:
            await self.primary.create_bucket(bucket, labels)
        except NO_ANSWER as error:
            raise failed(error, outcome_of(error)) from error
        for storage in self._others():
            try:
                await _make(storage, bucket, labels)
            except S3Error as error:  # it is made when it is needed
                log.warning("bucket_not_created", storage=storage.name, bucket=bucket, error=name_of(error))

    async def delete_bucket(self, bucket: str) -> None:
        """As `Backend.delete_bucket`; mirrors keep theirs. What they lack is waited for, for a moment.

        The fallback's goes first: it must not tell of a bucket that is gone. If the primary refuses, it is made again
        when it is needed.
        """
        await self._require_primary(bucket)
        try:
            await self._require_empty(bucket)
            if self._fallback:
                self._prepared.discard(bucket)
                with suppress(NoSuchBucket):
                    await self._fallback.delete_bucket(bucket)
            await self.primary.delete_bucket(bucket)
        except NO_ANSWER as error:
            raise failed(error, outcome_of(error)) from error

    async def annotate(self, at: Address, labels: Mapping[str, str], was: Mapping[str, str] | None = None) -> None:
        """As `Backend.annotate`. A bucket's labels say who may read it: who stands in must know them too."""
        if at.key:
            await super().annotate(at, labels, was)
            return
        await self._require_primary(at.bucket)
        try:
            await self.primary.annotate(at, labels, was)
        except NO_ANSWER as error:
            raise failed(error, outcome_of(error)) from error
        for storage in self._others():
            try:
                await _make(storage, at.bucket, labels)
            except S3Error as error:
                log.warning("bucket_not_labelled", storage=storage.name, bucket=at.bucket, error=name_of(error))
                if storage in self.deputies:
                    raise unknown() from error

    async def _require_empty(self, bucket: str) -> None:
        """Refuse unless the bucket is empty and nothing is left to be done for it. Raises: BucketNotEmpty."""
        page = await self.primary.list_objects(bucket, ListQuery(limit=1))
        for _ in range(0 if page.objects else self.patience):
            if not await self.journal.has_any(bucket):
                return
            await asyncio.sleep(PAUSE)
        raise BucketNotEmpty(BucketName=bucket)

    async def _answering(self) -> Sequence[Sequence[BucketInfo]]:
        found = []
        for deputy in self.deputies:
            with suppress(*NO_ANSWER):
                found.append(await deputy.list_buckets())
        if not found:
            raise unavailable()
        return found

    async def _require_primary(self, bucket: str) -> None:
        if await self.mode(bucket) is Mode.FAILOVER:
            raise unavailable()

    def _others(self) -> Sequence[Backend]:
        return [*([self._fallback] if self._fallback else []), *self.mirrors.values()]


async def _make(storage: Backend, bucket: str, labels: Mapping[str, str]) -> None:
    """Have a bucket with these labels."""
    try:
        await storage.create_bucket(bucket, labels)
    except BucketAlreadyExists:
        await storage.annotate(Address(bucket), labels)
