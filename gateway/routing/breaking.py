"""Fails fast while a storage is down, and finds out when it is back without risking anybody's request."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from typing import Final

import structlog

from gateway import metrics
from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import CredentialsRefused, InternalError, S3Error, ServiceUnavailable, SlowDown
from gateway.replication.breaker import Breaker
from gateway.replication.outcome import Fenced
from gateway.replication.records import Vote
from gateway.routing.wrapper import Wrapper
from gateway.storage import (
    PRIVATE,
    Address,
    Backend,
    Body,
    BucketInfo,
    Completion,
    Download,
    ListPage,
    ListQuery,
    ObjectInfo,
    Part,
    PartPage,
    ReadOptions,
    Upload,
    UploadPage,
    UploadQuery,
    WriteOptions,
)

log = structlog.get_logger()
IDLE: Final = 5.0  # seconds without a call after which a probe is made, so that an outage is noticed before it hurts
PROBING: Final = 1.0


class Breaking(Wrapper):
    """A `Backend` whose calls are counted by two breakers, one for reads and one for writes.

    While one is open its calls raise ServiceUnavailable at once; only `probe` gets through, with an object of its own.
    """

    def __init__(self, inner: Backend, node: str, *, writes: bool = True) -> None:
        super().__init__(inner)
        now = asyncio.get_running_loop().time()
        self.reads, self.writes = Breaker(now), Breaker(now)
        for calls in ("reads", "writes"):
            metrics.BREAKERS.labels(self.name, calls).inc(0)
        self._canary = f"{PRIVATE}health/{node}"
        self._may_write = writes
        self._bucket = ""

    def close(self) -> None:
        """Take back what was told: a breaker that nobody asks any more is not open."""
        for calls, breaker in (("reads", self.reads), ("writes", self.writes)):
            if breaker.open:
                metrics.BREAKERS.labels(self.name, calls).inc(-1)

    def vote(self) -> Vote:
        """Return for how long the storage has been down, or up, as this node sees it."""
        now, breakers = _now(), (self.reads, self.writes)
        down = [now - breaker.changed for breaker in breakers if breaker.open]
        if down:
            return Vote(max(down), None)
        return Vote(None, min(now - breaker.changed for breaker in breakers))

    async def run(self) -> None:
        """Probe for ever, whenever it is due."""
        while True:
            await asyncio.sleep(PROBING)
            await self.probe()

    async def probe(self) -> None:
        """Try what is open, and what nobody has used for a while."""
        now = _now()
        patience = PROBING if self.reads.in_doubt else IDLE
        if self.reads.probe_due(now) or (not self.reads.open and self.reads.idle_for(now) >= patience):
            await self._try(self.reads, self._read)
        if self.writes.probe_due(now):
            await self._try(self.writes, self._write)

    async def _try(self, breaker: Breaker, attempt: Callable[[], Awaitable[object]]) -> None:
        was_open = breaker.open
        try:
            await attempt()
        except S3Error as error:
            breaker.probed(_now(), ok=not _is_failure(error))
        else:
            breaker.probed(_now(), ok=True)
        if breaker.open != was_open:
            self._tell(breaker)

    async def _read(self) -> None:
        if self._bucket:
            await self.inner.head(Address(self._bucket, self._canary))
        else:
            await self.inner.list_buckets()

    async def _write(self) -> None:
        if not (self._bucket and self._may_write):
            await self._read()
            return
        at = Address(self._bucket, self._canary)
        await self.inner.put(at, Body(_alive(), None))
        await self.inner.delete(at)

    # --- every call, counted ---

    async def list_buckets(self) -> Sequence[BucketInfo]:
        with self._counted(self.reads):
            return await self.inner.list_buckets()

    async def head_bucket(self, bucket: str) -> BucketInfo:
        with self._counted(self.reads):
            return await self.inner.head_bucket(bucket)

    async def create_bucket(self, bucket: str, labels: Mapping[str, str]) -> None:
        with self._counted(self.writes):
            await self.inner.create_bucket(bucket, labels)

    async def delete_bucket(self, bucket: str) -> None:
        with self._counted(self.writes):
            await self.inner.delete_bucket(bucket)

    def get(self, at: Address, options: ReadOptions = ReadOptions()) -> AbstractAsyncContextManager[Download]:
        return self._opened(at, options)

    @asynccontextmanager
    async def _opened(self, at: Address, options: ReadOptions) -> AsyncIterator[Download]:
        async with AsyncExitStack() as stack:
            with self._counted(self.reads, at.bucket):
                download = await stack.enter_async_context(self.inner.get(at, options))
            yield download

    async def head(self, at: Address, options: ReadOptions = ReadOptions()) -> ObjectInfo:
        with self._counted(self.reads, at.bucket):
            return await self.inner.head(at, options)

    async def put(self, at: Address, body: Body, options: WriteOptions = WriteOptions()) -> ObjectInfo:
        with self._counted(self.writes, at.bucket, body):
            return await self.inner.put(at, body, options)

    async def copy(self, source: Address, to: Address, options: WriteOptions, etag: str) -> ObjectInfo:
        with self._counted(self.writes, to.bucket):
            return await self.inner.copy(source, to, options, etag)

    async def annotate(self, at: Address, labels: Mapping[str, str], was: Mapping[str, str] | None = None) -> None:
        with self._counted(self.writes, at.bucket):
            await self.inner.annotate(at, labels, was)

    async def delete(self, at: Address, conditions: Conditions = ANY_STATE) -> None:
        with self._counted(self.writes, at.bucket):
            await self.inner.delete(at, conditions)

    async def list_objects(self, bucket: str, query: ListQuery) -> ListPage:
        with self._counted(self.reads, bucket):
            return await self.inner.list_objects(bucket, query)

    async def create_upload(self, at: Address, options: WriteOptions = WriteOptions()) -> Upload:
        with self._counted(self.writes, at.bucket):
            return await self.inner.create_upload(at, options)

    async def put_part(self, upload: Upload, number: int, body: Body) -> Part:
        with self._counted(self.writes, upload.at.bucket, body):
            return await self.inner.put_part(upload, number, body)

    async def copy_part(self, upload: Upload, number: int, source: Address, options: ReadOptions, etag: str) -> Part:
        with self._counted(self.writes, upload.at.bucket):
            return await self.inner.copy_part(upload, number, source, options, etag)

    async def list_parts(self, upload: Upload, after: int = 0, limit: int = 1000) -> PartPage:
        with self._counted(self.reads, upload.at.bucket):
            return await self.inner.list_parts(upload, after, limit)

    async def list_uploads(self, bucket: str, query: UploadQuery) -> UploadPage:
        with self._counted(self.reads, bucket):
            return await self.inner.list_uploads(bucket, query)

    async def complete_upload(self, upload: Upload, parts: Sequence[Part], completion: Completion) -> ObjectInfo:
        with self._counted(self.writes, upload.at.bucket):
            return await self.inner.complete_upload(upload, parts, completion)

    async def abort_upload(self, upload: Upload) -> None:
        with self._counted(self.writes, upload.at.bucket):
            await self.inner.abort_upload(upload)

    @contextmanager
    def _counted(self, breaker: Breaker, bucket: str = "", body: Body | None = None) -> Iterator[None]:
        """Let a call through unless the breaker is open, and count what becomes of it but for the body's failures."""
        if breaker.open:
            raise ServiceUnavailable
        self._bucket = bucket or self._bucket
        try:
            yield
        except S3Error as error:
            if isinstance(error, Fenced) or (body is not None and body.failure is error):
                raise
            reached = not isinstance(error, ServiceUnavailable)
            if breaker.record(_now(), ok=not _is_failure(error), reached=reached):
                self._tell(breaker)
            raise
        breaker.record(_now(), ok=True)

    def _tell(self, breaker: Breaker) -> None:
        """Tell that a breaker has opened or closed."""
        calls, to = "reads" if breaker is self.reads else "writes", "open" if breaker.open else "closed"
        log.warning("breaker", backend=self.name, calls=calls, open=breaker.open)
        metrics.BREAKERS.labels(self.name, calls).inc(1 if breaker.open else -1)
        metrics.BREAKER_CHANGES.labels(self.name, calls, to).inc()


def _is_failure(error: S3Error) -> bool:
    """Say whether an error is the storage's own: what it refuses, or is too busy for, shows that it lives."""
    lives = isinstance(error, (CredentialsRefused, SlowDown))
    return isinstance(error, (ServiceUnavailable, InternalError)) and not lives


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _alive() -> AsyncIterator[bytes]:
    yield b"alive"
