"""Blocking work on the threads of a backend, its errors in S3's words.

A cancelled caller goes on only when its thread is done: so a descriptor is never closed, nor a file removed, while a
thread is still at work on it.

An executor of the standard library does the same with two futures, a condition and a queue of its own for each call:
they cost more than many a call.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Generic, ParamSpec, TypeVar

from gateway.backends.local.translate import told

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """A bounded number of threads, which belong to one event loop; each is started when it is needed first."""

    def __init__(self, name: str, limit: int) -> None:
        self._name, self._limit = name, limit
        self._threads: list[Thread] = []
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._under_way = 0
        self._closed = False

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a thread. After a cancellation it was either never called, or has come to its end."""
        job = self._hand_out(partial(function, *args, **kwargs))
        try:
            await job.over
        except asyncio.CancelledError:
            if not job.claim():
                await job.end()
            raise
        finally:
            self._under_way -= 1
        return job.outcome()

    async def surely(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call a function in a thread even if the caller is cancelled: for what must not be left undone."""
        job = self._hand_out(partial(function, *args, **kwargs))
        try:
            await job.end()
        finally:
            self._under_way -= 1
        job.outcome()

    async def close(self) -> None:
        """Wait for the threads to end."""
        self._closed = True
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _hand_out(self, function: Callable[[], T]) -> "_Job[T]":
        if self._closed:
            raise RuntimeError("the threads were told to end")
        job = _Job(function)
        self._jobs.put(job.work)
        self._under_way += 1
        if len(self._threads) < min(self._under_way, self._limit):
            thread = Thread(None, _work, f"{self._name}-{len(self._threads)}", (self._jobs,), daemon=True)
            self._threads.append(thread)
            thread.start()
        return job


class _Job(Generic[T]):
    """A call for a thread: whoever claims it decides whether it is made."""

    __slots__ = ("_claimed", "_error", "_function", "_is_over", "_loop", "_result", "over")

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._claimed = Lock()
        self._loop = asyncio.get_running_loop()
        self._is_over = False
        self._result: T
        self._error: BaseException | None = None
        self.over = self._loop.create_future()  # cancelled along with who waits for it

    def claim(self) -> bool:
        """Say whether the call was nobody's yet; it is the caller's then."""
        return self._claimed.acquire(blocking=False)

    def work(self) -> None:
        """Make the call, in a thread, unless it was taken back."""
        if not self.claim():
            return
        try:
            self._result = self._function()
        except OSError as error:
            self._error = told(error)
        except BaseException as error:  # noqa: BLE001  it is the caller's
            self._error = error
        with suppress(RuntimeError):  # nobody waits any more: the loop was closed
            self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self._is_over = True
        if not self.over.done():
            self.over.set_result(None)

    async def end(self) -> None:
        """Wait until the thread is done, and only then let a cancellation pass."""
        cancelled = False
        while not self._is_over:
            if self.over.done():
                self.over = self._loop.create_future()
            try:
                await self.over
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError

    def outcome(self) -> T:
        """Return what the call returned, or raise what it raised."""
        if self._error is None:
            return self._result
        error, self._error = self._error, None
        try:
            raise error
        finally:
            del error  # which holds this frame


def _work(jobs: SimpleQueue[Callable[[], None] | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
        del job  # nothing is held while there is nothing to do
