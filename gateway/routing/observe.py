"""What is noted of every call of a backend: how long it took, what became of it, how many bytes went each way."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cache
from types import TracebackType
from typing import Final

from prometheus_client import Counter, Histogram

from gateway import metrics
from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import NotImplementedByGateway, S3Error, ServiceUnavailable, SlowDown
from gateway.storage import (
    Address,
    Backend,
    Body,
    BucketInfo,
    Completion,
    Download,
    File,
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
from gateway.tracing import TRACING

WRITES: Final = frozenset(
    {
        *("abort_upload", "annotate", "complete_upload", "copy", "copy_part", "create_bucket", "create_upload"),
        *("delete", "delete_bucket", "put", "put_part"),
    }
)
OK, CLIENT_ERROR, THROTTLE, FAILURE, AMBIGUOUS = "ok", "client_error", "throttle", "failure", "ambiguous"
BAD: Final = frozenset({THROTTLE, FAILURE, AMBIGUOUS})
NEVER: Final = float("-inf")

_SERVER_ERROR: Final = 500


class Observe:
    """A `Backend` that counts what the one inside does. A download counts when it is through, its time until it opens.

    `answered` and `failed` tell, on the clock of `time.monotonic`, when it last did what it was asked, and when not,
    `under_way` how many calls have not ended.
    """

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.name = inner.name
        self.answered = self.failed = NEVER
        self.under_way = 0

    def note(self, outcome: str) -> None:
        """Note when a call ended; one that was the client's fault says nothing of the backend."""
        if outcome == OK:
            self.answered = time.monotonic()
        elif outcome in {FAILURE, AMBIGUOUS}:
            self.failed = time.monotonic()

    # --- buckets ---

    async def list_buckets(self) -> Sequence[BucketInfo]:
        with _Noted(self, "list_buckets"):
            return await self.inner.list_buckets()

    async def head_bucket(self, bucket: str) -> BucketInfo:
        with _Noted(self, "head_bucket"):
            return await self.inner.head_bucket(bucket)

    async def create_bucket(self, bucket: str, labels: Mapping[str, str]) -> None:
        with _Noted(self, "create_bucket"):
            await self.inner.create_bucket(bucket, labels)

    async def delete_bucket(self, bucket: str) -> None:
        with _Noted(self, "delete_bucket"):
            await self.inner.delete_bucket(bucket)

    # --- objects ---

    def get(self, at: Address, options: ReadOptions = ReadOptions()) -> AbstractAsyncContextManager[Download]:
        return _Opening(self, self.inner.get(at, options))

    async def head(self, at: Address, options: ReadOptions = ReadOptions()) -> ObjectInfo:
        with _Noted(self, "head"):
            return await self.inner.head(at, options)

    async def put(self, at: Address, body: Body, options: WriteOptions = WriteOptions()) -> ObjectInfo:
        with _Noted(self, "put", body):
            return await self.inner.put(at, body, options)

    async def copy(self, source: Address, to: Address, options: WriteOptions, etag: str) -> ObjectInfo:
        with _Noted(self, "copy"):
            return await self.inner.copy(source, to, options, etag)

    async def annotate(self, at: Address, labels: Mapping[str, str], was: Mapping[str, str] | None = None) -> None:
        with _Noted(self, "annotate"):
            await self.inner.annotate(at, labels, was)

    async def delete(self, at: Address, conditions: Conditions = ANY_STATE) -> None:
        with _Noted(self, "delete"):
            await self.inner.delete(at, conditions)

    async def list_objects(self, bucket: str, query: ListQuery) -> ListPage:
        with _Noted(self, "list_objects"):
            return await self.inner.list_objects(bucket, query)

    # --- uploads ---

    async def create_upload(self, at: Address, options: WriteOptions = WriteOptions()) -> Upload:
        with _Noted(self, "create_upload"):
            return await self.inner.create_upload(at, options)

    async def put_part(self, upload: Upload, number: int, body: Body) -> Part:
        with _Noted(self, "put_part", body):
            return await self.inner.put_part(upload, number, body)

    async def copy_part(self, upload: Upload, number: int, source: Address, options: ReadOptions, etag: str) -> Part:
        with _Noted(self, "copy_part"):
            return await self.inner.copy_part(upload, number, source, options, etag)

    async def list_parts(self, upload: Upload, after: int = 0, limit: int = 1000) -> PartPage:
        with _Noted(self, "list_parts"):
            return await self.inner.list_parts(upload, after, limit)

    async def list_uploads(self, bucket: str, query: UploadQuery) -> UploadPage:
        with _Noted(self, "list_uploads"):
            return await self.inner.list_uploads(bucket, query)

    async def complete_upload(self, upload: Upload, parts: Sequence[Part], completion: Completion) -> ObjectInfo:
        with _Noted(self, "complete_upload"):
            return await self.inner.complete_upload(upload, parts, completion)

    async def abort_upload(self, upload: Upload) -> None:
        with _Noted(self, "abort_upload"):
            await self.inner.abort_upload(upload)


