"""Where writes go: the mode of a route, and who may change it when."""

from typing import NamedTuple

from sqlalchemy import and_, case, func, select, update

from gateway.errors import ServiceUnavailable
from gateway.replication.records import Mode, Presence, RouteState, Standing, Vote
from gateway.replication.scope import Scope, taken, upsert
from gateway.state.schema import BUCKETS, NODES, ROUTES, ROWS, VOTES
from gateway.state.store import Transaction


class Phase(NamedTuple):
    """The mode of a route as it is written down: until `effective`, the one before holds."""

    mode: Mode
    previous: Mode
    effective: float
    epoch: int
    pinned: bool

    def holds(self, now: float) -> Mode:
        """Return the mode that holds now."""
        return self.mode if self.effective <= now else self.previous


BEGINNING = Phase(Mode.NORMAL, Mode.NORMAL, 0.0, 0, pinned=False)


def phase_of(tx: Transaction, scope: Scope) -> Phase:
    """Return the phase of a route; NORMAL if nothing was ever said of it."""
    columns = (ROUTES.c.mode, ROUTES.c.previous, ROUTES.c.effective, ROUTES.c.epoch, ROUTES.c.pinned)
    row = tx.connection.execute(select(*columns).where(ROUTES.c.name == scope.route)).first()
    return Phase(Mode(row.mode), Mode(row.previous), row.effective, row.epoch, row.pinned) if row else BEGINNING


def introduce(tx: Transaction, scope: Scope) -> None:
    """Write a route down that was never heard of."""
    values = {"name": scope.route, **BEGINNING._asdict(), "since": tx.now, "reason": ""}
    tx.connection.execute(upsert(tx.connection.dialect.name, ROUTES, ("name",)), values)


def beat(tx: Transaction, scope: Scope, vote: Vote | None, *, automatic: bool) -> Standing:
    """Renew a node's lease, take its vote, if it has one, and change the mode if it is due.

    The mode is read under the route's lock: it cannot be left by a change that reckons with leases given before this
    one, while this one is given.
    """
    _renew(tx, scope, vote)
    due = _due(tx, scope, automatic=automatic) is not None
    tx.lock_route(scope.route, shared=not due)
    to = _due(tx, scope, automatic=automatic) if due else None
    if to is not None:
        _change(tx, scope, phase_of(tx, scope), to, f"what the nodes have seen of the primary: {to.name}")
    return _standing(phase_of(tx, scope), scope, tx.now)


def turn(tx: Transaction, scope: Scope, to: Mode, reason: str, *, pin: bool) -> Mode:
    """Change the mode by order."""
    tx.lock_route(scope.route)
    phase = phase_of(tx, scope)
    if tx.now < phase.effective:
        raise ServiceUnavailable("The mode is being changed already.")
    way = {
        (Mode.NORMAL, Mode.FAILOVER): Mode.FAILOVER,
        (Mode.HEALING, Mode.FAILOVER): Mode.FAILOVER,
        (Mode.FAILOVER, Mode.HEALING): Mode.HEALING,
        (Mode.FAILOVER, Mode.NORMAL): Mode.HEALING,
    }
    found = way.get((phase.mode, to), phase.mode)
    if found is not phase.mode:
        _change(tx, scope, phase, found, reason)
    introduce(tx, scope)
    tx.connection.execute(update(ROUTES).where(ROUTES.c.name == scope.route).values(pinned=pin))
    return found


def is_new(tx: Transaction, scope: Scope) -> bool:
    """Say whether nothing was ever said of a route."""
    return tx.connection.execute(select(ROUTES.c.name).where(ROUTES.c.name == scope.route)).first() is None


def distrust(tx: Transaction, scope: Scope, reason: str) -> None:
    """Have nothing written or read, because what the database says may not be so; under the route's lock."""
    phase = phase_of(tx, scope)
    if phase.mode is not Mode.RECONCILE:
        _write(tx, scope, Phase(Mode.RECONCILE, Mode.RECONCILE, tx.now, phase.epoch + 1, pinned=False), reason)


def trust(tx: Transaction, scope: Scope, to: Mode, reason: str) -> None:
    """Leave RECONCILE, when no node can act any more by what it was told before that; under the route's lock."""
    phase = phase_of(tx, scope)
    effective = scope.rules.barrier(Mode.NORMAL, tx.now)
    _write(tx, scope, Phase(to, Mode.RECONCILE, effective, phase.epoch + 1, pinned=False), reason)


