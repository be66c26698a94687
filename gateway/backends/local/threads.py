"""Blocking work on the threads of a backend, its errors in S3's words.

A cancelled caller goes on only when its thread is done: so a descriptor is never closed, nor a file removed, while a
thread is still at work on it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from gateway.backends.local.translate import translated

T = TypeVar("T")


class Threads:
    """A bounded number of threads."""

    def __init__(self, name: str, limit: int) -> None:
        self._pool = ThreadPoolExecutor(limit, thread_name_prefix=name)

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Call a function in a thread. After a cancellation it was either never called, or has come to its end."""
        future = self._pool.submit(_translated, function, *args)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if not future.cancelled():
                await _end(future)
            raise

    async def surely(self, function: Callable[..., T], *args: object) -> None:
        """Call a function in a thread even if the caller is cancelled: for what must not be left undone."""
        future = self._pool.submit(_translated, function, *args)
        await _end(future)
        future.result()

    async def close(self) -> None:
        """Wait for the threads to end."""
        await asyncio.to_thread(self._pool.shutdown)


def _translated(function: Callable[..., T], *args: object) -> T:
    with translated():
        return function(*args)


async def _end(future: "Future[T]") -> None:
    """Wait until a thread is done, and only then let a cancellation pass."""
    cancelled = False
    while not future.done():
        waiting = asyncio.wrap_future(future)
        waiting.add_done_callback(_see)
        try:
            await asyncio.wait([waiting])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError


def _see(future: "asyncio.Future[T]") -> None:
    """Take note of an error, which whoever called is told anyway: else asyncio logs it as one that nobody saw."""
    if not future.cancelled():
        future.exception()
