"""Buckets in which variants of images are made when these are written.

The original is stored first, byte for byte as it came. Before it is, the state says that its key is about to be
written: so whatever ends a gateway, somebody looks at the key in the end.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Final

from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import EntityTooLarge, InternalError, InvalidArgument, S3Error, SlowDown
from gateway.images.keeper import DERIVED, Find, How, Keeper, Pictures, Source, What, why_not
from gateway.images.pool import Workers
from gateway.images.queue import Intent, Queue
from gateway.images.rules import Rule, first
from gateway.images.spec import Reason, Unfit
from gateway.images.spool import Spool, body_of, spooled
from gateway.images.telling import Telling
from gateway.replication.outcome import name_of, outcome_of
from gateway.replication.records import Outcome
from gateway.routing.wrapper import Wrapper
from gateway.storage import Address, Backend, Body, Completion, ObjectInfo, Part, Upload, WriteOptions

PENDING: Final = "pending"


@dataclass(frozen=True, slots=True)
class Making:
    """What variants are made with. `most`: how many images may wait in sync mode."""

    find: Find
    queue: Queue
    keeper: Keeper
    workers: Workers
    telling: Telling
    most: int


class Imaging(Wrapper):
    """A `Backend` in which images have variants."""

    def __init__(self, inner: Backend, making: Making) -> None:
        super().__init__(inner)
        self._making = making
        self._waiting = 0

    async def put(self, at: Address, body: Body, options: WriteOptions = WriteOptions()) -> ObjectInfo:
        found = self._found(at)
        if found is None:
            return await self.inner.put(at, body, options)
        pictures, rule = found
        why = why_not(options.headers, options.metadata, body.size, pictures)
        if pictures.rejects and why != DERIVED:
            return await self._put_checked(at, body, options, pictures, rule)
        if not rule.is_sync or why:
            return await self._put(at, body, options, pictures, PENDING if not why else What.SKIPPED.value)
        with self._place(pictures, at):
            async with spooled(self._making.workers.folder, pictures.limits.max_bytes) as spool:
                body.through(spool.passing)
                return await self._put(at, body, options, pictures, spool=spool)

    async def copy(self, source: Address, to: Address, options: WriteOptions, etag: str) -> ObjectInfo:
        return await self._written(to, lambda: self.inner.copy(source, to, options, etag))

    async def complete_upload(self, upload: Upload, parts: Sequence[Part], completion: Completion) -> ObjectInfo:
        return await self._written(upload.at, lambda: self.inner.complete_upload(upload, parts, completion))

    async def delete(self, at: Address, conditions: Conditions = ANY_STATE) -> None:
        await self._followed(at, lambda: self.inner.delete(at, conditions))

    async def annotate(self, at: Address, labels: Mapping[str, str], was: Mapping[str, str] | None = None) -> None:
        await self._followed(at, lambda: self.inner.annotate(at, labels, was))

    def _found(self, at: Address) -> tuple[Pictures, Rule] | None:
        pictures = self._making.find(at.bucket)
        rule = first(pictures.rules, at.key) if pictures and at.key else None
        return (pictures, rule) if pictures and rule else None

    # --- bodies ---

    async def _put(  # noqa: PLR0913  what a write is made of
        self,
        at: Address,
        body: Body,
        options: WriteOptions,
        pictures: Pictures,
        told: str = "",
        *,
        spool: Spool | None = None,
    ) -> ObjectInfo:
        """Write an image; make its variants at once if its bytes are spooled."""
        async with self._intended(at, pictures) as write:
            body.gate(write.begin)
            info = await self.inner.put(at, body, options)
            write.is_applied = True
            if spool is None:
                return replace(info, images=told)
            source = Source(spool.path, info.etag) if spool.is_whole else None
            return replace(info, images=await self._make(write, pictures, source))

    async def _put_checked(
        self, at: Address, body: Body, options: WriteOptions, pictures: Pictures, rule: Rule
    ) -> ObjectInfo:
        """Write what is an image, and nothing else: it is looked at before any of it goes to the storage."""
        with self._place(pictures, at):
            async with spooled(self._making.workers.folder, pictures.limits.max_bytes) as spool:
                await self._check(at, body, options, pictures, spool)
                checked = await body_of(spool.path)
                if rule.is_sync:
                    return await self._put(at, checked, options, pictures, spool=spool)
                return await self._put(at, checked, options, pictures, PENDING)

    async def _check(self, at: Address, body: Body, options: WriteOptions, pictures: Pictures, spool: Spool) -> None:
        reason = why_not(options.headers, options.metadata, body.size, pictures)
        if reason != Reason.TOO_MANY_BYTES:
            await spool.take(body)
            reason = reason or await self._unfit(spool, at.bucket, options)
        if reason:
            self._making.telling.refused(pictures, at, reason)
        if reason == Reason.TOO_MANY_BYTES:
            raise EntityTooLarge(
                ProposedSize=str(spool.size or body.size), MaxSizeAllowed=str(pictures.limits.max_bytes)
            )
        if reason:
            raise InvalidArgument(f"This is not stored here, because of what it is: {reason}.", ArgumentName="body")

    async def _unfit(self, spool: Spool, bucket: str, options: WriteOptions) -> str:
        if not spool.is_whole:
            return Reason.TOO_MANY_BYTES.value
        try:
            await self._making.keeper.check(spool.path, bucket, options.headers.get("content-type", ""))
        except Unfit as unfit:
            if unfit.passing:
                raise SlowDown from unfit
            return unfit.reason.value
        return ""

    @contextmanager
    def _place(self, pictures: Pictures, at: Address) -> Iterator[None]:
        """Take one of the places for images that a client waits for. Raises: SlowDown."""
        if self._waiting >= self._making.most:
            self._making.telling.refused(pictures, at, "queue_full")
            raise SlowDown
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    # --- what has no body ---

    async def _written(self, at: Address, work: Callable[[], Awaitable[ObjectInfo]]) -> ObjectInfo:
        """Write something by other means than a body; its bytes are read back."""
        found = self._found(at)
        if found is None:
            return await work()
        pictures, rule = found
        if not rule.is_sync:
            async with self._intended(at, pictures) as write:
                await write.begin()
                return replace(await work(), images=PENDING)
        with self._place(pictures, at):
            async with self._intended(at, pictures) as write:
                await write.begin()
                info = await work()
                write.is_applied = True
                return replace(info, images=await self._make(write, pictures, None))

    async def _followed(self, at: Address, work: Callable[[], Awaitable[None]]) -> None:
        """Do something to an image that its variants follow at once, or as soon as they can."""
        found = self._found(at)
        if found is None:
            await work()
            return
        async with self._intended(at, found[0]) as write:
            await write.begin()
            await work()
            write.is_applied = True
            try:
                result = await self._making.keeper.keep(at)
                self._making.telling.tell(found[0], at, result)
                write.is_done = not result.reason
            except S3Error as error:
                self._making.telling.failed(at, name_of(error), 0)

    # --- variants ---

    async def _make(self, write: "_Write", pictures: Pictures, source: Source | None) -> str:
        """Make variants while the client waits, and return what he is told. Raises: InternalError, if he wants that."""
        began = time.perf_counter()
        try:
            result = await self._making.keeper.keep(write.at, How(source=source))
        except S3Error as error:
            self._making.telling.failed(write.at, name_of(error), 0)
            if pictures.fails:
                raise InternalError from error
            return What.PARTIAL.value
        self._making.telling.tell(pictures, write.at, result, time.perf_counter() - began)
        write.is_done = not result.failures and not result.passing
        if pictures.fails and not write.is_done:
            raise InternalError
        return result.what.value

    @asynccontextmanager
    async def _intended(self, at: Address, pictures: Pictures) -> AsyncIterator["_Write"]:
        """Have the key looked at in the end, unless it was certainly not written, or all is done."""
        write = _Write(self._making.queue, at, pictures.hold)
        try:
            yield write
            write.is_applied = True
        except BaseException as error:
            if not write.is_applied and outcome_of(error) is Outcome.UNKNOWN:
                write.leave()
            raise
        finally:
            write.end()


class _Write:
    """A write of an image, from before it is done."""

    def __init__(self, queue: Queue, at: Address, hold: float) -> None:
        self.at = at
        self.is_applied = False
        self.is_done = False  # its variants are as they should be
        self._queue, self._hold = queue, hold
        self._intent: Intent | None = None

    async def begin(self) -> None:
        """Write down that it is about to be done. Raises: ServiceUnavailable."""
        if self._intent is None:
            self._intent = await self._queue.begin(self.at, self._hold)

    def leave(self) -> None:
        """Have it looked at when the write can no longer take effect."""
        self._intent = None

    def end(self) -> None:
        """Tell that it is over."""
        if self._intent is not None:
            self._queue.end(self._intent, look=self.is_applied and not self.is_done)
