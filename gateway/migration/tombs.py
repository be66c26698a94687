"""Which keys of a bucket that moves are dead in its old storage, and who decides about one just now.

A key is buried before anything of it is deleted, and never dug up: from then on the new storage alone tells of it, and
nothing that was copied there by a migration counts.
"""

from collections.abc import Collection, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, and_, delete, func, select

from gateway.replication.part import Part
from gateway.replication.records import new_id
from gateway.replication.scope import Scope, at_key, in_range, taken, upsert
from gateway.state.schema import TOMBS
from gateway.state.store import Transaction
from gateway.storage import Address

_PRIMARY: Final = ("route", "bucket", "key")
_CHANGED: Final = taken("buried", "token", "due")
_BUCKET: Final = b""


class Burial(Enum):
    """What came of burying a key."""

    FRESH = "fresh"
    BEFORE = "before"  # it was buried already
    HELD = "held"  # it is not: somebody decides about it just now


class Hold(NamedTuple):
    """The right to decide about a key, which nobody buries meanwhile, or has such a right, too."""

    at: Address
    token: str
    buried: bool  # then it stays so


class Tombs(Part):
    """What is written down of the keys of one bucket that moves."""

    async def is_buried(self, at: Address) -> bool:
        """Say whether a key is dead in the old storage; with an empty one, whether the bucket is."""
        return await self._store.glance(lambda tx: _is_buried(tx, self._scope, at))

    async def bury(self, at: Address) -> Burial:
        """Have a key be dead in the old storage from now on."""
        return await self._run(_bury, at)

    async def hold(self, at: Address, seconds: float) -> Hold | None:
        """Take the right to decide about a key, for so long at most; None if another has it."""
        return await self._run(_hold, at, new_id(), seconds)

    async def let_go(self, hold: Hold, *, buried: bool) -> bool:
        """Give it back, and bury the key if that was decided; return False if the right had ended before."""
        return await self._run(_let_go, hold, buried=buried)

    async def among(self, bucket: str, keys: Collection[str], prefixes: Collection[str]) -> set[str]:
        """Return which of some keys are buried, and under which of some prefixes any key is."""
        return await self._read(_among, bucket, keys, prefixes)

    async def page(self, bucket: str, after: str, limit: int) -> Sequence[str]:
        """Return buried keys in their order."""
        return await self._read(_page, bucket, after, limit)

    async def count(self, bucket: str) -> int:
        """Return how many keys are buried."""
        return await self._read(_count, bucket)


def _is_buried(tx: Transaction, scope: Scope, at: Address) -> bool:
    return bool(tx.connection.scalar(select(TOMBS.c.buried).where(at_key(TOMBS, scope.route, at))))


def _bury(tx: Transaction, scope: Scope, at: Address) -> Burial:
    row = _locked(tx, scope, at)
    if row and row.buried:
        return Burial.BEFORE
    if row and row.due > tx.now:
        return Burial.HELD
    _write(tx, scope, Hold(at, "", buried=True), 0.0)
    return Burial.FRESH


def _hold(tx: Transaction, scope: Scope, at: Address, token: str, seconds: float) -> Hold | None:
    row = _locked(tx, scope, at)
    if row and row.due > tx.now:
        return None
    hold = Hold(at, token, buried=bool(row and row.buried))
    _write(tx, scope, hold, tx.now + seconds)
    return hold


def _let_go(tx: Transaction, scope: Scope, hold: Hold, *, buried: bool) -> bool:
    row = _locked(tx, scope, hold.at)
    if row is None or row.token != hold.token:
        return False
    if buried or row.buried:
        _write(tx, scope, hold._replace(token="", buried=True), 0.0)
    else:
        tx.connection.execute(delete(TOMBS).where(at_key(TOMBS, scope.route, hold.at)))
    return True


def _locked(tx: Transaction, scope: Scope, at: Address) -> Any:
    tx.lock(scope.route, at.bucket, [at.key.encode()])
    found = select(TOMBS.c.buried, TOMBS.c.token, TOMBS.c.due).where(at_key(TOMBS, scope.route, at))
    return tx.connection.execute(found).first()


def _write(tx: Transaction, scope: Scope, hold: Hold, due: float) -> None:
    at = {"route": scope.route, "bucket": hold.at.bucket, "key": hold.at.key.encode()}
    values = {**at, "buried": hold.buried, "token": hold.token, "due": due}
    tx.connection.execute(upsert(tx.connection.dialect.name, TOMBS, _PRIMARY, _CHANGED), values)


def _among(tx: Transaction, scope: Scope, bucket: str, keys: Collection[str], prefixes: Collection[str]) -> set[str]:
    there = _buried(scope, bucket)
    named = select(TOMBS.c.key).where(there, TOMBS.c.key.in_([key.encode() for key in keys]))
    found = {key.decode() for key in tx.connection.scalars(named)} if keys else set[str]()
    for prefix in prefixes:
        under = select(TOMBS.c.key).where(there, *in_range(TOMBS, prefix, "", inclusive=False)).limit(1)
        if tx.connection.execute(under).first():
            found.add(prefix)
    return found


def _page(tx: Transaction, scope: Scope, bucket: str, after: str, limit: int) -> Sequence[str]:
    span = in_range(TOMBS, "", after, inclusive=False)
    keys = select(TOMBS.c.key).where(_buried(scope, bucket), *span).order_by(TOMBS.c.key).limit(limit)
    return [key.decode() for key in tx.connection.scalars(keys)]


def _count(tx: Transaction, scope: Scope, bucket: str) -> int:
    return tx.connection.scalar(select(func.count()).select_from(TOMBS).where(_buried(scope, bucket))) or 0


def _buried(scope: Scope, bucket: str) -> ColumnElement[bool]:
    return and_(TOMBS.c.route == scope.route, TOMBS.c.bucket == bucket, TOMBS.c.key != _BUCKET, TOMBS.c.buried)
