"""Buckets in which variants of images are made when these are written.

The original is stored first, byte for byte as it came. Before it is, the state says that its key is about to be
written: so whatever ends a gateway, somebody looks at the key in the end.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Final

from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import InternalError, S3Error, SlowDown
from gateway.images.checking import Checking
from gateway.images.keeper import Find, How, Keeper, Pictures, Source, What, why_not
from gateway.images.pool import Workers
from gateway.images.queue import Intent, Queue
from gateway.images.rules import Rule, first
from gateway.images.spool import Spool, body_of, spooled
from gateway.images.telling import Telling
from gateway.replication.outcome import name_of, outcome_of
from gateway.replication.records import Outcome
from gateway.routing.wrapper import Wrapper
from gateway.storage import (
    Address,
    Backend,
    Body,
    Completion,
    Download,
    ObjectInfo,
    Part,
    ReadOptions,
    Upload,
    WriteOptions,
)

PENDING: Final = "pending"
_IN_STEP: Final = How(make=False)
Found = tuple[Pictures, Rule]


@dataclass(frozen=True, slots=True)
class Making:
    """What variants are made with. `most`: how many images may wait in sync mode."""

    find: Find
    queue: Queue
    keeper: Keeper
    workers: Workers
    telling: Telling
    checking: Checking
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
        told = PENDING if not why else What.SKIPPED.value
        if pictures.rejects:
            return await self._put_checked(at, body, options, found, told)
        if not rule.is_sync or why:
            return await self._put(at, body, options, pictures, told)
        async with self._spooled(pictures, at) as spool:
            body.through(spool.passing)
            return await self._put(at, body, options, pictures, spool=spool)

    async def copy(self, source: Address, to: Address, options: WriteOptions, etag: str) -> ObjectInfo:
        async def copy() -> ObjectInfo:
            return await self.inner.copy(source, to, options, etag)

        found = self._found(to)
        if found is None:
            return await copy()
        pictures, _ = found
        if not pictures.rejects:
            return await self._written(to, found, copy)
        async with self._spooled(pictures, to) as spool:
            pinned = ReadOptions(conditions=Conditions(if_match=(etag,)))
            async with self.inner.get(source, pinned) as download:
                await self._making.checking.check(pictures, to, options, download, spool)
            return await self._store(to, found, copy, spool)

    async def create_upload(self, at: Address, options: WriteOptions = WriteOptions()) -> Upload:
        if found := self._found(at):
            self._making.checking.check_upload(found[0], at)
        return await self.inner.create_upload(at, options)

    async def complete_upload(self, upload: Upload, parts: Sequence[Part], completion: Completion) -> ObjectInfo:
        found = self._found(upload.at)
        if found is None:
            return await self.inner.complete_upload(upload, parts, completion)
        if found[0].rejects:
            return await self._complete_checked(upload, parts, completion, found)
        return await self._written(upload.at, found, lambda: self.inner.complete_upload(upload, parts, completion))

    async def delete(self, at: Address, conditions: Conditions = ANY_STATE) -> None:
        await self._followed(at, lambda: self.inner.delete(at, conditions))

    async def annotate(self, at: Address, labels: Mapping[str, str], was: Mapping[str, str] | None = None) -> None:
        await self._followed(at, lambda: self.inner.annotate(at, labels, was))

    def _found(self, at: Address) -> Found | None:
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

    async def _put_checked(self, at: Address, body: Body, options: WriteOptions, found: Found, told: str) -> ObjectInfo:
        """Write what is an image, and nothing else: it is looked at before any of it goes to the storage."""
        pictures, rule = found
        async with self._spooled(pictures, at) as spool:
            await self._making.checking.check(pictures, at, options, body, spool)
            checked = await body_of(spool.path)
            if rule.is_sync:
                return await self._put(at, checked, options, pictures, spool=spool)
            return await self._put(at, checked, options, pictures, told)

    async def _complete_checked(
        self, upload: Upload, parts: Sequence[Part], completion: Completion, found: Found
    ) -> ObjectInfo:
        pictures, at = found[0], upload.at
        said = (await self.inner.list_parts(upload, limit=1)).info.options
        async with self._spooled(pictures, at) as spool:

            async def check(download: Download) -> None:
                await spool.clear()
                await self._making.checking.check(pictures, at, said, download, spool)

            checked = replace(completion, check=check)
            return await self._store(at, found, lambda: self.inner.complete_upload(upload, parts, checked), spool)

    @asynccontextmanager
    async def _spooled(self, pictures: Pictures, at: Address) -> AsyncIterator[Spool]:
        """Make a file for what a client waits for. Raises: SlowDown, if too many wait."""
        with self._place(pictures, at):
            async with spooled(self._making.workers.folder, pictures.limits.max_bytes) as spool:
                yield spool

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

    async def _written(self, at: Address, found: Found, work: Callable[[], Awaitable[ObjectInfo]]) -> ObjectInfo:
        """Write something by other means than a body; its bytes are read back."""
        pictures, rule = found
        with self._place(pictures, at) if rule.is_sync else nullcontext():
            return await self._store(at, found, work)

    async def _store(
        self, at: Address, found: Found, work: Callable[[], Awaitable[ObjectInfo]], spool: Spool | None = None
    ) -> ObjectInfo:
        pictures, rule = found
        async with self._intended(at, pictures) as write:
            await write.begin()
            info = await work()
            if not rule.is_sync:
                return replace(info, images=PENDING)
            write.is_applied = True
            source = Source(spool.path, info.etag) if spool and spool.is_whole else None
            return replace(info, images=await self._make(write, pictures, source))

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
                result = await self._making.keeper.keep(at, _IN_STEP)
                self._making.telling.tell(found[0], at, result)
                write.is_done = not result.reason and result.kept + result.occupied == result.wanted
            except (S3Error, OSError) as error:
                self._making.telling.failed(at, name_of(error), 0)

    # --- variants ---

    async def _make(self, write: "_Write", pictures: Pictures, source: Source | None) -> str:
        """Make variants while the client waits, and return what he is told. Raises: InternalError, if he wants that."""
        began = time.perf_counter()
        try:
            result = await self._making.keeper.keep(write.at, How(source=source))
        except (S3Error, OSError) as error:  # such as a full disk: the image itself is stored
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
            self._queue.end(self._intent, look=not self.is_done if self.is_applied else None)
