"""One gateway after another: the new one answers at once, the old one is closed when its last request has ended."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Self

import structlog

from gateway.server.exchange import Exchange
from gateway.server.health import Watched
from gateway.server.limits import Limits

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Gateway:
    """What answers, the backends it answers from, and what holds for its clients."""

    handle: Callable[[Exchange], Awaitable[None]]
    backends: Mapping[str, Watched]
    limits: Limits
    drain: float  # how long requests may take to end when the process is told to


class Succession:
    """Has one gateway after another answer. It is used as a context, which closes them all."""

    def __init__(self) -> None:
        self._current: _Reign | None = None
        self._reigns: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._end()
        if self._reigns:
            await asyncio.wait(self._reigns)

    async def __call__(self, exchange: Exchange) -> None:
        """Have a request answered by the gateway of now, to its end."""
        reign = self._current
        if reign is None:
            raise RuntimeError("There is no gateway yet.")
        reign.busy += 1
        try:
            await reign.handle(exchange)
        finally:
            reign.busy -= 1
            if not reign.busy:
                reign.rest()

    async def follow(self, opening: AbstractAsyncContextManager[Gateway]) -> Gateway:
        """Open another gateway and have it answer from now on. What opening it raises leaves all as it was."""
        reign, ready = _Reign(), asyncio.get_running_loop().create_future()
        task = asyncio.create_task(reign.run(opening, ready))
        self._reigns.add(task)
        task.add_done_callback(self._reigns.discard)
        try:
            gateway: Gateway = await ready
        except asyncio.CancelledError:
            task.cancel()
            raise
        self._end()
        self._current = reign
        return gateway

    @property
    def count(self) -> int:
        """How many gateways are open: more than one while the last requests of an old one are being answered."""
        return len(self._reigns)

    def _end(self) -> None:
        if self._current is not None:
            self._current.end()


class _Reign:
    """The time of one gateway, opened and closed by one task."""

    def __init__(self) -> None:
        self.busy = 0
        self.handle: Callable[[Exchange], Awaitable[None]]
        self._ended = False
        self._over = asyncio.Event()

    async def run(self, opening: AbstractAsyncContextManager[Gateway], ready: "asyncio.Future[Gateway]") -> None:
        """Open a gateway, tell who waits for it, and close it when it is over."""
        try:
            async with opening as gateway:
                self.handle = gateway.handle
                ready.set_result(gateway)
                await self._over.wait()
        except Exception as error:  # whatever it is that keeps one from opening is for who has asked for it
            if ready.done():
                log.exception("gateway_not_closed")
            else:
                ready.set_exception(error)

    def end(self) -> None:
        """Close the gateway as soon as it answers nobody any more."""
        self._ended = True
        self.rest()

    def rest(self) -> None:
        """Close the gateway if its time has ended and nobody is being answered."""
        if self._ended and not self.busy:
            self._over.set()
