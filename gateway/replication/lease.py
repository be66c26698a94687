"""The right to write one key, for as long as the database has given it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.errors import ServiceUnavailable
from gateway.replication.journal import Journal
from gateway.replication.outcome import Fenced, outcome_of
from gateway.replication.records import Claim, Outcome, Timing


class Lease:
    """A claim that is held by renewing it. `check` is asked immediately before anything is written."""

    def __init__(self, journal: Journal, claim: Claim, timing: Timing) -> None:
        self.claim = claim
        self._journal, self._timing = journal, timing
        self._deadline = claim.deadline
        self._passed = False

    async def check(self) -> None:
        """Return if a write may begin now. Raises: Fenced."""
        if asyncio.get_running_loop().time() >= self._deadline:
            raise Fenced
        self._passed = True

    def outcome_of(self, error: BaseException) -> Outcome:
        """Return what became of the write: where none was let begin, it was certainly not done."""
        return outcome_of(error) if self._passed else Outcome.REFUSED

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Renew the claim while something long is done under it."""
        every = self._timing.worker_lease / 3
        renewing: list[asyncio.Task[None]] = []  # for most keys nothing has to be renewed
        first = asyncio.get_running_loop().call_later(every, lambda: renewing.append(self._begin(every)))
        try:
            yield
        finally:
            first.cancel()
            for task in renewing:
                task.cancel()

    def _begin(self, every: float) -> "asyncio.Task[None]":
        return asyncio.get_running_loop().create_task(self._renew(every))

    async def _renew(self, every: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                renewed = await self._journal.renew(self.claim)
            except ServiceUnavailable:
                pass  # the deadline that is known still holds
            else:
                if renewed is None:
                    self._deadline = loop.time()
                    return
                self._deadline = renewed.deadline
            await asyncio.sleep(every)
