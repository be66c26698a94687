"""Mirrors that lack so much that no more of it is written down: when they are back they are compared whole.

So the tables stay small, however long a mirror is away. Until a walk through both sides has ended, the mirror's
baseline is not complete, and it answers for nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import BindParameter, ColumnElement, and_, bindparam, delete, select, tuple_, update

from gateway.replication import replicas
from gateway.replication.records import Baseline, Kind, Overflow
from gateway.replication.scope import Prepared, Scope, taken, upsert
from gateway.state.schema import OVERFLOWS, TASKS
from gateway.state.store import Transaction
from gateway.storage import Address

_ROUTE: Final[BindParameter[str]] = bindparam("route", "")
_FIND: Final = Prepared(
    select(OVERFLOWS.c.target, OVERFLOWS.c.ended, OVERFLOWS.c.deletes).where(OVERFLOWS.c.route == _ROUTE)
)


class Write(NamedTuple):
    """What was done to a key."""

    at: Address
    kind: Kind


def every(tx: Transaction, scope: Scope) -> Mapping[str, Overflow]:
    """Return what is known of targets that lack more than is written down."""
    found = _FIND.execute(tx.connection, {"route": scope.route})
    return {row.target: Overflow(bool(row.ended), bool(row.deletes)) for row in found}


def find(tx: Transaction, scope: Scope, target: str) -> Overflow | None:
    """Return what is known of one target; None: all that it lacks is written down."""
    return every(tx, scope).get(target)


def unwritten(
    tx: Transaction, scope: Scope, writes: Iterable[Write], targets: Sequence[str]
) -> set[tuple[Address, str]]:
    """Return for which keys and targets nothing is to be written down, and remember that something was not.

    What is there already goes on being kept up to date, and what was not written by clients is always written down.
    """
    full = {target: found for target, found in every(tx, scope).items() if target in targets and not found.ended}
    told = [write for write in writes if write.kind is not Kind.COPY] if full else []
    if not told:
        return set()
    there = _tasks_of(tx, scope, [write.at for write in told])
    left_out = [(write, target) for target in full for write in told if (write.at, target) not in there]
    for target in {target for write, target in left_out if write.kind is Kind.DELETE and not full[target].deletes}:
        tx.connection.execute(update(OVERFLOWS).where(*_of(scope, target)).values(deletes=True))
    return {(write.at, target) for write, target in left_out}


def begin(tx: Transaction, scope: Scope, target: str) -> None:
    """Write down no more of what a target lacks."""
    tx.lock_route(scope.route)
    values = {"route": scope.route, "target": target, "ended": False, "deletes": False}
    tx.connection.execute(upsert(tx.connection.dialect.name, OVERFLOWS, ("route", "target"), taken("ended")), values)
    replicas.change(tx, scope, target, "baseline", Baseline.INVALID.value)


def end(tx: Transaction, scope: Scope, target: str) -> None:
    """Write it down again: what is listed from now on shows all that was not."""
    tx.connection.execute(update(OVERFLOWS).where(*_of(scope, target)).values(ended=True))


def complete(tx: Transaction, scope: Scope, target: str, *, deletes: bool) -> bool:
    """Say that a target was given all there is, `deletes` too, and return whether that holds.

    It does not if it has overflowed meanwhile, or was known too late to lack deletes.
    """
    tx.lock_route(scope.route)
    found = find(tx, scope, target)
    if found and (not found.ended or (found.deletes and not deletes)):
        return False
    tx.connection.execute(delete(OVERFLOWS).where(*_of(scope, target)))
    replicas.change(tx, scope, target, "baseline", Baseline.COMPLETE.value)
    return True


def _tasks_of(tx: Transaction, scope: Scope, ats: Sequence[Address]) -> set[tuple[Address, str]]:
    wanted = tuple_(TASKS.c.bucket, TASKS.c.key).in_([(at.bucket, at.key.encode()) for at in ats])
    found = select(TASKS.c.bucket, TASKS.c.key, TASKS.c.target).where(and_(TASKS.c.route == scope.route, wanted))
    return {(Address(row.bucket, row.key.decode()), row.target) for row in tx.connection.execute(found)}


def _of(scope: Scope, target: str) -> tuple[ColumnElement[bool], ...]:
    return OVERFLOWS.c.route == scope.route, OVERFLOWS.c.target == target
