"""Hashing beside the event loop, on threads that do nothing else.

To hand a call to an executor and to be told of its end takes futures, conditions and their locks on both sides. Here it
takes one queue: a body of a gigabyte, which is handed over in four thousand pieces, costs a tenth less.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from operator import attrgetter
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, Generic, TypeVar

THREADS: Final = min(8, os.cpu_count() or 1)

T = TypeVar("T")


class Errand(Generic[T]):
    """A call on a thread, under way from now on; others run beside it if the function lets them, as hashlib does."""

    __slots__ = ("_args", "_error", "_function", "_is_done", "_loop", "_result", "_waiter")

    def __init__(self, function: Callable[..., T], *args: object) -> None:
        self._function, self._args = function, args
        self._is_done = False
        self._result: T
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiter: asyncio.Future[None] | None = None
        min(_runners(), key=_load).give(self)

    async def result(self) -> T:
        """Return what the function returned, or raise what it raised. Whoever is cancelled leaves it under way."""
        if not self._is_done:
            self._loop = asyncio.get_running_loop()
            self._waiter = self._loop.create_future()
            if not self._is_done:  # once more, now that there is somebody to tell: the thread looks in turn for whom
                await self._waiter
        error, self._error = self._error, None
        if error is None:
            return self._result
        try:
            raise error
        finally:
            del error  # else it holds this frame, and this frame it, and both what the errand was about

    def run(self) -> None:
        """Make the call, on the thread."""
        try:
            self._result = self._function(*self._args)
        except BaseException as error:  # noqa: BLE001  whatever it is: it is raised where the result is waited for
            self._error = error
        self._args = ()
        self._is_done = True
        if self._waiter is not None and self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended, and with it whoever waited
                self._loop.call_soon_threadsafe(_release, self._waiter)


class _Runner(Thread):
    """A thread that makes calls one after another."""

    def __init__(self) -> None:
        super().__init__(name="hashing", daemon=True)
        self._errands: SimpleQueue[Errand[Any]] = SimpleQueue()
        self._given = self._through = 0
        self.start()

    @property
    def load(self) -> int:
        """How many errands wait or are under way."""
        return self._given - self._through

    def give(self, errand: Errand[Any]) -> None:
        """Take an errand after those that were given before."""
        self._given += 1
        self._errands.put(errand)

    def run(self) -> None:
        while True:
            self._errands.get().run()  # no name holds the errand, nor its bytes, while the next one is waited for
            self._through += 1


_load: Final = attrgetter("load")


@cache
def _runners() -> Sequence[_Runner]:
    """Return the threads, which are there from the first errand on."""
    return [_Runner() for _ in range(THREADS)]


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