def state(tx: Transaction, scope: Scope) -> RouteState:
    """Return what an operator is told."""
    phase = phase_of(tx, scope)
    row = tx.connection.execute(select(ROUTES.c.since, ROUTES.c.reason).where(ROUTES.c.name == scope.route)).first()
    since, reason = (tx.now - row.since, row.reason) if row else (0.0, "")
    return RouteState(phase.holds(tx.now), phase.epoch, since, reason, phase.pinned)


def fence(tx: Transaction, scope: Scope) -> Phase:
    """Return the phase, whose mode lets the fallback hold the newest state. Raises: ServiceUnavailable, if not."""
    phase = phase_of(tx, scope)
    if not scope.rules.is_open(phase.mode, phase.effective, tx.now):
        raise ServiceUnavailable("The primary takes writes by now.")
    return phase


def _renew(tx: Transaction, scope: Scope, vote: Vote | None) -> None:
    dialect, until = tx.connection.dialect.name, tx.now + scope.rules.timing.node_lease
    tx.connection.execute(
        upsert(dialect, NODES, ("id",), taken("lease_until")), {"id": scope.node, "lease_until": until}
    )
    if vote is None:
        return
    tx.connection.execute(
        upsert(dialect, VOTES, ("route", "node"), taken("down_for", "up_for", "at")),
        {"route": scope.route, "node": scope.node, "at": tx.now, **vote._asdict()},
    )


def _due(tx: Transaction, scope: Scope, *, automatic: bool) -> Mode | None:
    """Return the mode that is to come, if another is."""
    phase = phase_of(tx, scope)
    if tx.now < phase.effective:
        return None
    if automatic and not phase.pinned and phase.mode is not Mode.RECONCILE:
        down, up = _voted(tx, scope)
        if down and phase.mode is not Mode.FAILOVER:
            return Mode.FAILOVER
        if up and phase.mode is Mode.FAILOVER:
            return Mode.HEALING
    if phase.mode is Mode.HEALING and scope.rules.may_return(rows_left=_has_rows(tx, scope)):
        return Mode.NORMAL
    return None


def _voted(tx: Transaction, scope: Scope) -> tuple[bool, bool]:
    """Say whether most live nodes see the primary down, and whether they see it up, for long enough."""
    timing = scope.rules.timing
    votes = select(
        func.count(),
        func.coalesce(func.sum(case((VOTES.c.down_for >= timing.down_after, 1), else_=0)), 0),
        func.coalesce(func.sum(case((VOTES.c.up_for >= timing.up_after, 1), else_=0)), 0),
    ).join_from(VOTES, NODES, VOTES.c.node == NODES.c.id)
    fresh = votes.where(
        VOTES.c.route == scope.route, NODES.c.lease_until > tx.now, VOTES.c.at > tx.now - timing.node_lease
    )
    live, down, up = tx.connection.execute(fresh).one()
    return scope.rules.is_majority(down, live), scope.rules.is_majority(up, live)


def _has_rows(tx: Transaction, scope: Scope) -> bool:
    """Say whether the primary lacks a key or a bucket."""
    new = and_(BUCKETS.c.route == scope.route, BUCKETS.c.presence.in_((int(Presence.NEW), int(Presence.COMING))))
    left = (select(ROWS.c.gen).where(ROWS.c.route == scope.route), select(BUCKETS.c.gen).where(new))
    return any(tx.connection.execute(found.limit(1)).first() for found in left)


def _change(tx: Transaction, scope: Scope, phase: Phase, to: Mode, reason: str) -> None:
    effective = scope.rules.barrier(phase.mode, tx.now)
    _write(tx, scope, Phase(to, phase.mode, effective, phase.epoch + 1, phase.pinned), reason)


def _write(tx: Transaction, scope: Scope, phase: Phase, reason: str) -> None:
    values = {**phase._asdict(), "since": tx.now, "reason": reason}
    statement = upsert(tx.connection.dialect.name, ROUTES, ("name",), taken(*values))
    tx.connection.execute(statement, {"name": scope.route, **values})


def _standing(phase: Phase, scope: Scope, now: float) -> Standing:
    """Return for how long a node may rely on what it is told: on NORMAL only, all else is asked for each time."""
    timing, mode = scope.rules.timing, phase.holds(now)
    mode_for = timing.lease if phase.effective <= now else min(timing.lease, phase.effective - now)
    return Standing(mode, phase.epoch, mode_for if mode is Mode.NORMAL else 0.0, timing.node_lease)
