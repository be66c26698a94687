"""Objects of our own that nobody needs any more, until they are deleted."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, delete, exists, or_, select, update

from gateway.replication.records import Trash
from gateway.replication.scope import Scope, at_key, upsert
from gateway.state.schema import OPS, ROWS, TRASH, UPLOADS
from gateway.state.store import Transaction
from gateway.storage import Address

AT_ONCE = 1000
_KEY = ("route", "backend", "bucket", "key")


def discard(tx: Transaction, scope: Scope, trash: Sequence[Trash], *, superseded: bool = False) -> None:
    """Have objects deleted, after a while; `superseded`: newer states have replaced them."""
    due = scope.rules.superseded_due(tx.now) if superseded else scope.rules.trash_due(tx.now)
    values = [
        {
            "route": scope.route,
            "backend": item.backend,
            "bucket": item.at.bucket,
            "key": item.at.key.encode(),
            "due": due,
        }
        for item in trash
    ]
    if values:
        tx.connection.execute(upsert(tx.connection.dialect.name, TRASH, _KEY), values)


def discard_staged(tx: Transaction, scope: Scope, staged: Sequence[tuple[Address, str]]) -> None:
    """Have objects on the fallback deleted that were staged for keys, but those that are still of use.

    Only what an upload writes can be: its completion may be tried more than once.
    """
    unused = [Trash(scope.fallback, Address(at.bucket, key)) for at, key in staged if not _is_used(tx, scope, at, key)]
    discard(tx, scope, unused)


def spare(tx: Transaction, scope: Scope, trash: Trash) -> None:
    """Let something that was discarded be: it is needed again."""
    tx.connection.execute(delete(TRASH).where(_is(scope, trash)))


def due(tx: Transaction, scope: Scope) -> Sequence[Trash]:
    """Return what is to be deleted now, and let nobody else try that for a while."""
    condition = (TRASH.c.route == scope.route, TRASH.c.due <= tx.now)
    columns = (TRASH.c.backend, TRASH.c.bucket, TRASH.c.key)
    found = select(*columns).where(*condition).order_by(TRASH.c.due).limit(AT_ONCE).with_for_update(skip_locked=True)
    trash = [Trash(row.backend, Address(row.bucket, row.key.decode())) for row in tx.connection.execute(found)]
    for item in trash:
        later = tx.now + scope.rules.timing.worker_lease
        tx.connection.execute(update(TRASH).where(_is(scope, item)).values(due=later))
    return trash


def swept(tx: Transaction, scope: Scope, trash: Trash) -> None:
    """Forget what was deleted."""
    tx.connection.execute(delete(TRASH).where(_is(scope, trash)))


def _is(scope: Scope, trash: Trash) -> ColumnElement[bool]:
    return and_(at_key(TRASH, scope.route, trash.at), TRASH.c.backend == trash.backend)


def _is_used(tx: Transaction, scope: Scope, at: Address, staged: str) -> bool:
    by = [exists().where(at_key(table, scope.route, at), table.c.staged == staged) for table in (ROWS, OPS, UPLOADS)]
    return bool(tx.connection.scalar(select(or_(*by))))
