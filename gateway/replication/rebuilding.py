"""What is written down when a database that was lost or set back becomes good again."""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import delete, func, select

from gateway.errors import ServiceUnavailable
from gateway.replication import buckets, garbage, lineage, modes, replicas, rows, tasks
from gateway.replication.encoding import encode
from gateway.replication.records import Baseline, Kind, Lineage, Mode, Row, Trash, new_id
from gateway.replication.scope import Scope, at_key
from gateway.state.schema import BUCKETS, OPS, ROWS, TRASH, UPLOADS
from gateway.state.store import Transaction
from gateway.storage import Address

FAR: Final = 10_000_000  # gens that may have been given since anybody has heard of one, at the most


def restore(tx: Transaction, scope: Scope, found: Sequence[Row]) -> None:
    """Write rows as they are known to have been, and that mirrors lack them."""
    _require_reconcile(tx, scope)
    old = rows.rows_of(tx, scope, [row.at for row in found])
    for row in found:
        rows.put(tx, scope, row, old.get(row.at))
        unused = (TRASH.c.route == scope.route, TRASH.c.backend == scope.fallback, TRASH.c.bucket == row.at.bucket)
        tx.connection.execute(delete(TRASH).where(*unused, TRASH.c.key == row.staged.encode()))
        completed = (UPLOADS.c.route == scope.route, UPLOADS.c.staged == row.staged)
        tx.connection.execute(delete(UPLOADS).where(*completed))
    tasks.touch(tx, scope, [_touch(row, tx.now) for row in found])


def forget(tx: Transaction, scope: Scope, over: Sequence[Address]) -> None:
    """Remove rows, and let go of what they have staged."""
    _require_reconcile(tx, scope)
    for at, row in rows.rows_of(tx, scope, over).items():
        tx.connection.execute(delete(ROWS).where(at_key(ROWS, scope.route, at)))
        if row.staged:
            garbage.discard(tx, scope, [Trash(scope.fallback, Address(at.bucket, row.staged))])


def scrap(tx: Transaction, scope: Scope, bucket: str, staged: Sequence[str]) -> None:
    """Let go of staged objects that no row points to, but for those of open uploads."""
    _require_reconcile(tx, scope)
    uploads = select(UPLOADS.c.staged).where(UPLOADS.c.route == scope.route, UPLOADS.c.staged.in_(staged))
    open_ = set(tx.connection.scalars(uploads))
    garbage.discard(tx, scope, [Trash(scope.fallback, Address(bucket, key)) for key in staged if key not in open_])


def end(  # noqa: PLR0913  all that was found out
    tx: Transaction,
    scope: Scope,
    seen: Sequence[Lineage],
    floor: int,
    reason: str,
    *,
    lacking: Mapping[str, Mapping[str, str]],
) -> Mode:
    """Have the database be the one that beacons tell of, and say so. What mirrors hold is not known any more.

    `floor` is that of the echo, by the fallback's beacons: others may tell of other databases. `lacking` are
    buckets that the primary lacks: they are as if they had been made in an outage.
    """
    tx.lock_route(scope.route)
    own = lineage.find(tx, scope)
    if modes.phase_of(tx, scope).mode is not Mode.RECONCILE:
        return modes.phase_of(tx, scope).mode
    known = [*seen, *([own] if own else [])]
    identity = next((each.id for each in known if each.id), new_id())
    number = max((each.number for each in known), default=0)
    newest = tx.connection.scalar(select(func.max(ROWS.c.gen)).where(ROWS.c.route == scope.route)) or 0
    gen = tx.outrun(max([newest, *(each.gen for each in known)]) + FAR)
    _abandon(tx, scope)
    for target in scope.targets:
        replicas.change(tx, scope, target, "baseline", Baseline.INVALID.value)
    tx.connection.execute(delete(BUCKETS).where(BUCKETS.c.route == scope.route))  # the primary tells of its own
    for bucket, labels in lacking.items():
        buckets.adopt(tx, scope, bucket, labels)
    lineage.write(tx, scope, Lineage(identity, number + 1, gen, floor))
    modes.trust(tx, scope, Mode.HEALING, reason)
    return Mode.HEALING


def _abandon(tx: Transaction, scope: Scope) -> None:
    """Give up what was about to be made current on the fallback: it was long ago, or is none of this database's."""
    staging = (OPS.c.route == scope.route, OPS.c.on_fallback)
    columns = (OPS.c.bucket, OPS.c.key, OPS.c.staged)
    found = tx.connection.execute(select(*columns).where(*staging)).all()
    tx.connection.execute(delete(OPS).where(*staging))
    garbage.discard_staged(tx, scope, [(Address(op.bucket, op.key.decode()), op.staged) for op in found])


def _touch(row: Row, now: float) -> tasks.Touch:
    if row.info is None:
        return tasks.Touch(row.at, Kind.DELETE, now, "")
    return tasks.Touch(row.at, Kind.PUT, now, encode(row.info), row.info.size)


def _require_reconcile(tx: Transaction, scope: Scope) -> None:
    if modes.phase_of(tx, scope).mode is not Mode.RECONCILE:
        raise ServiceUnavailable("The mode is another by now: what is written down holds.")
