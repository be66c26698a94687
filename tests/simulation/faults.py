"""Backends and a journal's database that fail as real ones do: late, without an answer, or only for one node."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gateway.backends.memory import Memory
from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import InternalError, S3Error, ServiceUnavailable
from gateway.routing.wrapper import Wrapper
from gateway.storage import (
    Address,
    Body,
    BucketInfo,
    Download,
    ListPage,
    ListQuery,
    ObjectInfo,
    ReadOptions,
    WriteOptions,
)
from tests.simulation.virtual import CURRENT

_T = TypeVar("_T")
LATEST = 10.0  # seconds after which no write whose answer was lost takes effect any more


class Weather:
    """What fails at the moment, and the dice. With `quiet` nothing fails by chance."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.quiet = False
        self.down: set[str] = set()  # backends

    async def passes(self, rate: float) -> None:
        """Let some time go by, 1/rate seconds in the mean."""
        await asyncio.sleep(self.dice.expovariate(rate))

    async def stalls(self) -> None:
        """Hold a worker up now and then."""
        if not self.quiet and self.dice.random() < 0.25:
            await asyncio.sleep(self.dice.uniform(0, 40))


@dataclass(eq=False)
class Hold:
    """What one write is held up by, on its way there (`landing`) or back (`answering`), until it is let go.

    `is_lost`: the answer never comes; `dies`: nor does anybody wait for it, the node having gone when it was sent.
    """

    landing: bool = True
    answering: bool = False
    is_lost: bool = False
    dies: bool = False
    reached: bool = False
    _go_on: asyncio.Event = field(default_factory=asyncio.Event)

    def release(self) -> None:
        """Let it go."""
        self._go_on.set()

    async def passed(self, *, is_held: bool) -> None:
        """Return when a write may go on."""
        if is_held:
            await self._go_on.wait()


class Faulty(Wrapper):
    """A storage as one node sees it. `cut` holds the names of the backends that this node cannot reach.

    With `stalls` whoever uses it is held up now and then, as a worker on a busy machine is.
    """

    def __init__(
        self, inner: Memory, weather: Weather, cut: set[str], die: Callable[[], None], *, stalls: bool = False
    ) -> None:
        super().__init__(inner)
        self._weather, self._cut, self._die, self._stalls = weather, cut, die, stalls
        self.holds: list[Hold] = []  # for the next writes, one for each

    @property
    def _up(self) -> bool:
        return not {self.inner.name} & (self._weather.down | self._cut)

    async def _read(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        await self._weather.passes(4)
        if not self._up:
            raise ServiceUnavailable
        try:
            return await ask()
        finally:
            await self._weather.passes(6)
            if self._stalls:
                await self._weather.stalls()

    async def _write(self, write: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        if self.holds and self._up:
            return await self._held_up(write, self.holds.pop(0))
        dice = self._weather.dice
        if not self._up and dice.random() < 0.5:
            await asyncio.sleep(0.05)
            raise ServiceUnavailable
        if not self._up or (not self._weather.quiet and dice.random() < 0.06):
            if dice.random() < 0.7:
                _later(dice.uniform(0, LATEST), write)
            await asyncio.sleep(dice.uniform(0.5, 2))
            raise InternalError
        # What has been sent takes effect, whatever becomes of the node that sent it.
        landed = _later(dice.expovariate(3), write)
        result = await asyncio.shield(landed)
        await self._weather.passes(6)
        if self._stalls:
            await self._weather.stalls()
        if isinstance(result, S3Error):
            raise result
        return result

    async def _held_up(self, write: Callable[[], Coroutine[Any, Any, _T]], hold: Hold) -> _T:
        async def land() -> _T:
            await hold.passed(is_held=hold.landing)
            return await write()

        hold.reached = True
        landed = _later(0.0, land)
        if hold.dies:
            self._die()
        if hold.is_lost:
            await asyncio.sleep(1)
            raise InternalError
        result = await asyncio.shield(landed)
        await hold.passed(is_held=hold.answering)
        if isinstance(result, S3Error):
            raise result
        return result

    async def list_buckets(self) -> Sequence[BucketInfo]:
        return await self._read(self.inner.list_buckets)

    async def head_bucket(self, bucket: str) -> BucketInfo:
        return await self._read(lambda: self.inner.head_bucket(bucket))

    async def create_bucket(self, bucket: str, labels: Mapping[str, str]) -> None:
        await self._write(lambda: self.inner.create_bucket(bucket, labels))

    def get(self, at: Address, options: ReadOptions = ReadOptions()) -> AbstractAsyncContextManager[Download]:
        return self._opened(at, options)

    @asynccontextmanager
    async def _opened(self, at: Address, options: ReadOptions) -> AsyncIterator[Download]:
        opening = self.inner.get(at, options)
        yield await self._read(opening.__aenter__)

    async def head(self, at: Address, options: ReadOptions = ReadOptions()) -> ObjectInfo:
        return await self._read(lambda: self.inner.head(at, options))

    async def put(self, at: Address, body: Body, options: WriteOptions = WriteOptions()) -> ObjectInfo:
        data = await body.read()
        return await self._write(lambda: self.inner.put(at, _body(data), options))

    async def copy(self, source: Address, to: Address, options: WriteOptions, etag: str) -> ObjectInfo:
        return await self._write(lambda: self.inner.copy(source, to, options, etag))

    async def delete(self, at: Address, conditions: Conditions = ANY_STATE) -> None:
        await self._write(lambda: self.inner.delete(at, conditions))

    async def list_objects(self, bucket: str, query: ListQuery) -> ListPage:
        return await self._read(lambda: self.inner.list_objects(bucket, query))


def _later(seconds: float, write: Callable[[], Coroutine[Any, Any, _T]]) -> "asyncio.Task[_T | S3Error]":
    """Have a write take effect after a while, outside of any node."""

    async def land() -> _T | S3Error:
        await asyncio.sleep(seconds)
        try:
            return await write()
        except S3Error as error:
            return error

    token = CURRENT.set(None)
    try:
        return asyncio.get_running_loop().create_task(land())
    finally:
        CURRENT.reset(token)


def _body(data: bytes) -> Body:
    async def chunks() -> AsyncIterator[bytes]:
        yield data

    return Body(chunks(), len(data))
