"""All that decides about a key, in one statement and thus of one moment."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import BindParameter, ColumnElement, FromClause, and_, bindparam, case, func, select

from gateway.replication import buckets
from gateway.replication.records import Baseline, Look, Mode, Presence
from gateway.replication.rows import to_row
from gateway.replication.scope import Prepared, Scope
from gateway.state.schema import BUCKETS, OPS, REPLICAS, ROUTES, ROWS, TASKS, UPLOADS
from gateway.state.store import Transaction, clock
from gateway.storage import Address

_ROUTE: Final[BindParameter[str]] = bindparam("route", "")
_BUCKET: Final[BindParameter[str]] = bindparam("bucket", "")
_KEY: Final[BindParameter[bytes]] = bindparam("key", b"")


def _about(table: FromClause) -> ColumnElement[bool]:
    return and_(table.c.route == _ROUTE, table.c.bucket == _BUCKET, table.c.key == _KEY)


_WRITES = select(func.count()).select_from(OPS).where(_about(OPS), ~OPS.c.on_fallback).scalar_subquery()
_GIVEN_UP: Final = "!"  # stands before a target's name
_TASKS = (
    select(func.aggregate_strings(case((TASKS.c.dead, _GIVEN_UP + TASKS.c.target), else_=TASKS.c.target), "\n"))
    .where(_about(TASKS))
    .scalar_subquery()
)
_COMPLETE = (
    select(func.aggregate_strings(REPLICAS.c.target, "\n"))
    .where(REPLICAS.c.route == _ROUTE, REPLICAS.c.baseline == Baseline.COMPLETE.value)
    .scalar_subquery()
)
_PRESENCE = select(BUCKETS.c.presence).where(BUCKETS.c.route == _ROUTE, BUCKETS.c.name == _BUCKET).scalar_subquery()
_NONE_MISSING = (
    select(BUCKETS.c.presence).where(BUCKETS.c.route == _ROUTE, BUCKETS.c.name == buckets.ALL).scalar_subquery()
)
_LOOK: Final = Prepared(
    select(
        ROUTES.c.mode,
        ROUTES.c.previous,
        ROUTES.c.effective,
        ROUTES.c.epoch,
        clock().label("now"),
        _WRITES.label("writes"),
        _TASKS.label("lacking"),
        _COMPLETE.label("complete"),
        _PRESENCE.label("presence"),
        _NONE_MISSING.label("none_missing"),
        ROWS.c.bucket,
        ROWS.c.key,
        ROWS.c.gen,
        ROWS.c.staged,
        ROWS.c.info,
    )
    .join_from(ROUTES, ROWS, _about(ROWS), isouter=True)
    .where(ROUTES.c.name == _ROUTE)
)


def look(tx: Transaction, scope: Scope, at: Address) -> Look | None:
    """Return all that decides about a key; None if the route was never heard of."""
    asked = {"route": scope.route, "bucket": at.bucket, "key": at.key.encode()}
    found = _LOOK.execute(tx.connection, asked).first()
    if found is None:
        return None
    tx.told(found.now)
    mode = Mode(found.mode if found.effective <= tx.now else found.previous)
    row = to_row(found) if found.gen is not None else None
    lacking = (found.lacking or "").split("\n")
    refused = frozenset(name for name in scope.targets if _GIVEN_UP + name in lacking)
    return Look(mode, row, _dirty(scope, found, lacking), _presence(found), found.epoch, refused)


def is_known(tx: Transaction, scope: Scope, bucket: str) -> bool:
    """Say whether anything is written down of a bucket."""
    for table in (ROWS, TASKS, OPS, UPLOADS):
        here = (table.c.route == scope.route, table.c.bucket == bucket)
        if tx.connection.execute(select(table.c.route).where(*here).limit(1)).first():
            return True
    return False


def _presence(found: Any) -> Presence:
    if found.presence is not None:
        return Presence(found.presence)
    return Presence.UNSURE if found.none_missing is None else Presence.ABSENT


def _dirty(scope: Scope, found: Any, lacking: Sequence[str]) -> frozenset[str]:
    everything = frozenset(scope.targets)
    if found.writes:
        return everything
    complete = frozenset((found.complete or "").split("\n"))
    return (everything - complete) | everything.intersection(name.removeprefix(_GIVEN_UP) for name in lacking)
