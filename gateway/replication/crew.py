"""Many keys at once, each in a task of its own: while some are still worked on, others are taken on already."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from gateway.replication.outcome import name_of
from gateway.replication.records import Claim
from gateway.replication.window import Window

log = structlog.get_logger()
IDLE: Final = 0.5  # seconds after which it is looked again for work, or tried again where a storage does not answer


class Crew:
    """Works on claims for ever: `take` is asked for so many at most, and `work` does what there is to be done.

    It is asked when at least half of the window is free, so that few transactions take many. A key that takes long
    keeps no other one waiting.
    """

    def __init__(
        self,
        window: Window,
        take: Callable[[int], Awaitable[Sequence[Claim]]],
        work: Callable[[Claim], Awaitable[object]],
    ) -> None:
        self._window, self._take, self._work = window, take, work
        self._working: set[asyncio.Future[object]] = set()
        self._room = asyncio.Event()

    async def run(self) -> None:
        """Work for ever. Who ends it waits until all have let go of what they do."""
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
            working = tuple(self._working)
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)

    @property
    def _free(self) -> int:
        return self._window.size - len(self._working)

    @property
    def _has_room(self) -> bool:
        return self._free * 2 >= self._window.size

    def _begin(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            task = asyncio.ensure_future(self._work(claim))
            self._working.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Future[object]") -> None:
        self._working.discard(task)
        if not task.cancelled() and (error := task.exception()):  # its claim is taken over when the lease is over
            log.error("key_left", error=name_of(error))
        if self._has_room:
            self._room.set()
