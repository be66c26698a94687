"""What the workers of a mirror take on, and how it ended."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, delete, select, update

from gateway.errors import ServiceUnavailable
from gateway.replication import modes, ops, replicas, rows, tasks
from gateway.replication.records import Claim, Kind, Mode, Outcome, Turn, new_id
from gateway.replication.rules import Rules
from gateway.replication.scope import Scope, at_key
from gateway.state.schema import TASKS
from gateway.state.store import Transaction
from gateway.storage import Address

_STATE = (
    TASKS.c.gen,
    TASKS.c.token,
    TASKS.c.taint_until,
    TASKS.c.attempts,
    TASKS.c.failures,
    TASKS.c.failing_since,
)
_TASK = (TASKS.c.bucket, TASKS.c.key, TASKS.c.kind, *_STATE)


def claim(tx: Transaction, scope: Scope, target: str, limit: int, deadline: float) -> Sequence[Claim]:
    """Take leases on what a target lacks.

    The rows are looked up after the tasks: a row that came up in between has changed the gen of its task.
    """
    replica = replicas.find(tx, scope, target)
    if replica.paused or modes.phase_of(tx, scope).mode is Mode.RECONCILE:
        return []
    due = (TASKS.c.route == scope.route, TASKS.c.target == target, ~TASKS.c.dead, TASKS.c.due <= tx.now)
    oldest = select(*_TASK).where(*due).order_by(TASKS.c.due).limit(limit).with_for_update(skip_locked=True)
    found = tx.connection.execute(oldest).all()
    return _claimed(tx, scope, target, found, deadline, braked=replica.braked) if found else []


def take(tx: Transaction, scope: Scope, target: str, at: Address, deadline: float) -> Turn:
    """Take a lease on one key, even if it is not due, unless somebody else has it. Raises: ServiceUnavailable."""
    here = and_(at_key(TASKS, scope.route, at), TASKS.c.target == target)
    task = tx.connection.execute(select(*_TASK, TASKS.c.due).where(here).with_for_update()).first()
    replica = replicas.find(tx, scope, target)
    if task is None and replica.overflowed and not replica.paused:
        raise ServiceUnavailable("The mirror lacks more than is written down.")
    if task is None or replica.paused or (replica.braked and task.kind == int(Kind.DELETE)):
        return Turn(None, is_over=True)
    if (task.token and task.due > tx.now) or modes.phase_of(tx, scope).mode is Mode.RECONCILE:
        return Turn(None)
    return Turn(_claimed(tx, scope, target, [task], deadline, braked=replica.braked)[0])


def _claimed(  # noqa: PLR0913  what claims are made of
    tx: Transaction, scope: Scope, target: str, found: Sequence[Any], deadline: float, *, braked: bool
) -> Sequence[Claim]:
    ats = [Address(task.bucket, task.key.decode()) for task in found]
    newest, in_flight = rows.rows_of(tx, scope, ats), ops.keys_in_flight(tx, scope, ats)
    claims = [
        Claim(
            at,
            task.gen,
            new_id(),
            tx.now,
            deadline,
            newest.get(at),
            Kind(task.kind),
            target,
            task.attempts,
            at in in_flight,
            braked,
        )
        for at, task in zip(ats, found, strict=True)
    ]
    taints = [scope.rules.takeover(tx.now) if task.token else task.taint_until for task in found]
    _lease(tx, scope, claims, taints)
    return claims


def mirrored(  # noqa: PLR0913  what a worker has to say
    tx: Transaction, scope: Scope, claim: Claim, outcome: Outcome, error: str, *, permanent: bool
) -> bool:
    """Say how a write to a mirror went, and whether the key is clean there by now."""
    here = _here(scope, claim)
    task = tx.connection.execute(select(*_STATE).where(here).with_for_update()).first()
    rules, now = scope.rules, tx.now
    if task is None or task.token != claim.token:
        if rules.clobbers(outcome):
            taint = tasks.Touch(claim.at, Kind.COPY, now, taint_until=rules.doubt(now))
            tasks.touch(tx, scope, [taint], [claim.target])
        return False
    if outcome is not Outcome.APPLIED:
        taint_until = rules.doubt(now) if outcome is Outcome.UNKNOWN else task.taint_until
        _free(tx, here, taint_until=taint_until, error=error, **_failed(rules, task, now, permanent=permanent))
        return False
    if not rules.is_current(claim.gen, task.gen):
        _free(tx, here, due=now, attempts=0)
        return False
    if not rules.counts(task.taint_until, claim.claimed):
        _free(tx, here, due=max(now, task.taint_until), attempts=0)
        return False
    tx.connection.execute(delete(TASKS).where(here))
    return True


def renew(tx: Transaction, scope: Scope, claim: Claim) -> bool:
    """Make a lease last longer, if it is still held."""
    mine = update(TASKS).where(_here(scope, claim), TASKS.c.token == claim.token)
    return tx.connection.execute(mine.values(due=tx.now + scope.rules.timing.worker_lease)).rowcount == 1


def release(tx: Transaction, scope: Scope, claim: Claim, after: float) -> None:
    """Give a lease back."""
    _free(tx, and_(_here(scope, claim), TASKS.c.token == claim.token), due=tx.now + after)


def _failed(rules: Rules, task: Any, now: float, *, permanent: bool) -> dict[str, Any]:
    """Return what is written down of a failure."""
    values = {"due": rules.again(task.attempts, now), "attempts": task.attempts + 1}
    if not permanent:
        return values
    failures, since = task.failures + 1, now if task.failing_since is None else task.failing_since
    dead = rules.is_hopeless(failures, since, now)
    return {**values, "failures": failures, "failing_since": since, "dead": dead}


def _here(scope: Scope, claim: Claim) -> ColumnElement[bool]:
    return and_(at_key(TASKS, scope.route, claim.at), TASKS.c.target == claim.target)


def _free(tx: Transaction, here: ColumnElement[bool], **values: Any) -> None:
    tx.connection.execute(update(TASKS).where(here).values(token=None, **values))


_LEASE = (
    update(TASKS)
    .where(
        TASKS.c.route == bindparam("in_route"),
        TASKS.c.bucket == bindparam("in_bucket"),
        TASKS.c.key == bindparam("of"),
        TASKS.c.target == bindparam("at"),
    )
    .values(token=bindparam("by"), due=bindparam("until"), taint_until=bindparam("taint"))
)


def _lease(tx: Transaction, scope: Scope, claims: Sequence[Claim], taints: Sequence[float]) -> None:
    until = tx.now + scope.rules.timing.worker_lease
    values = [
        {
            "in_route": scope.route,
            "in_bucket": claim.at.bucket,
            "of": claim.at.key.encode(),
            "at": claim.target,
            "by": claim.token,
            "until": until,
            "taint": taint,
        }
        for claim, taint in zip(claims, taints, strict=True)
    ]
    tx.connection.execute(_LEASE, values)
