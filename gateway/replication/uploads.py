"""Multipart uploads that were begun on the fallback."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import and_, delete, insert, or_, select

from gateway.replication import buckets, garbage
from gateway.replication.encoding import decode_options, encode_options
from gateway.replication.records import Begun
from gateway.replication.scope import Scope, in_range
from gateway.state.schema import UPLOADS
from gateway.state.store import Transaction
from gateway.storage import Address, UploadQuery


def begin(tx: Transaction, scope: Scope, begun: Begun) -> None:
    """Write an upload down. Raises: NoSuchBucket."""
    buckets.held(tx, scope, begun.at.bucket)
    values = {
        "id": begun.id,
        "route": scope.route,
        "bucket": begun.at.bucket,
        "key": begun.at.key.encode(),
        "inner": begun.inner,
        "staged": begun.staged,
        "initiated": begun.initiated.timestamp(),
        "options": encode_options(begun.options),
    }
    tx.connection.execute(insert(UPLOADS), values)


def find(tx: Transaction, scope: Scope, upload_id: str) -> Begun | None:
    """Return an upload by its id."""
    here = (UPLOADS.c.id == upload_id, UPLOADS.c.route == scope.route)
    row = tx.connection.execute(select(UPLOADS).where(*here)).first()
    return _begun(row) if row else None


def page(tx: Transaction, scope: Scope, bucket: str, query: UploadQuery) -> Sequence[Begun]:
    """Return uploads by key and then id, which is by age."""
    span = in_range(UPLOADS, query.prefix, "", inclusive=False)
    if query.after:
        key = query.after.encode()
        of_key = and_(UPLOADS.c.key == key, UPLOADS.c.id > query.after_id)
        span.append(or_(UPLOADS.c.key > key, of_key) if query.after_id else UPLOADS.c.key > key)
    found = select(UPLOADS).where(UPLOADS.c.route == scope.route, UPLOADS.c.bucket == bucket, *span)
    ordered = found.order_by(UPLOADS.c.key, UPLOADS.c.id).limit(query.limit)
    return [_begun(row) for row in tx.connection.execute(ordered)]


def forget(tx: Transaction, scope: Scope, upload_id: str) -> bool:
    """Remove an upload, and say whether it was there."""
    here = (UPLOADS.c.id == upload_id, UPLOADS.c.route == scope.route)
    return tx.connection.execute(delete(UPLOADS).where(*here)).rowcount == 1


def end(tx: Transaction, scope: Scope, upload_id: str) -> bool:
    """Remove an upload that is not what its key will hold, and what it may have staged."""
    begun = find(tx, scope, upload_id)
    if begun is None or not forget(tx, scope, upload_id):
        return False
    garbage.discard_staged(tx, scope, [(begun.at, begun.staged)])
    return True


def _begun(row: Any) -> Begun:
    at = Address(row.bucket, row.key.decode())
    initiated = datetime.fromtimestamp(row.initiated, UTC)
    return Begun(row.id, at, row.inner, row.staged, initiated, decode_options(row.options))
