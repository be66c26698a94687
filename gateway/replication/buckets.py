"""Which buckets the primary has, and which were made while it was down.

What the primary has, or may have, is written down before it is asked to make it, and nothing is taken back unless it
certainly refused. So what is not written down, once all has been that was there before, does not exist.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, func, insert, select, update

from gateway.errors import BucketAlreadyExists, BucketNotEmpty, NoSuchBucket, PreconditionFailed, ServiceUnavailable
from gateway.replication import garbage, modes
from gateway.replication.records import Intent, Mode, Presence, Recorded, Trash
from gateway.replication.scope import Scope, taken, upsert
from gateway.state.schema import BUCKETS, OPS, ROWS, TASKS, UPLOADS
from gateway.state.store import Transaction
from gateway.storage import Address

ALL = ""  # the name under which it is written down that nothing is missing
_KEY = ("route", "name")


def is_new() -> ColumnElement[bool]:
    """Return the condition that the primary lacks a bucket."""
    return BUCKETS.c.presence.in_((int(Presence.NEW), int(Presence.COMING)))


def find(tx: Transaction, scope: Scope, bucket: str) -> Recorded | None:
    """Return what is written down of a bucket."""
    found = tx.connection.execute(select(BUCKETS).where(_is(scope, bucket))).first()
    return _recorded(found) if found else None


def every(tx: Transaction, scope: Scope) -> tuple[Mapping[str, Recorded], bool]:
    """Return all that is written down, and whether nothing is missing."""
    found = tx.connection.execute(select(BUCKETS).where(BUCKETS.c.route == scope.route).order_by(BUCKETS.c.name))
    records = {row.name: _recorded(row) for row in found}
    return records, records.pop(ALL, None) is not None


def held(tx: Transaction, scope: Scope, bucket: str) -> Presence:
    """Return whether the primary has a bucket, which stays so until the end.

    Raises: NoSuchBucket, if nobody has it; ServiceUnavailable, if it may be gone.
    """
    found = select(BUCKETS.c.presence).where(_is(scope, bucket)).with_for_update(read=True)
    presence = tx.connection.scalar(found)
    if presence == int(Presence.GOING):
        raise ServiceUnavailable("It is not known whether there is a bucket.")
    if presence is not None:
        return Presence(presence)
    if is_complete(tx, scope):
        raise NoSuchBucket(BucketName=bucket)
    return Presence.UNSURE


def is_complete(tx: Transaction, scope: Scope) -> bool:
    """Say whether all buckets of the primary are written down."""
    return find(tx, scope, ALL) is not None


# --- at the primary ---


def missing(tx: Transaction, scope: Scope, buckets: Sequence[str]) -> Sequence[str]:
    """Return those buckets of which nothing is written down."""
    there = select(BUCKETS.c.name).where(BUCKETS.c.route == scope.route, BUCKETS.c.name.in_(buckets))
    found = set(tx.connection.scalars(there))
    return [bucket for bucket in buckets if bucket not in found]


def know(tx: Transaction, scope: Scope, buckets: Sequence[str]) -> None:
    """Write down buckets that the primary has; ALL: and that these are all."""
    if buckets:
        values = [_values(tx, scope, bucket, Presence.KNOWN) for bucket in sorted(buckets)]
        tx.connection.execute(upsert(tx.connection.dialect.name, BUCKETS, _KEY), values)


def intend(tx: Transaction, scope: Scope, bucket: str) -> Intent:
    """Write down that the primary is about to be asked to make a bucket, unless it is new."""
    tx.lock(scope.route, bucket, [b""])
    found = find(tx, scope, bucket)
    if found and found.presence.is_new:
        return Intent(bucket, found.presence, found.gen, is_first=False)
    values = _values(tx, scope, bucket, Presence.KNOWN)
    if found:
        changed = {"gen": values["gen"], "touched": tx.now, "presence": int(Presence.KNOWN)}
        tx.connection.execute(update(BUCKETS).where(_is(scope, bucket)).values(changed))
    else:
        tx.connection.execute(insert(BUCKETS), values)
    garbage.spare(tx, scope, Trash(scope.fallback, Address(bucket)))
    return Intent(bucket, Presence.KNOWN, values["gen"], is_first=found is None)


def withdraw(tx: Transaction, scope: Scope, intent: Intent) -> None:
    """Take back that the primary may have a bucket: it certainly refused, and nobody else has asked it since."""
    same = and_(_is(scope, intent.bucket), BUCKETS.c.gen == intent.gen, BUCKETS.c.presence == int(Presence.KNOWN))
    tx.connection.execute(delete(BUCKETS).where(same))


def leave(tx: Transaction, scope: Scope, bucket: str) -> Intent:
    """Write down that the primary is about to be asked to delete a bucket: from now on nobody else tells of it."""
    tx.lock(scope.route, bucket, [b""])
    found = find(tx, scope, bucket)
    if found and found.presence.is_new:
        raise ServiceUnavailable("The primary lacks the bucket.")
    values = _values(tx, scope, bucket, Presence.GOING)
    changed = taken("gen", "touched", "presence")
    tx.connection.execute(upsert(tx.connection.dialect.name, BUCKETS, _KEY, changed), values)
    return Intent(bucket, Presence.GOING, values["gen"], is_first=False)


def stay(tx: Transaction, scope: Scope, intent: Intent) -> None:
    """Say that the primary has refused to delete a bucket: it has it as before."""
    same = and_(_is(scope, intent.bucket), BUCKETS.c.gen == intent.gen)
    tx.connection.execute(update(BUCKETS).where(same).values(presence=int(Presence.KNOWN)))


def left(tx: Transaction, scope: Scope, intent: Intent) -> None:
    """Say that the primary has deleted a bucket: the fallback's can go, unless it was made again."""
    found = find(tx, scope, intent.bucket)
    if found and found.gen == intent.gen:
        garbage.discard(tx, scope, [Trash(scope.fallback, Address(intent.bucket))])


