"""How much is deleted from mirrors; when it is too much at once, nothing more is until an operator says so."""

from typing import Any, Final

from sqlalchemy import ColumnElement, func, select, update

from gateway.replication.records import BRAKE, Kind
from gateway.replication.scope import Scope, taken, upsert
from gateway.state.schema import BRAKES, TASKS
from gateway.state.store import Transaction

_VALUES: Final = ("keys", "deletes", "since", "held")


def is_held(tx: Transaction, scope: Scope, target: str) -> bool:
    """Say whether nothing may be deleted from a target."""
    here = (BRAKES.c.route == scope.route, BRAKES.c.target == target)
    return bool(tx.connection.scalar(select(BRAKES.c.held).where(*here)))


def count(tx: Transaction, scope: Scope, target: str, made: int, deleted: int) -> bool:
    """Count keys that a target has got and lost, and say whether that was what has put the brake on."""
    found, rules = _find(tx, scope, target), scope.rules
    deletes, since = found["deletes"], found["since"]
    if rules.is_another_hour(since, tx.now):
        deletes, since = min(deletes, 0), tx.now
    deletes += deleted
    keys = max(found["keys"] + made - deleted, 0)
    too_many = rules.are_too_many(deletes, keys)
    _set(tx, scope, target, keys=keys, deletes=deletes, since=since, held=found["held"] or too_many)
    return too_many and not found["held"]


def know(tx: Transaction, scope: Scope, target: str, keys: int) -> None:
    """Write down how many keys a target holds."""
    _set(tx, scope, target, **_find(tx, scope, target) | {"keys": keys})


def release(tx: Transaction, scope: Scope, target: str) -> None:
    """Let go on: what waits is deleted without being counted."""
    found = _find(tx, scope, target)
    if not found["held"]:
        return
    waiting = select(func.count()).where(_of(scope, target), TASKS.c.kind == int(Kind.DELETE))
    allowed = -int(tx.connection.scalar(waiting) or 0)
    _set(tx, scope, target, **found | {"deletes": allowed, "since": tx.now, "held": False})
    braked = update(TASKS).where(_of(scope, target), TASKS.c.error == BRAKE, TASKS.c.token.is_(None))
    tx.connection.execute(braked.values(due=tx.now, attempts=0))


def _of(scope: Scope, target: str) -> ColumnElement[bool]:
    return (TASKS.c.route == scope.route) & (TASKS.c.target == target)


def _find(tx: Transaction, scope: Scope, target: str) -> dict[str, Any]:
    here = (BRAKES.c.route == scope.route, BRAKES.c.target == target)
    columns = (BRAKES.c[name] for name in _VALUES)
    row = tx.connection.execute(select(*columns).where(*here).with_for_update()).first()
    return dict(row._mapping) if row else dict(zip(_VALUES, (0, 0, tx.now, False), strict=True))  # noqa: SLF001


def _set(tx: Transaction, scope: Scope, target: str, **values: Any) -> None:
    row = {"route": scope.route, "target": target, **values}
    tx.connection.execute(upsert(tx.connection.dialect.name, BRAKES, ("route", "target"), taken(*_VALUES)), row)
