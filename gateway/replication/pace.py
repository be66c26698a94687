"""Holds writes back while a mirror is too far behind, where the bucket's owner would rather wait than risk that."""

import asyncio
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import structlog

from gateway.errors import ServiceUnavailable, SlowDown
from gateway.replication.journal import Journal
from gateway.replication.outcome import name_of

log = structlog.get_logger()
EVERY: Final = 5.0  # seconds between two looks at how far mirrors are behind
LONGEST: Final = 2.0  # seconds by which an answer is delayed, at a mirror that is twice as far behind as it may be


class Most(NamedTuple):
    """How far a mirror may be behind, in seconds, and what becomes of writes while it is farther."""

    lag: float
    then: Literal["alert", "throttle", "reject"]


class Pace:
    """Knows which mirrors are too far behind. One that is paused, or has not got everything yet, is not waited for."""

    def __init__(self, journal: Journal, most: Mapping[str, Most]) -> None:
        self._journal, self._most = journal, most
        self._behind: Mapping[str, float] = {}

    async def run(self) -> None:
        """Look for ever."""
        while self._most:
            await self.round()
            await asyncio.sleep(EVERY)

    async def round(self) -> None:
        """Look once."""
        try:
            lags = await self._journal.behind()
        except ServiceUnavailable as error:
            log.warning("lag_unknown", route=self._journal.route, error=name_of(error))
            return
        behind = {name: lags[name] for name, most in self._most.items() if lags.get(name, 0.0) > most.lag}
        for name in behind.keys() - self._behind.keys():
            log.warning("mirror_behind", route=self._journal.route, target=name, seconds=round(behind[name]))
        for name in self._behind.keys() - behind.keys():
            log.warning("mirror_caught_up", route=self._journal.route, target=name)
        self._behind = behind

    def check(self) -> None:
        """Return if something may be written now. Raises: SlowDown."""
        if any(self._most[name].then == "reject" for name in self._behind):
            raise SlowDown

    async def delay(self) -> None:
        """Return when a write may be acknowledged: the later, the farther a mirror is behind."""
        over = [
            lag / self._most[name].lag - 1 for name, lag in self._behind.items() if self._most[name].then == "throttle"
        ]
        if over:
            await asyncio.sleep(min(max(over), 1.0) * LONGEST)