def remain(tx: Transaction, scope: Scope, buckets: Sequence[str]) -> None:
    """Say that the primary has buckets; those that it was to delete a while ago it has kept."""
    before = scope.rules.settled_before(tx.now)
    kept = and_(BUCKETS.c.presence == int(Presence.GOING), BUCKETS.c.touched < before)
    here = and_(BUCKETS.c.route == scope.route, BUCKETS.c.name.in_(buckets))
    tx.connection.execute(update(BUCKETS).where(here, kept).values(presence=int(Presence.KNOWN)))


def fade(tx: Transaction, scope: Scope, buckets: Sequence[str]) -> None:
    """Forget buckets that the primary lacks, if it has not been asked to make them for so long that it never will."""
    before = scope.rules.absent_before(tx.now)
    left = [exists().where(t.c.route == scope.route, t.c.bucket == BUCKETS.c.name) for t in (ROWS, TASKS, OPS, UPLOADS)]
    old = and_(BUCKETS.c.presence.in_((int(Presence.KNOWN), int(Presence.GOING))), BUCKETS.c.touched < before)
    here = and_(BUCKETS.c.route == scope.route, BUCKETS.c.name.in_(buckets), BUCKETS.c.name != ALL)
    tx.connection.execute(delete(BUCKETS).where(here, old, *[~any_ for any_ in left]))


# --- while it is down ---


def make(tx: Transaction, scope: Scope, bucket: str, labels: Mapping[str, str]) -> None:
    """Make a bucket. Raises: BucketAlreadyExists, also if it may exist; ServiceUnavailable."""
    tx.lock_route(scope.route, shared=True)
    if modes.fence(tx, scope).mode is not Mode.FAILOVER:
        raise ServiceUnavailable("The primary takes writes by now.")
    if not is_complete(tx, scope):
        raise ServiceUnavailable("It is not known which buckets there are.")
    values = _values(tx, scope, bucket, Presence.NEW, labels)
    if tx.connection.execute(upsert(tx.connection.dialect.name, BUCKETS, _KEY), values).rowcount != 1:
        raise BucketAlreadyExists(BucketName=bucket)
    garbage.spare(tx, scope, Trash(scope.fallback, Address(bucket)))


def label(tx: Transaction, scope: Scope, bucket: str, labels: Mapping[str, str], was: Mapping[str, str] | None) -> None:
    """Replace the labels of a new bucket.

    Raises: PreconditionFailed, NoSuchBucket; ServiceUnavailable, if it is not new.
    """
    found = _mine(tx, scope, bucket)
    if was is not None and found.labels != was:
        raise PreconditionFailed
    changed = {"labels": json.dumps(dict(labels)), "gen": tx.gens(1)[0]}
    tx.connection.execute(update(BUCKETS).where(_is(scope, bucket)).values(changed))


def drop(tx: Transaction, scope: Scope, bucket: str) -> bool:
    """Delete a new bucket, with its open uploads; False: something is left to be done for it on a mirror.

    Raises: BucketNotEmpty, NoSuchBucket; ServiceUnavailable, if it is not new, or on its way to the primary.
    """
    tx.lock_route(scope.route, shared=True)
    modes.fence(tx, scope)
    if _mine(tx, scope, bucket).presence is Presence.COMING:
        raise ServiceUnavailable("The bucket is being made at the primary.")
    here = {table: and_(table.c.route == scope.route, table.c.bucket == bucket) for table in (ROWS, TASKS, UPLOADS)}
    if tx.connection.execute(select(ROWS.c.gen).where(here[ROWS], ~ROWS.c.deleted).limit(1)).first():
        raise BucketNotEmpty(BucketName=bucket)
    if tx.connection.execute(select(TASKS.c.gen).where(here[TASKS]).limit(1)).first():
        return False
    uploads = tx.connection.execute(select(UPLOADS.c.key, UPLOADS.c.staged).where(here[UPLOADS])).all()
    tx.connection.execute(delete(ROWS).where(here[ROWS]))
    tx.connection.execute(delete(UPLOADS).where(here[UPLOADS]))
    tx.connection.execute(delete(BUCKETS).where(_is(scope, bucket)))
    garbage.discard_staged(tx, scope, [(Address(bucket, row.key.decode()), row.staged) for row in uploads])
    garbage.discard(tx, scope, [Trash(scope.fallback, Address(bucket))])
    return True


