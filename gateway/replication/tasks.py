"""What mirrors lack: one task for each key and target, whatever happened to the key how often."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, case, func, or_, select, update

from gateway.replication import overflow
from gateway.replication.encoding import decode
from gateway.replication.records import SOURCE_MISSING, Baseline, Dead, Dirty, Kind, Lag
from gateway.replication.scope import Scope, at_key, upsert
from gateway.state.schema import OPS, REPLICAS, TASKS
from gateway.state.store import Transaction
from gateway.storage import Address

_KEY = ("route", "bucket", "key", "target")


class Touch(NamedTuple):
    """Something that happened to a key; `began` tells whether it can have overlapped what is written down."""

    at: Address
    kind: Kind
    began: float
    info: str | None = None  # what is there since, encoded; None: not known, "": nothing
    size: int = 0
    taint_until: float = 0.0


def touch(tx: Transaction, scope: Scope, touches: Iterable[Touch], targets: Sequence[str] | None = None) -> None:
    """Write down that targets (None: all) lack keys. A task that is there already gets another gen, that is all.

    Of a target that lacks too much already only that.
    """
    named = sorted(scope.targets if targets is None else targets)
    told = sorted(touches, key=lambda item: item.at[:2])
    if not (named and told):
        return
    unwritten = overflow.unwritten(tx, scope, [overflow.Write(item.at, item.kind) for item in told], named)
    wanted = [(item, target) for item in told for target in named if (item.at, target) not in unwritten]
    values = [_values(item, target, scope, tx.now) for item, target in wanted]
    if values:
        gens = tx.gens(len(values))
        statement = upsert(tx.connection.dialect.name, TASKS, _KEY, _touched)
        tx.connection.execute(statement, [{**value, "gen": gen} for value, gen in zip(values, gens, strict=True)])


def lag(tx: Transaction, scope: Scope) -> dict[str, Lag]:
    """Return how far targets are behind."""
    columns = (
        TASKS.c.target,
        func.count(),
        func.sum(TASKS.c.size),
        func.min(case((~_is_kept(), TASKS.c.since))),
        func.sum(case((TASKS.c.dead, 1), else_=0)),
    )
    found = tx.connection.execute(select(*columns).where(TASKS.c.route == scope.route).group_by(TASKS.c.target))
    lags = {
        target: Lag(count, int(size), 0.0 if since is None else tx.now - since, int(dead))
        for target, count, size, since, dead in found
    }
    return {target: lags.get(target, Lag()) for target in {*scope.targets, *lags}}


def behind(tx: Transaction, scope: Scope) -> dict[str, float]:
    """Return for how long targets that are to be in step lack what they have not refused for good, in seconds."""
    columns = (TASKS.c.target, func.min(TASKS.c.since))
    in_step = and_(
        REPLICAS.c.route == TASKS.c.route,
        REPLICAS.c.target == TASKS.c.target,
        REPLICAS.c.baseline == Baseline.COMPLETE.value,
        ~REPLICAS.c.paused,
    )
    waits = (TASKS.c.route == scope.route, ~TASKS.c.dead, ~_is_kept())
    waiting = select(*columns).join(REPLICAS, in_step).where(*waits)
    return {target: tx.now - since for target, since in tx.connection.execute(waiting.group_by(TASKS.c.target))}


def _is_kept() -> ColumnElement[bool]:
    """Say whether a mirror lacks nothing of a key, but has an object that the primary has lost: it stays for good."""
    return TASKS.c.error == SOURCE_MISSING


def error_of(tx: Transaction, scope: Scope, target: str, at: Address) -> str:
    """Return what became of the last turn at a key, "" if that did not fail."""
    error = select(TASKS.c.error).where(at_key(TASKS, scope.route, at), TASKS.c.target == target)
    return tx.connection.scalar(error) or ""


def dead(tx: Transaction, scope: Scope, target: str, limit: int) -> Sequence[Dead]:
    """Return what was given up."""
    columns = (TASKS.c.bucket, TASKS.c.key, TASKS.c.error, TASKS.c.failing_since)
    found = select(*columns).where(TASKS.c.route == scope.route, TASKS.c.target == target, TASKS.c.dead).limit(limit)
    return [
        Dead(Address(row.bucket, row.key.decode()), target, row.error, row.failing_since or 0.0)
        for row in tx.connection.execute(found.order_by(TASKS.c.bucket, TASKS.c.key))
    ]


def revive(tx: Transaction, scope: Scope, target: str) -> int:
    """Have what was given up tried again."""
    given_up = (TASKS.c.route == scope.route, TASKS.c.target == target, TASKS.c.dead)
    fresh = {"dead": False, "failures": 0, "failing_since": None, "attempts": 0, "due": tx.now}
    return tx.connection.execute(update(TASKS).where(*given_up).values(fresh)).rowcount


def dirty_keys(tx: Transaction, scope: Scope, bucket: str, span: Mapping[str, Any], limit: int) -> Sequence[Dirty]:
    """Return, in order, keys that targets lack or that are being written; `span` are conditions by table."""
    of_tasks = select(TASKS.c.key).where(TASKS.c.route == scope.route, TASKS.c.bucket == bucket, *span["task"])
    of_ops = select(OPS.c.key).where(
        OPS.c.route == scope.route, OPS.c.bucket == bucket, ~OPS.c.on_fallback, *span["op"]
    )
    both = of_tasks.union(of_ops).subquery()
    keys = tx.connection.scalars(select(both.c.key).order_by(both.c.key).limit(limit)).all()
    if not keys:
        return []
    columns = (TASKS.c.key, TASKS.c.target, TASKS.c.info)
    tasks = select(*columns).where(TASKS.c.route == scope.route, TASKS.c.bucket == bucket, TASKS.c.key.in_(keys))
    writes = select(OPS.c.key).where(
        OPS.c.route == scope.route, OPS.c.bucket == bucket, OPS.c.key.in_(keys), ~OPS.c.on_fallback
    )
    writing, lacking = set(tx.connection.scalars(writes)), tx.connection.execute(tasks).all()
    return [_dirty(scope, key, [row for row in lacking if row.key == key], writing=key in writing) for key in keys]


def _dirty(scope: Scope, key: bytes, lacking: Sequence[Any], *, writing: bool) -> Dirty:
    targets = frozenset(scope.targets) if writing else frozenset(row.target for row in lacking)
    known = [row.info for row in lacking if row.info is not None]
    name = key.decode()
    return Dirty(name, targets, bool(known), decode(name, known[0]) if known and known[0] else None)


def _values(item: Touch, target: str, scope: Scope, now: float) -> dict[str, Any]:
    return {
        "route": scope.route,
        "bucket": item.at.bucket,
        "key": item.at.key.encode(),
        "target": target,
        "kind": int(item.kind),
        "touched": now if item.kind is not Kind.COPY else 0.0,
        "info": item.info,
        "size": item.size,
        "since": now,
        "due": now,
        "token": None,
        "taint_until": item.taint_until,
        "attempts": 0,
        "failures": 0,
        "failing_since": None,
        "dead": False,
        "error": "",
        "began": item.began,
    }


def _touched(new: Any) -> Mapping[str, Any]:
    """Return what becomes of a task that is there already.

    A delete is forgotten only for a PUT that began after it was over: of two that overlapped, nobody knows which came
    first, and it is the storage that says so. What is claimed, or waits after a failure, keeps its turn; what was given
    up is tried again only when it was written.
    """
    old = TASKS.c
    written = new.kind != int(Kind.COPY)
    overlapped = and_(old.kind == int(Kind.DELETE), bindparam("began") <= old.touched)
    waits = or_(old.token.is_not(None), and_(old.attempts > 0, ~old.dead, ~_is_kept()))
    return {
        "gen": new.gen,
        "kind": case((and_(written, ~overlapped), new.kind), (old.kind > new.kind, old.kind), else_=new.kind),
        "touched": case((written, new.touched), else_=old.touched),
        "info": case((written, new.info), else_=old.info),
        "size": case((written, new.size), else_=old.size),
        "since": case((and_(written, _is_kept()), new.since), else_=old.since),
        "due": case((or_(waits, old.due < new.due), old.due), else_=new.due),
        "taint_until": case((old.taint_until > new.taint_until, old.taint_until), else_=new.taint_until),
        "failures": case((written, 0), else_=old.failures),
        "failing_since": case((written, None), else_=old.failing_since),
        "dead": and_(old.dead, ~written),
        "error": case((and_(written, _is_kept()), ""), else_=old.error),
    }
