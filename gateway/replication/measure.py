"""Tells the metrics how a route does; one process is enough for that."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from gateway import metrics
from gateway.errors import ServiceUnavailable
from gateway.replication.journal import Journal
from gateway.replication.outcome import name_of
from gateway.replication.records import Baseline, Mode
from gateway.replication.reporting import Report, Target

log = structlog.get_logger()
EVERY: Final = 15.0  # seconds

Tell = Callable[[str, Report | None], None]


def unheard(_route: str, _report: Report | None) -> None:
    """Tell nobody."""


class Measure:
    """Asks the journal now and then, sets the gauges by what it says, and tells it on; None where it said nothing."""

    def __init__(self, journal: Journal, tell: Tell = unheard) -> None:
        self._journal, self._tell_on = journal, tell
        self._epoch: int | None = None  # from which on changes are counted

    async def run(self) -> None:
        """Measure for ever."""
        while True:
            await self.round()
            await asyncio.sleep(EVERY)

    async def round(self) -> None:
        """Measure once. While the journal cannot be asked the gauges stay as they are, but for the one that says so."""
        try:
            report = await self._journal.report()
        except ServiceUnavailable as error:
            metrics.STATE_UP.labels(self._journal.route).set(0)
            log.warning("not_measured", route=self._journal.route, error=name_of(error))
            self._tell_on(self._journal.route, None)
            return
        metrics.STATE_UP.labels(self._journal.route).set(1)
        self._tell(report)
        self._tell_on(self._journal.route, report)

    def _tell(self, report: Report) -> None:
        route, healing = self._journal.route, report.healing
        for mode in Mode:
            metrics.ROUTE_MODE.labels(route, mode.name).set(mode is report.state.mode)
        epoch = report.state.epoch
        before = epoch if self._epoch is None else self._epoch
        metrics.MODE_CHANGES.labels(route).inc(max(epoch - before, 0))  # a database may have been set back
        self._epoch = epoch
        metrics.UNHEALED.labels(route, "object").set(healing.objects)
        metrics.UNHEALED.labels(route, "deleted").set(healing.tombstones)
        metrics.UNHEALED_BUCKETS.labels(route).set(healing.buckets)
        metrics.UNHEALED_BYTES.labels(route).set(healing.bytes)
        metrics.UNHEALED_OLDEST.labels(route).set(healing.oldest)
        for name in self._journal.targets:
            _tell_target(route, name, report.targets[name])


def _tell_target(route: str, name: str, target: Target) -> None:
    replica, lag = target
    metrics.PENDING.labels(route, name).set(lag.pending)
    metrics.PENDING_BYTES.labels(route, name).set(lag.bytes)
    metrics.PENDING_OLDEST.labels(route, name).set(lag.oldest)
    metrics.DEAD.labels(route, name).set(lag.dead)
    metrics.BASELINE.labels(route, name).set(replica.baseline is Baseline.COMPLETE)
    metrics.PAUSED.labels(route, name).set(replica.paused)
    metrics.BRAKED.labels(route, name).set(replica.braked)
    metrics.OVERFLOWED.labels(route, name).set(replica.overflowed)
