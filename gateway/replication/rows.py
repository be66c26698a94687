"""The newest states of keys that the primary lacks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Row as Found
from sqlalchemy import bindparam, case, delete, exists, func, insert, select, tuple_, update

from gateway.conditions import Conditions
from gateway.errors import ConditionalRequestConflict, NoSuchUpload, ServiceUnavailable
from gateway.replication import buckets, garbage, modes, ops, tasks, uploads
from gateway.replication.encoding import decode, encode
from gateway.replication.records import (
    UNSET,
    Claim,
    Healing,
    Kind,
    Mode,
    Op,
    Outcome,
    Presence,
    Row,
    Seen,
    Trash,
    Unset,
    new_id,
)
from gateway.replication.scope import Scope, at_key
from gateway.state.schema import BUCKETS, ROWS
from gateway.state.store import Transaction
from gateway.storage import Address, ObjectInfo

_COLUMNS = (ROWS.c.bucket, ROWS.c.key, ROWS.c.gen, ROWS.c.staged, ROWS.c.info)


class Report(NamedTuple):
    """How a write to the primary went."""

    claim: Claim
    outcome: Outcome
    error: str


class Terms(NamedTuple):
    """On what a new state depends: conditions, what they are about where there is no row, an open upload, a row."""

    conditions: Conditions
    known: Seen | Unset
    upload: str = ""
    gen: int | None = None


def to_row(found: Any) -> Row:
    """Return a row as it is told to others."""
    at = Address(found.bucket, found.key.decode())
    return Row(at, found.gen, found.staged, decode(at.key, found.info) if found.info else None)


def find(tx: Transaction, scope: Scope, at: Address) -> Row | None:
    """Return the row of a key."""
    found = tx.connection.execute(select(*_COLUMNS).where(at_key(ROWS, scope.route, at))).first()
    return to_row(found) if found else None


def _find_to_replace(tx: Transaction, scope: Scope, at: Address) -> Row | None:
    """Return the row of a key, which nobody else ends or changes then before this transaction is over.

    The lock of the key keeps other writers away only, not the healer, who ends a row without it.
    """
    found = tx.connection.execute(select(*_COLUMNS).where(at_key(ROWS, scope.route, at)).with_for_update()).first()
    return to_row(found) if found else None


def rows_of(tx: Transaction, scope: Scope, ats: Sequence[Address]) -> dict[Address, Row]:
    """Return the rows of those keys that have one."""
    wanted = tuple_(ROWS.c.bucket, ROWS.c.key).in_([(at.bucket, at.key.encode()) for at in ats])
    found = map(to_row, tx.connection.execute(select(*_COLUMNS).where(ROWS.c.route == scope.route, wanted)))
    return {row.at: row for row in found}


def page(tx: Transaction, scope: Scope, bucket: str, span: Sequence[Any], limit: int) -> Sequence[Row]:
    """Return rows in the order of their keys."""
    found = select(*_COLUMNS).where(ROWS.c.route == scope.route, ROWS.c.bucket == bucket, *span)
    return [to_row(row) for row in tx.connection.execute(found.order_by(ROWS.c.key).limit(limit))]


def commit(tx: Transaction, scope: Scope, op: Op, info: ObjectInfo, terms: Terms) -> Row:
    """Make what an op has staged the newest state of its key."""
    ground = _enter(tx, scope, [op.at])
    if not ops.end(tx, op):
        raise ServiceUnavailable("The write took so long that it was given up.")
    if terms.upload and not uploads.forget(tx, scope, terms.upload):
        raise NoSuchUpload
    old = _find_to_replace(tx, scope, op.at)
    _decide(op.at, old, ground, terms)
    row = put(tx, scope, Row(op.at, tx.gens(1)[0], op.staged, info), old)
    tasks.touch(tx, scope, [tasks.Touch(op.at, Kind.PUT, tx.now, encode(info), info.size)])
    return row


def bury(tx: Transaction, scope: Scope, ats: Sequence[Address], terms: Terms) -> Sequence[Row]:
    """Make absence the newest state of keys."""
    ground, buried = _enter(tx, scope, ats), list[Row]()
    for at, gen in zip(ats, tx.gens(len(ats)), strict=True):
        old = _find_to_replace(tx, scope, at)
        _decide(at, old, ground, terms)
        buried.append(put(tx, scope, Row(at, gen, "", None), old))
    tasks.touch(tx, scope, [tasks.Touch(at, Kind.DELETE, tx.now, "") for at in ats])
    return buried


def claim(tx: Transaction, scope: Scope, limit: int, deadline: float) -> Sequence[Claim]:
    """Take leases on rows: first on what was deleted."""
    phase = modes.phase_of(tx, scope)
    if phase.holds(tx.now) is not Mode.HEALING:
        return []
    found: list[Found[Any]] = []
    for deleted in (True, False):
        if len(found) < limit:
            found += tx.connection.execute(_due(scope, tx.now, limit - len(found), deleted=deleted))
    taints = [scope.rules.takeover(tx.now) if row.token else row.taint_until for row in found]
    claims = [
        replace(_claimed(row, tx.now, deadline), counts=scope.rules.counts(taint, tx.now))
        for row, taint in zip(found, taints, strict=True)
    ]
    _lease(tx, scope, claims, taints)
    return claims


def healed(tx: Transaction, scope: Scope, reports: Sequence[Report]) -> Sequence[bool]:
    """Say how writes to the primary went, and for each whether the primary has the row by now.

    Of two reports of one row that come together, that of the claim that holds counts as the first.
    """
    found = _claimed_rows(tx, scope, [report.claim.at for report in reports])
    done = [_is_healed(tx, scope, report, found.get(report.claim.at)) for report in reports]
    ended = [report.claim.at for report, is_done in zip(reports, done, strict=True) if is_done]
    if ended:
        keys = [{"in_route": scope.route, "in_bucket": at.bucket, "of": at.key.encode()} for at in ended]
        tx.connection.execute(_END, keys)
        staged = [Address(at.bucket, found[at].staged) for at in ended if found[at].staged]
        garbage.discard(tx, scope, [Trash(scope.fallback, at) for at in staged])
    return done


def _claimed_rows(tx: Transaction, scope: Scope, ats: Sequence[Address]) -> Mapping[Address, Any]:
    """Return what there is of rows, which nobody else changes until this transaction is over."""
    wanted = tuple_(ROWS.c.bucket, ROWS.c.key).in_([(at.bucket, at.key.encode()) for at in ats])
    columns = (ROWS.c.bucket, ROWS.c.key, ROWS.c.gen, ROWS.c.staged, ROWS.c.token, ROWS.c.taint_until, ROWS.c.attempts)
    found = select(*columns).where(ROWS.c.route == scope.route, wanted).order_by(ROWS.c.bucket, ROWS.c.key)
    return {Address(row.bucket, row.key.decode()): row for row in tx.connection.execute(found.with_for_update())}


def _is_healed(tx: Transaction, scope: Scope, report: Report, row: Any) -> bool:
    """Say whether the primary has a row by now; if not, write down what is to become of it."""
    claim, outcome, error = report
    rules, now, here = scope.rules, tx.now, partial(at_key, ROWS, scope.route, claim.at)
    if row is None:
        return False
    if row.token != claim.token:
        if rules.clobbers(outcome):
            _change(tx, here(), taint_until=max(row.taint_until, rules.doubt(now)))
        return False
    if outcome is not Outcome.APPLIED:
        taint = rules.doubt(now) if outcome is Outcome.UNKNOWN else row.taint_until
        due = rules.again(row.attempts, now)
        _change(tx, here(), token=None, taint_until=taint, due=due, attempts=row.attempts + 1, error=error)
        return False
    if not rules.is_current(claim.gen, row.gen):
        _change(tx, here(), token=None, due=now, attempts=0, error="")
        return False
    if not rules.counts(row.taint_until, claim.claimed):
        _change(tx, here(), token=None, due=max(now, row.taint_until), attempts=0, error="")
        return False
    return True


def renew(tx: Transaction, scope: Scope, claim: Claim) -> bool:
    """Make a lease last longer, if it is still held."""
    mine = (at_key(ROWS, scope.route, claim.at), ROWS.c.token == claim.token)
    until = tx.now + scope.rules.timing.worker_lease
    return tx.connection.execute(update(ROWS).where(*mine).values(due=until)).rowcount == 1


def release(tx: Transaction, scope: Scope, claim: Claim, after: float) -> None:
    """Give a lease back."""
    mine = (at_key(ROWS, scope.route, claim.at), ROWS.c.token == claim.token)
    tx.connection.execute(update(ROWS).where(*mine).values(token=None, due=tx.now + after))


def unhealed(tx: Transaction, scope: Scope) -> Healing:
    """Return how much there is to heal."""
    tombstones = func.sum(case((ROWS.c.deleted, 1), else_=0))
    columns = (func.count(), tombstones, func.sum(ROWS.c.size), func.min(ROWS.c.since))
    count, deleted, size, since = tx.connection.execute(select(*columns).where(ROWS.c.route == scope.route)).one()
    lacking = buckets.lacking(tx, scope)
    if not count:
        return Healing(buckets=lacking)
    return Healing(count - deleted, int(deleted), int(size), tx.now - since, lacking)


class _Ground(NamedTuple):
    """What is certain of a key until the end of a transaction."""

    phase: modes.Phase
    presence: Presence

    def still_is(self, seen: Seen) -> bool:
        """Say whether what was seen of a key without a row holds: since then the primary has taken no write."""
        return self.phase.mode is Mode.FAILOVER and seen.epoch == self.phase.epoch


def _enter(tx: Transaction, scope: Scope, ats: Sequence[Address]) -> _Ground:
    """Lock keys, and make sure that mode and bucket let their newest state be on the fallback, to the end."""
    tx.lock_route(scope.route, shared=True)
    tx.lock(scope.route, ats[0].bucket, [at.key.encode() for at in ats])
    return _Ground(modes.fence(tx, scope), buckets.held(tx, scope, ats[0].bucket))


def _decide(at: Address, old: Row | None, ground: _Ground, terms: Terms) -> None:
    """Raise unless the conditions hold for the newest state, wherever that is."""
    if terms.gen is not None and (old is None or old.gen != terms.gen):
        raise ConditionalRequestConflict
    if not terms.conditions:
        return
    if old is not None:
        if terms.known is not UNSET:
            raise ConditionalRequestConflict
        terms.conditions.check_write(at.key, old.info)
    elif ground.presence.is_new:
        terms.conditions.check_write(at.key, None)
    elif isinstance(terms.known, Seen) and ground.still_is(terms.known):
        terms.conditions.check_write(at.key, terms.known.info)
    else:
        raise ServiceUnavailable("It is not known what the object is by now.")


def put(tx: Transaction, scope: Scope, row: Row, old: Row | None) -> Row:
    """Write a row, and let the staged object go that it replaces."""
    values: dict[str, Any] = {
        "gen": row.gen,
        "staged": row.staged,
        "deleted": row.deleted,
        "info": encode(row.info) if row.info else None,
        "size": row.info.size if row.info else 0,
    }
    if old is not None:
        tx.connection.execute(update(ROWS).where(at_key(ROWS, scope.route, row.at)).values(values))
        if old.staged and old.staged != row.staged:
            old_object = Trash(scope.fallback, Address(row.at.bucket, old.staged))
            garbage.discard(tx, scope, [old_object], superseded=True)
        return row
    tx.connection.execute(insert(ROWS), {**_beginning(tx, scope, row.at), **values})
    return row


def _beginning(tx: Transaction, scope: Scope, at: Address) -> dict[str, Any]:
    """Return what is written of a row only when it comes up. It is first healed when that can count."""
    rest = scope.rules.rest(tx.now)
    return {
        "route": scope.route,
        "bucket": at.bucket,
        "key": at.key.encode(),
        "since": tx.now,
        "due": max(tx.now, rest),
        "token": None,
        "taint_until": rest,
        "attempts": 0,
        "error": "",
    }


def _due(scope: Scope, now: float, limit: int, *, deleted: bool) -> Any:
    new = exists().where(BUCKETS.c.route == scope.route, BUCKETS.c.name == ROWS.c.bucket, buckets.is_new())
    due = (ROWS.c.route == scope.route, ROWS.c.deleted.is_(deleted), ROWS.c.due <= now, ~new)
    columns = (*_COLUMNS, ROWS.c.token, ROWS.c.taint_until, ROWS.c.attempts)
    return select(*columns).where(*due).order_by(ROWS.c.due).limit(limit).with_for_update(skip_locked=True)


def _claimed(found: Found[Any], now: float, deadline: float) -> Claim:
    row = to_row(found)
    kind = Kind.DELETE if row.deleted else Kind.PUT
    return Claim(row.at, row.gen, new_id(), now, deadline, row, kind, attempts=found.attempts)


_END = delete(ROWS).where(
    ROWS.c.route == bindparam("in_route"), ROWS.c.bucket == bindparam("in_bucket"), ROWS.c.key == bindparam("of")
)
_LEASE = (
    update(ROWS)
    .where(
        ROWS.c.route == bindparam("in_route"), ROWS.c.bucket == bindparam("in_bucket"), ROWS.c.key == bindparam("of")
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
            "by": claim.token,
            "until": until,
            "taint": taint,
        }
        for claim, taint in zip(claims, taints, strict=True)
    ]
    if values:
        tx.connection.execute(_LEASE, values)


def _change(tx: Transaction, here: Any, **values: object) -> None:
    tx.connection.execute(update(ROWS).where(here).values(**values))