def outcome_of(error: BaseException | None, *, writes: bool, body: bool = False) -> str:
    """Return what a call came to.

    A write whose outcome nobody knows ends in an InternalError. Backends raise S3Errors only: another error is that
    of the sender of a body, or that of a client who went away.
    """
    if error is None:
        return OK
    if isinstance(error, SlowDown):
        return THROTTLE
    if isinstance(error, ServiceUnavailable):
        return FAILURE
    if isinstance(error, S3Error):
        if error.status < _SERVER_ERROR or isinstance(error, NotImplementedByGateway):
            return CLIENT_ERROR
        return AMBIGUOUS if writes else FAILURE
    return CLIENT_ERROR if body or isinstance(error, (asyncio.CancelledError, GeneratorExit)) else FAILURE


# Each series is found once: looking its labels up costs more than counting.


@cache
def _seconds(backend: str, operation: str) -> Histogram:
    return metrics.BACKEND_SECONDS.labels(backend, operation)


@cache
def _calls(backend: str, operation: str, outcome: str) -> Counter:
    return metrics.BACKEND_CALLS.labels(backend, operation, outcome)


@cache
def _sent(backend: str, operation: str) -> Counter:
    return metrics.BACKEND_SENT.labels(backend, operation)


@cache
def _received(backend: str, operation: str) -> Counter:
    return metrics.BACKEND_RECEIVED.labels(backend, operation)


class _Noted:
    """Notes what becomes of what is done in its context."""

    __slots__ = ("_body", "_observe", "_operation", "_span", "_started")

    def __init__(self, observe: Observe, operation: str, body: Body | None = None) -> None:
        self._observe, self._operation, self._body = observe, operation, body

    def __enter__(self) -> None:
        self._observe.under_way += 1
        self._span = TRACING.call(self._observe.name, self._operation) if TRACING.on else None
        self._started = time.perf_counter()

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._observe.under_way -= 1
        backend, operation, body = self._observe.name, self._operation, self._body
        _seconds(backend, operation).observe(time.perf_counter() - self._started)
        outcome = outcome_of(error, writes=operation in WRITES, body=body is not None)
        _calls(backend, operation, outcome).inc()
        if body is not None and body.received:
            _sent(backend, operation).inc(body.received)
        self._observe.note(outcome)
        if self._span:
            self._span.end({"gateway.outcome": outcome}, failed=outcome if outcome in BAD else "")


class _Opening:
    """A download of which is noted how it opens, and what becomes of it."""

    __slots__ = ("_chunks", "_error", "_inner", "_observe", "_received", "_size", "_span")

    def __init__(self, observe: Observe, inner: AbstractAsyncContextManager[Download]) -> None:
        self._observe, self._inner = observe, inner
        self._error: BaseException | None = None
        self._received = 0
        self._chunks: AsyncGenerator[bytes, None] | None = None

    async def __aenter__(self) -> Download:
        self._observe.under_way += 1
        self._span = TRACING.call(self._observe.name, "get") if TRACING.on else None
        started = time.perf_counter()
        try:
            download = await self._inner.__aenter__()
        except BaseException as error:
            self._error = error
            self._end()
            raise
        finally:
            _seconds(self._observe.name, "get").observe(time.perf_counter() - started)
            if self._span:
                self._span.leave()
        self._observe.note(OK)
        self._size = download.stop - download.start
        if isinstance(download.content, (bytes, File)):
            self._received = self._size  # a file is sent by the kernel: nobody sees how far it comes
            return download
        self._chunks = self._counted(download.content)
        return download._replace(content=self._chunks)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await self._inner.__aexit__(kind, error, trace)
        finally:
            self._end()
            if self._chunks:
                await self._chunks.aclose()

    async def _counted(self, content: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        try:
            async for chunk in content:
                self._received += len(chunk)
                yield chunk
                del chunk  # else it is held while the next one is waited for
        except Exception as error:
            self._error = error
            raise
        if self._received < self._size:
            self._error = ServiceUnavailable()

    def _end(self) -> None:
        self._observe.under_way -= 1
        outcome = outcome_of(self._error, writes=False)
        _calls(self._observe.name, "get", outcome).inc()
        if self._received:
            _received(self._observe.name, "get").inc(self._received)
        if outcome != OK:
            self._observe.note(outcome)
        if self._span:
            self._span.end({"gateway.outcome": outcome}, failed=outcome if outcome in BAD else "")
