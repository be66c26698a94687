"""Replicated buckets themselves: the primary decides, and the others are told, to answer for it when it is down.

What is made while it is down is written down, and the primary gets it when it is back.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import structlog

from gateway.errors import BucketAlreadyExists, BucketNotEmpty, NoSuchBucket, S3Error, ServiceUnavailable
from gateway.replication.making import have
from gateway.replication.outcome import name_of, outcome_of
from gateway.replication.records import Intent, Look, Mode, Outcome, Presence
from gateway.routing.replicated.answers import failed, not_current, refused, unanswered, unavailable, unknown
from gateway.routing.replicated.copying import Copying
from gateway.routing.replicated.route import NO_ANSWER
from gateway.state.store import StateUnknown
from gateway.storage import Address, Backend, BucketInfo, ListQuery

log = structlog.get_logger()
PAUSE: Final = 0.1  # seconds


class Buckets(Copying):
    """List, look at, create, label and delete buckets."""

    patience = 50  # how often, before a bucket is deleted, it is looked whether nothing is left to be done for it

    async def list_buckets(self) -> Sequence[BucketInfo]:
        """As `Backend.list_buckets`. While the primary is down: those that were given to who stands in for it."""
        look = await self.look(Address(""))
        if look.mode is not Mode.FAILOVER:
            try:
                found = await self.primary.list_buckets()
            except NO_ANSWER as error:
                if not self.deputies:
                    raise unanswered(error) from error
            else:
                return found if look.mode is Mode.NORMAL else await self._with_new(found)
        return await self._with_new([info for deputy in await self._answering() for info in deputy], known=True)

    async def head_bucket(self, bucket: str) -> BucketInfo:
        """As `Backend.head_bucket`. That others do not know the bucket does not mean that there is none."""
        look = await self.look(Address(bucket))
        if look.is_new:
            return await self._new(bucket)
        if look.mode is not Mode.FAILOVER:
            try:
                return await self.primary.head_bucket(bucket)
            except NO_ANSWER as error:
                if not self.deputies:
                    raise unanswered(error) from error
                if (await self.look_anew(Address(bucket))).presence is Presence.GOING:
                    raise not_current() from error
        for deputy in self.deputies:
            with suppress(NoSuchBucket, *NO_ANSWER):
                return await deputy.head_bucket(bucket)
        raise not_current()

    async def create_bucket(self, bucket: str, labels: Mapping[str, str]) -> None:
        """As `Backend.create_bucket`. While the primary is down: if it certainly has none of this name."""
        if await self._is_down(bucket):
            await self._create_new(bucket, labels)
        else:
            await self._create_on_primary(bucket, labels)
        for storage in self._others():
            try:
                await have(storage, bucket, labels)
            except S3Error as error:  # it is made when it is needed
                log.warning("bucket_not_created", storage=storage.name, bucket=bucket, error=name_of(error))

    async def delete_bucket(self, bucket: str) -> None:
        """As `Backend.delete_bucket`; mirrors keep theirs. What they lack is waited for, for a moment."""
        look = await self.look(Address(bucket))
        if look.is_new:
            await self._delete_new(bucket)
            return
        _require_primary(look)
        try:
            await self._require_empty(bucket)
        except NO_ANSWER as error:
            raise failed(error, Outcome.REFUSED) from error
        await self._delete_on_primary(bucket)

    async def annotate(self, at: Address, labels: Mapping[str, str], was: Mapping[str, str] | None = None) -> None:
        """As `Backend.annotate`. A bucket's labels say who may read it: who stands in must know them too."""
        if at.key:
            await super().annotate(at, labels, was)
            return
        look = await self.look(at)
        if look.is_new:
            await self._label_new(at.bucket, labels, was)
            return
        _require_primary(look)
        try:
            await self.primary.annotate(at, labels, was)
        except NO_ANSWER as error:
            raise failed(error, outcome_of(error)) from error
        for storage in self._others():
            try:
                await have(storage, at.bucket, labels)
            except S3Error as error:
                log.warning("bucket_not_labelled", storage=storage.name, bucket=at.bucket, error=name_of(error))
                if storage in self.deputies:
                    raise unknown() from error

    # --- at the primary ---

    async def _create_on_primary(self, bucket: str, labels: Mapping[str, str]) -> None:
        intent = await self._intend_bucket(bucket)
        try:
            await self.primary.create_bucket(bucket, labels)
        except BucketAlreadyExists:
            raise
        except S3Error as error:
            outcome = outcome_of(error)
            if intent and outcome is Outcome.REFUSED:
                with suppress(ServiceUnavailable):  # then the bucket cannot be made in an outage, that is all
                    await self.journal.buckets.withdraw(intent)
            raise failed(error, outcome) from error
        if intent:
            self._recorded.add(bucket)

    async def _delete_on_primary(self, bucket: str) -> None:
        """Delete a bucket. Before that the journal has the fallback tell of it no more."""
        leaving = await self._leave(bucket)
        try:
            await self.primary.delete_bucket(bucket)
        except S3Error as error:
            outcome = outcome_of(error)
            if leaving and outcome is Outcome.REFUSED and not isinstance(error, NoSuchBucket):
                with suppress(ServiceUnavailable):  # then nobody tells of it in an outage, until it was looked at again
                    await self.journal.buckets.stay(leaving)
            raise failed(error, outcome) from error
        if leaving:
            self._prepared.discard(bucket)
            with suppress(ServiceUnavailable):  # then it stays there, and nobody is told
                await self.journal.buckets.left(leaving)

    async def _leave(self, bucket: str) -> Intent | None:
        if self._fallback is None:
            return None
        with refused():
            return await self.journal.buckets.leave(bucket)

    async def _intend_bucket(self, bucket: str) -> Intent | None:
        """Write down that the primary may have a bucket, before it is asked to make it."""
        if self._fallback is None:
            return None
        with refused():
            intent = await self.journal.buckets.intend(bucket)
        if intent.presence.is_new:
            raise BucketAlreadyExists(BucketName=bucket)
        return intent

    async def _require_empty(self, bucket: str) -> None:
        """Refuse unless the bucket is empty and nothing is left to be done for it. Raises: BucketNotEmpty."""
        page = await self.primary.list_objects(bucket, ListQuery(limit=1))
        for _ in range(0 if page.objects else self.patience):
            if not await self.journal.has_any(bucket):
                return
            await asyncio.sleep(PAUSE)
        raise BucketNotEmpty(BucketName=bucket)

    # --- while it is down ---

    async def _is_down(self, bucket: str) -> bool:
        """Say whether the primary cannot make a bucket. Raises: BucketAlreadyExists, if it lacks one that there is."""
        try:
            look = await self.look(Address(bucket))
        except NoSuchBucket:
            return True
        if look.is_new:
            raise BucketAlreadyExists(BucketName=bucket)
        if look.mode is Mode.FAILOVER and look.presence is Presence.KNOWN:
            await self.head_bucket(bucket)
            raise BucketAlreadyExists(BucketName=bucket)
        return look.mode is Mode.FAILOVER

    async def _create_new(self, bucket: str, labels: Mapping[str, str]) -> None:
        if self._fallback is None:
            raise unavailable()
        try:
            with refused():
                await self.journal.buckets.make(bucket, labels)
        except StateUnknown as error:
            raise unknown() from error

    async def _label_new(self, bucket: str, labels: Mapping[str, str], was: Mapping[str, str] | None) -> None:
        try:
            with refused():
                await self.journal.buckets.label(bucket, labels, was)
        except StateUnknown as error:
            raise unknown() from error

    async def _delete_new(self, bucket: str) -> None:
        self._prepared.discard(bucket)
        try:
            with refused():
                for _ in range(self.patience):
                    if await self.journal.buckets.drop(bucket):
                        return
                    await asyncio.sleep(PAUSE)
        except StateUnknown as error:
            raise unknown() from error
        raise BucketNotEmpty(BucketName=bucket)

    async def _new(self, bucket: str) -> BucketInfo:
        with refused():
            found = await self.journal.buckets.find(bucket)
        if found is None:
            raise NoSuchBucket(BucketName=bucket)
        if found.presence.is_new:
            return found.info
        return await self.primary.head_bucket(bucket)  # it was made there just now

    async def _with_new(self, infos: Sequence[BucketInfo], *, known: bool = False) -> Sequence[BucketInfo]:
        """Return buckets with those that the primary lacks; `known`: without those that it is not known to have.

        Who stands in may still have what was deleted.
        """
        with refused():
            records, is_complete = await self.journal.buckets.every()
        found = {info.name: info for info in infos}
        if known:
            there = {name for name, record in records.items() if record.presence is Presence.KNOWN}
            told = there if is_complete else there | (found.keys() - records.keys())
            found = {name: info for name, info in found.items() if name in told}
        found |= {name: record.info for name, record in records.items() if record.presence.is_new}
        return [found[name] for name in sorted(found)]

    async def _answering(self) -> Sequence[Sequence[BucketInfo]]:
        found = []
        for deputy in self.deputies:
            with suppress(*NO_ANSWER):
                found.append(await deputy.list_buckets())
        if not found:
            raise unavailable()
        return found

    def _others(self) -> Sequence[Backend]:
        return [*([self._fallback] if self._fallback else []), *self.mirrors.values()]


def _require_primary(look: Look) -> None:
    if look.mode is Mode.FAILOVER:
        raise unavailable()