# --- when it is back ---


def homeless(tx: Transaction, scope: Scope) -> Sequence[str]:
    """Return the buckets of rows of which nothing is written down: a database was lost that knew them."""
    known = exists().where(BUCKETS.c.route == scope.route, BUCKETS.c.name == ROWS.c.bucket)
    found = select(ROWS.c.bucket).where(ROWS.c.route == scope.route, ~ROWS.c.deleted, ~known).distinct()
    return tx.connection.scalars(found).all()


def adopt(tx: Transaction, scope: Scope, bucket: str, labels: Mapping[str, str]) -> None:
    """Take a bucket that the primary lacks for one that was made while it was down."""
    values = _values(tx, scope, bucket, Presence.NEW, labels)
    tx.connection.execute(upsert(tx.connection.dialect.name, BUCKETS, _KEY), values)


def lacking(tx: Transaction, scope: Scope) -> int:
    """Return how many buckets the primary lacks."""
    new = select(func.count()).where(BUCKETS.c.route == scope.route, is_new())
    return tx.connection.scalar(new) or 0


def claim(tx: Transaction, scope: Scope, limit: int) -> Sequence[Recorded]:
    """Take new buckets to be made at the primary; from now on it may have them. None unless HEALING."""
    if modes.phase_of(tx, scope).holds(tx.now) is not Mode.HEALING:
        return []
    due = and_(BUCKETS.c.route == scope.route, is_new(), BUCKETS.c.due <= tx.now)
    found = tx.connection.execute(select(BUCKETS).where(due).limit(limit).with_for_update(skip_locked=True)).all()
    if found:
        names = BUCKETS.c.name.in_([row.name for row in found])
        until = tx.now + scope.rules.timing.worker_lease
        coming = update(BUCKETS).where(BUCKETS.c.route == scope.route, names)
        tx.connection.execute(coming.values(presence=int(Presence.COMING), due=until))
    return [_recorded(row) for row in found]


def healed(tx: Transaction, scope: Scope, made: Recorded) -> bool:
    """Say that the primary has a bucket with these labels; False: it is to be made or labelled once more."""
    tx.lock_route(scope.route, shared=True)
    here = and_(_is(scope, made.name), BUCKETS.c.presence == int(Presence.COMING))
    if modes.phase_of(tx, scope).holds(tx.now) is Mode.HEALING:
        known = update(BUCKETS).where(here, BUCKETS.c.gen == made.gen)
        if tx.connection.execute(known.values(presence=int(Presence.KNOWN), touched=tx.now)).rowcount:
            return True
    again(tx, scope, made, 0.0)
    return False


def again(tx: Transaction, scope: Scope, made: Recorded, after: float) -> None:
    """Have a bucket taken again after so many seconds."""
    here = and_(_is(scope, made.name), BUCKETS.c.presence == int(Presence.COMING))
    tx.connection.execute(update(BUCKETS).where(here).values(due=tx.now + after))


def _mine(tx: Transaction, scope: Scope, bucket: str) -> Recorded:
    """Return a new bucket, locked."""
    found = tx.connection.execute(select(BUCKETS).where(_is(scope, bucket)).with_for_update()).first()
    if found is None:
        raise NoSuchBucket(BucketName=bucket)
    if not Presence(found.presence).is_new:
        raise ServiceUnavailable("The primary has the bucket by now.")
    return _recorded(found)


def _is(scope: Scope, bucket: str) -> Any:
    return and_(BUCKETS.c.route == scope.route, BUCKETS.c.name == bucket)


def _values(
    tx: Transaction, scope: Scope, bucket: str, presence: Presence, labels: Mapping[str, str] | None = None
) -> dict[str, Any]:
    return {
        "route": scope.route,
        "name": bucket,
        "presence": int(presence),
        "gen": tx.gens(1)[0],
        "labels": json.dumps(dict(labels or {})),
        "created": datetime.now(UTC).timestamp(),
        "touched": tx.now,
        "due": tx.now,
    }


def _recorded(row: Any) -> Recorded:
    created = datetime.fromtimestamp(row.created, UTC)
    return Recorded(row.name, Presence(row.presence), row.gen, json.loads(row.labels), created)
