"""What /status tells: which bucket lies where, in which mode it is, and how its backends and mirrors do.

One worker notes what it knows of the configuration and the database; how often breakers are open and calls are under
way in all workers, the metrics tell. So each question gets the same answer, whichever process it comes to, and costs
neither a backend nor the database anything.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry

from gateway.server.health import Board
from gateway.server.slate import Slate

if TYPE_CHECKING:  # the libraries of databases take time and memory
    from gateway.replication.reporting import Report, Target

MOST: Final = 500  # buckets, and backends, that are told of: those with a fallback or mirrors first
LONGEST_REASON: Final = 200
COPIES: Final = frozenset({"fallback", "mirrored_to"})
BREAKERS: Final = "gateway_breakers_open"
IN_FLIGHT: Final = "gateway_backend_calls_in_flight"


class Notice:
    """Notes, in one worker, what is to be told of the configuration and of replicated buckets."""

    def __init__(self, slate: Slate) -> None:
        self._slate = slate
        self._facts: Mapping[str, Any] = {}
        self._routes: dict[str, dict[str, Any]] = {}

    def begin(self, backends: Mapping[str, Any], buckets: Mapping[str, Mapping[str, Any]]) -> None:
        """Note the configuration that holds from now on: its names, never its secrets or where its servers are."""
        replicated_first = dict(sorted(buckets.items(), key=lambda item: not item[1].keys() & COPIES))
        self._routes = {name: route for name, route in self._routes.items() if name in buckets}
        self._facts = {
            "loaded": _told(datetime.now(UTC)),
            "backends": dict(islice(backends.items(), MOST)),
            "buckets": dict(islice(replicated_first.items(), MOST)),
            "count": len(buckets),
        }
        self._write()

    def tell(self, route: str, report: "Report | None") -> None:
        """Note how a replicated bucket does; None where the database did not say."""
        if report is None:
            self._routes[route] = {**self._routes.get(route, {}), "database": "does not answer"}
        else:
            self._routes[route] = {"database": "answers", **_of_route(report, datetime.now(UTC))}
        self._write()

    def _write(self) -> None:
        self._slate.write({**self._facts, "routes": self._routes})


class Status:
    """Puts together what is told."""

    def __init__(self, board: Board, registry: Callable[[], CollectorRegistry]) -> None:
        self._board, self._registry = board, registry

    def report(self) -> dict[str, Any]:
        """Return what there is to say now."""
        _, health = self._board.report()
        noted = self._board.slate.read() or {}
        routes, buckets = noted.get("routes", {}), noted.get("buckets", {})
        return {
            "version": version("s3-gateway"),
            "time": _told(datetime.now(UTC)),
            "ready": health["ready"],
            "degraded": health["degraded"],
            "workers": health["workers"],
            "config": {"loaded": noted.get("loaded"), "buckets": noted.get("count", 0)},
            "backends": self._backends(noted.get("backends", {}), health["backends"]),
            "buckets": {name: {**said, **routes.get(name, {})} for name, said in buckets.items()},
        }

    def _backends(self, kinds: Mapping[str, str], reached: Mapping[str, str]) -> dict[str, Any]:
        found = {
            name: {
                "type": kind,
                "reach": reached.get(name, "unknown"),
                "breakers_open": {"reads": 0, "writes": 0},
                "calls_in_flight": 0,
            }
            for name, kind in kinds.items()
        }
        for metric in self._registry().collect():
            for sample in metric.samples:
                backend: dict[str, Any] | None = found.get(sample.labels.get("backend", ""))
                if backend and sample.name == BREAKERS:
                    backend["breakers_open"][sample.labels["calls"]] = int(sample.value)
                elif backend and sample.name == IN_FLIGHT:
                    backend["calls_in_flight"] = int(sample.value)
        return found


def _of_route(report: "Report", now: datetime) -> dict[str, Any]:
    state, healing = report.state, report.healing
    return {
        "measured": _told(now),
        "mode": state.mode.name,
        "since": _told(now - timedelta(seconds=state.since)) if state.epoch else None,
        "reason": state.reason[:LONGEST_REASON],
        "by_order": state.pinned,
        "unhealed": {
            "objects": healing.objects,
            "deletions": healing.tombstones,
            "buckets": healing.buckets,
            "bytes": healing.bytes,
            "oldest_seconds": round(healing.oldest, 1),
        },
        "mirrors": {name: _of_mirror(target) for name, target in islice(report.targets.items(), MOST)},
    }


def _of_mirror(target: "Target") -> dict[str, Any]:
    replica, lag = target
    return {
        "baseline": replica.baseline.value,
        "paused": replica.paused,
        "deletes_braked": replica.braked,
        "overflowed": replica.overflowed,
        "pending": lag.pending,
        "bytes": lag.bytes,
        "behind_seconds": round(lag.oldest, 1),
        "given_up": lag.dead,
    }


def _told(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
