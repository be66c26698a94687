"""The standing of the targets of a route."""

from sqlalchemy import ColumnElement, select

from gateway.replication import braking
from gateway.replication.records import Baseline, Replica
from gateway.replication.scope import Scope, taken, upsert
from gateway.state.schema import OVERFLOWS, REPLICAS
from gateway.state.store import Transaction


def find(tx: Transaction, scope: Scope, target: str) -> Replica:
    """Return the standing of a target; nothing was given yet to one that was never heard of."""
    here = (REPLICAS.c.route == scope.route, REPLICAS.c.target == target)
    row = tx.connection.execute(select(REPLICAS.c.baseline, REPLICAS.c.paused).where(*here)).first()
    braked = braking.is_held(tx, scope, target)
    overflowed = bool(tx.connection.scalar(select(OVERFLOWS.c.target).where(*_full(scope, target))))
    baseline, paused = (Baseline(row.baseline), row.paused) if row else (Baseline.NONE, False)
    return Replica(baseline, paused, braked, overflowed)


def _full(scope: Scope, target: str) -> tuple[ColumnElement[bool], ...]:
    return OVERFLOWS.c.route == scope.route, OVERFLOWS.c.target == target, ~OVERFLOWS.c.ended


def change(tx: Transaction, scope: Scope, target: str, what: str, value: object) -> None:
    """Change `baseline` or `paused` of a target."""
    values = {"route": scope.route, "target": target, "baseline": Baseline.NONE.value, "paused": False, what: value}
    tx.connection.execute(upsert(tx.connection.dialect.name, REPLICAS, ("route", "target"), taken(what)), values)


def pause(tx: Transaction, scope: Scope, target: str, *, paused: bool) -> None:
    """Let nobody work for a target, or let go on."""
    change(tx, scope, target, "paused", paused)
    if not paused:
        braking.release(tx, scope, target)
