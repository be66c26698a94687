"""Intents: what a node is about to write, so that nothing is forgotten if it is never heard of again."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, delete, func, insert, or_, select, tuple_, update

from gateway.replication import garbage, tasks
from gateway.replication.encoding import encode
from gateway.replication.records import Kind, Op, Outcome
from gateway.replication.scope import Scope
from gateway.state.schema import NODES, OPS
from gateway.state.store import Transaction
from gateway.storage import Address, ObjectInfo

AT_ONCE = 1000  # ops settled or swept in one transaction

_BEGIN = insert(OPS)
_END = delete(OPS).where(OPS.c.id == bindparam("op_id"))
_GIVE_UP = (
    update(OPS).where(OPS.c.id == bindparam("op_id"), OPS.c.unknown_at.is_(None)).values(unknown_at=bindparam("at"))
)


class Settlement(NamedTuple):
    """What became of an op."""

    op: Op
    outcome: Outcome
    info: ObjectInfo | None = None


def begin(tx: Transaction, scope: Scope, op: Op) -> Op:
    """Write an intent down."""
    values = {
        "id": op.id,
        "route": scope.route,
        "bucket": op.at.bucket,
        "key": op.at.key.encode(),
        "kind": int(op.kind),
        "on_fallback": op.on_fallback,
        "staged": op.staged,
        "node": scope.node,
        "began": tx.now,
        "unknown_at": None,
    }
    tx.connection.execute(_BEGIN, values)
    return op._replace(began=tx.now)


def end(tx: Transaction, op: Op) -> bool:
    """Remove an intent, and say whether it was still there."""
    return tx.connection.execute(_END, {"op_id": op.id}).rowcount == 1


def settle(tx: Transaction, scope: Scope, settlements: Sequence[Settlement]) -> None:
    """Write down what became of ops.

    What was applied to the primary is lacking on the mirrors, even if the op is gone: who has swept it has had the
    mirrors look too early.
    """
    told = sorted(settlements, key=lambda item: item.op.id)
    unknown = [item.op for item in told if item.outcome is Outcome.UNKNOWN]
    staged = [item.op for item in told if item.op.on_fallback and item.outcome is not Outcome.UNKNOWN]
    ended = [item.op for item in told if not item.op.on_fallback and item.outcome is not Outcome.UNKNOWN]
    if unknown:
        give_up(tx, [op.id for op in unknown])
    if ended:
        tx.connection.execute(_END, [{"op_id": op.id} for op in ended])
    garbage.discard_staged(tx, scope, [(op.at, op.staged) for op in staged if end(tx, op)])
    tasks.touch(tx, scope, _applied(told))


def give_up(tx: Transaction, ids: Iterable[str]) -> None:
    """Write down that nobody will tell what became of ops."""
    tx.connection.execute(_GIVE_UP, [{"op_id": op_id, "at": tx.now} for op_id in ids])


def give_up_unknown(tx: Transaction, scope: Scope, known: frozenset[str]) -> None:
    """Give up what was begun by this node a while ago, and it does not know of: the answer to `begin` was lost."""
    before = scope.rules.forgotten_before(tx.now)
    mine = select(OPS.c.id).where(
        OPS.c.route == scope.route, OPS.c.node == scope.node, OPS.c.unknown_at.is_(None), OPS.c.began < before
    )
    if forgotten := set(tx.connection.scalars(mine)) - known:
        give_up(tx, sorted(forgotten))


def sweep(tx: Transaction, scope: Scope) -> None:
    """Settle what nobody else will: mirrors look at what may have been written, and staged objects go."""
    columns = (OPS.c.id, OPS.c.bucket, OPS.c.key, OPS.c.kind, OPS.c.on_fallback, OPS.c.staged, OPS.c.began)
    orphans = (
        select(*columns)
        .join_from(OPS, NODES, OPS.c.node == NODES.c.id, isouter=True)
        .where(OPS.c.route == scope.route, orphaned(scope.rules.orphaned_before(tx.now)))
        .order_by(OPS.c.id)
        .limit(AT_ONCE)
        .with_for_update(of=OPS, skip_locked=True)
    )
    found = tx.connection.execute(orphans).all()
    if not found:
        return
    tx.connection.execute(_END, [{"op_id": row.id} for row in found])
    ats = {row.id: Address(row.bucket, row.key.decode()) for row in found}
    garbage.discard_staged(tx, scope, [(ats[row.id], row.staged) for row in found if row.on_fallback])
    # What may not have happened takes nothing back: beside a delete it counts as begun before that.
    unknown = [tasks.Touch(ats[row.id], Kind(row.kind), 0.0) for row in found if not row.on_fallback]
    tasks.touch(tx, scope, unknown)


def orphaned(before: float) -> ColumnElement[bool]:
    """Return the condition that an op was given up, or its node's lease was over, at a time.

    How old an op is says nothing: an upload may take hours.
    """
    return or_(OPS.c.unknown_at < before, func.coalesce(NODES.c.lease_until, OPS.c.began) < before)


def oldest(tx: Transaction, scope: Scope) -> float:
    """Return for how long the oldest write to the primary is under way that is not over, in seconds; 0: none is."""
    began = tx.connection.scalar(select(func.min(OPS.c.began)).where(OPS.c.route == scope.route, ~OPS.c.on_fallback))
    return 0.0 if began is None else tx.now - began


def keys_in_flight(tx: Transaction, scope: Scope, ats: Sequence[Address]) -> set[Address]:
    """Return those addresses to which clients are writing on the primary."""
    wanted = tuple_(OPS.c.bucket, OPS.c.key).in_([(at.bucket, at.key.encode()) for at in ats])
    found = select(OPS.c.bucket, OPS.c.key).where(and_(OPS.c.route == scope.route, wanted, ~OPS.c.on_fallback))
    return {Address(row.bucket, row.key.decode()) for row in tx.connection.execute(found)}


def _applied(settlements: Iterable[Settlement]) -> Iterable[tasks.Touch]:
    for op, outcome, info in settlements:
        if outcome is Outcome.APPLIED and not op.on_fallback:
            text = "" if op.kind is Kind.DELETE else encode(info) if info else None
            yield tasks.Touch(op.at, op.kind, op.began, text, info.size if info else 0)
