"""A storage as work in the background asks it: no faster than it is to be asked, and no more at once than it bears."""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Final

from gateway import metrics
from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import InternalError, S3Error, ServiceUnavailable
from gateway.rates import Ledger
from gateway.replication.window import Window
from gateway.routing.wrapper import Wrapper
from gateway.storage import (
    PIECE,
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

BURST: Final = 1.0  # seconds' worth that may be asked at once
SHARE: Final = PIECE  # bytes a second with which an upload is not given up as stalled: a piece of it each second


class Allowance:
    """So many requests and bytes a second, for all processes that share the ledger; 0 is as many as may come.

    Who comes too early waits.
    """

    def __init__(self, ledger: Ledger, route: str, target: str, requests: float = 0, bandwidth: float = 0) -> None:
        self._ledger, self._requests, self._bandwidth = ledger, requests, bandwidth
        self._name = f"copies {route} {target}"
        self._waited = metrics.COPYING_WAITED.labels(route, target)

    def at_once(self, most: int) -> int:
        """Return how many keys are worked on at once, of `most`: no more than get on while each waits for its turn.

        Their sources are open meanwhile, and who stands still for long is cut off.
        """
        shares = self._bandwidth / SHARE if self._bandwidth else most
        return max(1, int(min(most, self._requests or most, shares)))

    async def request(self) -> None:
        """Return when one more request may be made."""
        if self._requests:
            await self._take("requests", 1 / self._requests)

    def carry(self, body: Body) -> None:
        """Have the bytes of a body pass no faster than they may."""
        if self._bandwidth:
            body.through(self._slowly)

    async def _slowly(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            await self._take("bytes", len(chunk) / self._bandwidth)
            yield chunk

    async def _take(self, what: str, seconds: float) -> None:
        ahead = self._ledger.take(f"{self._name} {what}", seconds, time.monotonic())
        wait = ahead - max(BURST, seconds)
        if wait > 0:
            self._waited.inc(wait)
            await asyncio.sleep(wait)


class Sparing(Wrapper):
    """A `Backend` that is asked by an allowance, and whose answers a window hears of."""

    def __init__(self, inner: Backend, window: Window, allowance: Allowance) -> None:
        super().__init__(inner)
        self.window, self._allowance = window, allowance

    async def list_buckets(self) -> Sequence[BucketInfo]:
        async with self._asked():
            return await self.inner.list_buckets()

    async def head_bucket(self, bucket: str) -> BucketInfo:
        async with self._asked():
            return await self.inner.head_bucket(bucket)

    async def create_bucket(self, bucket: str, labels: Mapping[str, str]) -> None:
        async with self._asked():
            await self.inner.create_bucket(bucket, labels)

    async def delete_bucket(self, bucket: str) -> None:
        async with self._asked():
            await self.inner.delete_bucket(bucket)

    def get(self, at: Address, options: ReadOptions = ReadOptions()) -> AbstractAsyncContextManager[Download]:
        return self._opened(at, options)

    @asynccontextmanager
    async def _opened(self, at: Address, options: ReadOptions) -> AsyncIterator[Download]:
        async with AsyncExitStack() as stack:
            async with self._asked():
                download = await stack.enter_async_context(self.inner.get(at, options))
            yield download

    async def head(self, at: Address, options: ReadOptions = ReadOptions()) -> ObjectInfo:
        async with self._asked():
            return await self.inner.head(at, options)

    async def put(self, at: Address, body: Body, options: WriteOptions = WriteOptions()) -> ObjectInfo:
        self._allowance.carry(body)
        async with self._asked(body):
            return await self.inner.put(at, body, options)

    async def copy(self, source: Address, to: Address, options: WriteOptions, etag: str) -> ObjectInfo:
        async with self._asked():
            return await self.inner.copy(source, to, options, etag)

    async def annotate(self, at: Address, labels: Mapping[str, str], was: Mapping[str, str] | None = None) -> None:
        async with self._asked():
            await self.inner.annotate(at, labels, was)

    async def delete(self, at: Address, conditions: Conditions = ANY_STATE) -> None:
        async with self._asked():
            await self.inner.delete(at, conditions)

    async def list_objects(self, bucket: str, query: ListQuery) -> ListPage:
        async with self._asked():
            return await self.inner.list_objects(bucket, query)

    async def create_upload(self, at: Address, options: WriteOptions = WriteOptions()) -> Upload:
        async with self._asked():
            return await self.inner.create_upload(at, options)

    async def put_part(self, upload: Upload, number: int, body: Body) -> Part:
        self._allowance.carry(body)
        async with self._asked(body):
            return await self.inner.put_part(upload, number, body)

    async def copy_part(self, upload: Upload, number: int, source: Address, options: ReadOptions, etag: str) -> Part:
        async with self._asked():
            return await self.inner.copy_part(upload, number, source, options, etag)

    async def list_parts(self, upload: Upload, after: int = 0, limit: int = 1000) -> PartPage:
        async with self._asked():
            return await self.inner.list_parts(upload, after, limit)

    async def list_uploads(self, bucket: str, query: UploadQuery) -> UploadPage:
        async with self._asked():
            return await self.inner.list_uploads(bucket, query)

    async def complete_upload(self, upload: Upload, parts: Sequence[Part], completion: Completion) -> ObjectInfo:
        async with self._asked():
            return await self.inner.complete_upload(upload, parts, completion)

    async def abort_upload(self, upload: Upload) -> None:
        async with self._asked():
            await self.inner.abort_upload(upload)

    @asynccontextmanager
    async def _asked(self, body: Body | None = None) -> AsyncIterator[None]:
        """Wait for a turn, and have the window hear what the storage itself says of it."""
        await self._allowance.request()
        try:
            yield
        except (InternalError, ServiceUnavailable) as error:
            if body is None or body.failure is not error:
                self.window.complains()
            raise
        except S3Error:
            self.window.bears()  # it has refused, so it lives
            raise
        self.window.bears()
