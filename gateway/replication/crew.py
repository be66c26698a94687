"""Many keys at once, each in a task of its own: while some are still worked on, others are taken on already."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

import structlog

from gateway.replication.outcome import name_of
from gateway.replication.records import Claim
from gateway.replication.window import Window

Done = TypeVar("Done")
log = structlog.get_logger()
IDLE: Final = 0.5  # seconds after which it is looked again for work, or tried again where a storage does not answer


class Crew(Generic[Done]):
    """Works on claims for ever: `take` is asked for so many at most, `work` does one, and `tell` says what was done.

    It is asked when at least half of the window is free, so that few transactions take many. A key that takes long
    keeps no other one waiting, nor does one of which the storage has heard all, and the database not yet.
    """

    def __init__(
        self,
        window: Window,
        take: Callable[[int], Awaitable[Sequence[Claim]]],
        work: Callable[[Claim], Awaitable[Done]],
        tell: Callable[[Claim, Done], Awaitable[object]],
    ) -> None:
        self._window, self._take, self._work, self._tell = window, take, work, tell
        self._working: set[asyncio.Task[None]] = set()
        self._telling: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()

    async def run(self) -> None:
        """Work for ever. Who ends it waits until all have let go of what they do, and have told of what is done."""
        try:
            while True:
                taken = await self._take(self._free)
                self._begin(taken)
                if not taken or self._window.in_doubt:
                    await asyncio.sleep(IDLE)
                while not self._has_room:
                    self._room.clear()
                    await self._room.wait()
        finally:
            for task in self._working:
                task.cancel()
            await asyncio.gather(*self._working, *self._telling, return_exceptions=True)

    @property
    def _free(self) -> int:
        """How many more may be taken. For a database that is slow no more wait than may be worked on."""
        size, working, telling = self._window.size, len(self._working), len(self._telling)
        return min(size - working, 2 * size - working - telling)

    @property
    def _has_room(self) -> bool:
        return self._free * 2 >= self._window.size

    def _begin(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            task = asyncio.create_task(self._see_to(claim))
            self._working.add(task)
            task.add_done_callback(self._ended)

    async def _see_to(self, claim: Claim) -> None:
        done = await self._work(claim)
        if task := asyncio.current_task():
            self._working.discard(task)
            self._telling.add(task)
        self._make_room()
        await self._tell(claim, done)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._working.discard(task)
        self._telling.discard(task)
        if not task.cancelled() and (error := task.exception()):  # its claim is taken over when the lease is over
            log.error("key_left", error=name_of(error))
        self._make_room()

    def _make_room(self) -> None:
        if self._has_room:
            self._room.set()
