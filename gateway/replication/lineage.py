"""Whether the database is the one that the storages know: one that was lost, or set back in time, has forgotten.

The journal counts up a number whenever something has happened, and then has beacons on the storages say it. A database
in which it is lower than on a beacon was set back, and one that has never heard of the beacon's id is another one.
"""

from collections.abc import Sequence

from sqlalchemy import select

from gateway.replication import modes
from gateway.replication.records import Lineage, Mode, new_id
from gateway.replication.scope import Scope, taken, upsert
from gateway.state.schema import LINEAGES, OPS, ROWS
from gateway.state.store import Transaction

_OTHER = Lineage("", 0, 0, 0)


def find(tx: Transaction, scope: Scope) -> Lineage | None:
    """Return what is known of the route's database; None if nobody ever looked."""
    columns = (LINEAGES.c.id, LINEAGES.c.number, LINEAGES.c.gen, LINEAGES.c.floor)
    row = tx.connection.execute(select(*columns).where(LINEAGES.c.route == scope.route)).first()
    return Lineage(*row) if row else None


def meet(tx: Transaction, scope: Scope, seen: Sequence[Lineage], doubt: str, leftovers: str) -> Mode:
    """Compare the database with the beacons that were seen, and return the mode: RECONCILE if it cannot be trusted.

    `doubt` says why there may be further beacons, "" if there are none; `leftovers` what else a storage holds that
    another database must have known of.
    """
    tx.lock_route(scope.route)
    own, is_new = find(tx, scope), modes.is_new(tx, scope)
    if own is None and (seen or (is_new and leftovers)):
        write(tx, scope, _OTHER)
        modes.distrust(tx, scope, leftovers or "the storages tell of another database: this one is new")
    elif own is not None and is_behind(own, seen):
        modes.distrust(tx, scope, "the storages know more than the database: it was set back, or is another one")
    elif own is None and doubt and is_new:
        modes.distrust(tx, scope, doubt)
    elif own is None and not doubt:
        write(tx, scope, Lineage(new_id(), 0, 0, 0))
        if modes.phase_of(tx, scope).mode is Mode.RECONCILE:
            modes.trust(tx, scope, Mode.NORMAL, "the storages know of no other database")
    return modes.phase_of(tx, scope).mode


def is_behind(own: Lineage, seen: Sequence[Lineage]) -> bool:
    """Say whether a database has forgotten something; what other databases left counts if none of its own is there."""
    ours = [each for each in seen if each.id == own.id]
    return not own.id or any(each.number > own.number for each in ours) or bool(seen and not ours)


def light(tx: Transaction, scope: Scope) -> Lineage | None:
    """Count up if anything has happened, and return what the beacons are to say; None if the database is in doubt.

    Nobody commits meanwhile, so that what has a gen up to the floor is surely over where nothing is left.
    """
    tx.lock_route(scope.route)
    own = find(tx, scope)
    if own is None or modes.phase_of(tx, scope).mode is Mode.RECONCILE:
        return None
    gen, is_quiet = tx.outrun(0), not _is_any_left(tx, scope)
    if is_quiet and own.number and (own.gen, own.floor) == (gen, gen):
        return own
    lineage = Lineage(own.id, own.number + 1, gen, gen if is_quiet else own.floor)
    write(tx, scope, lineage)
    return lineage


def write(tx: Transaction, scope: Scope, lineage: Lineage) -> None:
    """Write it down."""
    statement = upsert(tx.connection.dialect.name, LINEAGES, ("route",), taken(*lineage._fields))
    tx.connection.execute(statement, {"route": scope.route, **lineage._asdict()})


def _is_any_left(tx: Transaction, scope: Scope) -> bool:
    rows = select(ROWS.c.gen).where(ROWS.c.route == scope.route).limit(1)
    staging = select(OPS.c.id).where(OPS.c.route == scope.route, OPS.c.on_fallback).limit(1)
    return any(tx.connection.execute(question).first() for question in (rows, staging))
