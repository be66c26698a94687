"""Blocking work on the threads of a backend, its errors in S3's words.

A cancelled caller goes on only when its thread is done: so a descriptor is never closed, nor a file removed, while a
thread is still at work on it.

An executor of the standard library does the same with two futures, a condition and a queue of its own for each call:
they cost more than many a call.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Lock, Thread
from typing import Any, Generic, ParamSpec, TypeVar

from gateway.backends.local.translate import told

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """A bounded number of threads, which belong to one event loop; each is started when it is needed first.

    A job is handed to the thread that has been idle for the shortest time, and wakes no other: with a queue that all
    of them wait at, they would wake each other, for as much as a small write costs.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._name, self._limit = name, limit
        self._threads: list[_Worker] = []
        self._lock = Lock()  # of what follows
        self._idle: list[_Worker] = []
        self._waiting: deque[_Job[Any]] = deque()
        self._closed = False

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a thread. After a cancellation it was either never called, or has come to its end."""
        job = _Job(partial(function, *args, **kwargs))
        self._hand_out(job)
        try:
            await job.over
        except asyncio.CancelledError:
            if not job.claim():
                await job.end()
            raise
        return job.outcome()

    async def surely(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call a function in a thread even if the caller is cancelled: for what must not be left undone."""
        job = _Job(partial(function, *args, **kwargs))
        self._hand_out(job)
        await job.end()
        job.outcome()

    async def close(self) -> None:
        """Wait for the threads to end."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.call(None)
        for worker in self._threads:
            await asyncio.to_thread(worker.join)

    def next_job(self, worker: "_Worker") -> "_Job[Any] | None":
        """Return a job that waits; without one the thread is idle from now on, until it is called."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            if not self._closed:
                self._idle.append(worker)
                return None
        worker.call(None)
        return None

    def _hand_out(self, job: "_Job[Any]") -> None:
        with self._lock:
            if self._closed:
                raise RuntimeError("the threads were told to end")
            if self._idle:
                self._idle.pop().call(job)
                return
            self._waiting.append(job)
        if len(self._threads) < self._limit:
            worker = _Worker(self, f"{self._name}-{len(self._threads)}")
            self._threads.append(worker)
            worker.start()


class _Worker(Thread):
    """A thread that does one job after another."""

    def __init__(self, threads: Threads, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._threads = threads
        self._called = Lock()
        self._called.acquire()
        self._job: _Job[Any] | None = None

    def call(self, job: "_Job[Any] | None") -> None:
        """Have an idle thread do a job; without one it ends."""
        self._job = job
        self._called.release()

    def run(self) -> None:
        """Do what is to be done. The thread is idle before it is told that a job is: who waited may have another."""
        job = self._threads.next_job(self) or self._wait()
        while job:
            job.work()
            following = self._threads.next_job(self)
            job.tell()
            job = following  # nothing is held while there is nothing to do
            if job is None:
                job = self._wait()

    def _wait(self) -> "_Job[Any] | None":
        self._called.acquire()
        job, self._job = self._job, None
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

    def tell(self) -> None:
        """Tell who waits that the call is over."""
        with suppress(RuntimeError):  # nobody waits any more: the loop was closed
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
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
