"""What operators and metrics are told of a route: all of one moment."""

from collections.abc import Mapping
from typing import NamedTuple

from gateway.replication import modes, replicas, rows, tasks
from gateway.replication.records import Healing, Lag, Replica, RouteState
from gateway.replication.scope import Scope
from gateway.state.store import Transaction


class Target(NamedTuple):
    """How a mirror does."""

    replica: Replica
    lag: Lag


class Report(NamedTuple):
    """How a route does. `targets` may name one that is configured no more: it still lacks something."""

    state: RouteState
    healing: Healing
    targets: Mapping[str, Target]


def report(tx: Transaction, scope: Scope) -> Report:
    """Return how a route does."""
    lags = tasks.lag(tx, scope)
    targets = {name: Target(replicas.find(tx, scope, name), lag) for name, lag in sorted(lags.items())}
    return Report(modes.state(tx, scope), rows.unhealed(tx, scope), targets)
