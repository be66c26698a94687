"""Which images are to be looked at, in the database that gateways share: what is written down survives them all.

A job says no more than "look at this key": whoever takes it on makes what is missing, and takes away what is too much.
So a job too many does no harm, and one for each key is enough, whatever happened to it how often.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import structlog
from sqlalchemy import ColumnElement, Select, Table, and_, bindparam, case, delete, func, insert, or_, select, update

from gateway.errors import ServiceUnavailable
from gateway.images.scope import Scope, bucket_of
from gateway.replication.outcome import name_of
from gateway.replication.records import new_id
from gateway.replication.scope import upsert
from gateway.state import Store, Transaction
from gateway.state.schema import IMAGE_INTENTS, IMAGE_JOBS
from gateway.storage import Address

LEASE: Final = 15.0  # seconds
KEPT: Final = 30 * 86400.0  # seconds for which it is remembered what could not be made
GATHER: Final = 0.25  # seconds for which ended writes are gathered: one transaction then does for all
AT_ONCE: Final = 500  # intents that are ended in one transaction
_PAUSES: Final = (0.0, 0.1, 1.0, 5.0)  # seconds before it is tried again to write down what became of writes
_KEY: Final = ("bucket", "key")
_LONGEST: Final = 200  # characters of an error

log = structlog.get_logger()

_BEGIN = insert(IMAGE_INTENTS)
_END = delete(IMAGE_INTENTS).where(IMAGE_INTENTS.c.id == bindparam("intent"))
_HERE = and_(IMAGE_JOBS.c.bucket == bindparam("at_bucket"), IMAGE_JOBS.c.key == bindparam("at_key"))
_MINE = and_(_HERE, IMAGE_JOBS.c.token == bindparam("mine"))
_UNCHANGED = IMAGE_JOBS.c.stamp == bindparam("stamp_then")
_TAKE = update(IMAGE_JOBS).where(_HERE).values(token=bindparam("new_token"), due=bindparam("until"))
_TAKEN: Final = ("at_bucket", "at_key", "new_token", "until")
_DONE = delete(IMAGE_JOBS).where(_MINE, _UNCHANGED)
_FORGET = delete(IMAGE_JOBS).where(_HERE, IMAGE_JOBS.c.failed)
_AGAIN = update(IMAGE_JOBS).where(_MINE).values(token=None, due=bindparam("at_once"))


class Intent(NamedTuple):
    """A write that is about to be done."""

    id: str
    stored: str  # what the database calls the bucket
    key: str


class Job(NamedTuple):
    """A key that is to be looked at, taken on under a lease."""

    stored: str  # what the database calls the bucket
    key: str
    stamp: str
    token: str
    attempts: int

    @property
    def at(self) -> Address:
        """The key."""
        return Address(bucket_of(self.stored), self.key)


class Failed(NamedTuple):
    """A key of which something could not be made, and why."""

    at: Address
    reason: str
    since: float  # seconds ago


class Waiting(NamedTuple):
    """How much is to be done."""

    jobs: int
    oldest: float  # seconds; 0 if nothing waits
    writing: int  # intents that have not ended
    retried: int
    failed: int


class Queue:
    """The jobs of all buckets. Methods that wait may raise ServiceUnavailable."""

    def __init__(self, store: Store, scope: Scope, ring: Callable[[], None] | None = None) -> None:
        """Tell by `ring`, too, when there may be something to do: where that is done in another process."""
        self.news = asyncio.Event()  # set when there may be something to do
        self._store, self._scope, self._ring = store, scope, ring
        self._covered = scope.covers(IMAGE_JOBS.c.bucket)
        self._first = select(func.min(IMAGE_JOBS.c.due)).where(~IMAGE_JOBS.c.failed, self._covered)
        self._oldest = _oldest(self._covered)
        self._ended: list[tuple[Intent, bool | None]] = []
        self._done: list[Job] = []
        self._writing: asyncio.Task[None] | None = None

    # --- writes ---

    async def begin(self, at: Address, hold: float) -> Intent:
        """Write down that a key is about to be written. Who does not end it within `hold` seconds is not waited for.

        Raises: SlowDown, where too much waits for the database already.
        """
        self._store.admit()
        intent = Intent(new_id(), self._scope.stored(at.bucket), at.key)

        def work(tx: Transaction) -> None:
            values = {"id": intent.id, "bucket": intent.stored, "key": at.key.encode(), "due": tx.now + hold}
            tx.connection.execute(_BEGIN, values)

        await self._store.run(work)
        return intent

    def end(self, intent: Intent, *, look: bool | None) -> None:
        """Tell that a write is over, and whether its key is to be looked at; it neither waits nor fails.

        False says that all is as it should be: nothing of the key has failed any more. None, that it is as before.
        It is written down soon, together with others: until then the intent tells the same, only later.
        """
        self._ended.append((intent, look))
        self._write_soon()

    def done(self, job: Job) -> None:
        """Tell that all is as it should be; what happened to the key meanwhile has it looked at again.

        It neither waits nor fails, and is written down together with others, too: until then the lease holds.
        """
        self._done.append(job)
        self._write_soon()

    async def drained(self) -> None:
        """Wait until all is written down that was told."""
        if self._writing:
            await asyncio.wait([self._writing])

    def _write_soon(self) -> None:
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        pauses = iter(_PAUSES)
        await asyncio.sleep(GATHER)
        while self._ended or self._done:
            try:
                await self._write_ended()
                await self._write_done()
            except ServiceUnavailable as error:
                waiting = len(self._ended) + len(self._done)
                log.warning("image_writes_not_ended", count=waiting, error=name_of(error))
                await asyncio.sleep(next(pauses, _PAUSES[-1]))
            self._tell()

    def _tell(self) -> None:
        self.news.set()
        if self._ring:
            self._ring()

    async def _write_ended(self) -> None:
        if batch := self._ended[:AT_ONCE]:
            await self._store.run(lambda tx: _end(tx, batch))
            del self._ended[: len(batch)]

    async def _write_done(self) -> None:
        if batch := self._done[:AT_ONCE]:
            await self._store.run(lambda tx: _close_all(tx, batch))
            del self._done[: len(batch)]

    # --- jobs ---

    async def add(self, ats: Sequence[Address]) -> None:
        """Have keys looked at."""
        keys = [(self._scope.stored(at.bucket), at.key) for at in ats]
        await self._store.run(lambda tx: _add(tx, keys))
        self._tell()

    async def take(self, limit: int) -> Sequence[Job]:
        """Take on jobs that are due, those first that have waited longest."""
        if limit <= 0 or not await self._store.glance(lambda tx: _is_due(tx, self._first)):
            return []
        return await self._store.run(lambda tx: _take(tx, limit, self._oldest))

    async def renew(self, job: Job) -> bool:
        """Keep a job for longer; False if it was taken over by somebody else."""

        def work(tx: Transaction) -> bool:
            statement = update(IMAGE_JOBS).where(_MINE).values(due=tx.now + LEASE)
            return tx.connection.execute(statement, _mine(job)).rowcount == 1

        return await self._store.run(work)

    async def fail(self, job: Job, reason: str) -> None:
        """Tell that something cannot be made, as long as nothing happens to the key."""
        values = {"failed": True, "token": None, "error": reason[:_LONGEST]}
        await self._store.run(lambda tx: _close(tx, job, update(IMAGE_JOBS).where(_MINE, _UNCHANGED).values(values)))

    async def retry(self, job: Job, reason: str, pause: float) -> None:
        """Have it tried again in a while."""

        def work(tx: Transaction) -> None:
            values = {"token": None, "due": tx.now + pause, "attempts": job.attempts + 1, "error": reason[:_LONGEST]}
            _close(tx, job, update(IMAGE_JOBS).where(_MINE, _UNCHANGED).values(values))

        await self._store.run(work)

    async def sweep(self) -> None:
        """Have those keys looked at whose writes nobody has ended in time, and forget old failures."""
        await self._store.run(lambda tx: _sweep(tx, self._covered))

    # --- for people ---

    async def waiting(self, bucket: str | None = None) -> Waiting:
        """Return how much is to be done, in one bucket or in all."""
        return await self._store.read(
            lambda tx: _waiting(tx, self._of(IMAGE_JOBS, bucket), self._of(IMAGE_INTENTS, bucket))
        )

    async def failed(self, bucket: str | None, limit: int) -> Sequence[Failed]:
        """Return what could not be made, the latest first."""
        return await self._store.read(lambda tx: _failed(tx, self._of(IMAGE_JOBS, bucket), limit))

    def _of(self, table: Table, bucket: str | None) -> ColumnElement[bool]:
        column = table.c.bucket
        return self._scope.covers(column) if bucket is None else column == self._scope.stored(bucket)


def _mine(job: Job) -> dict[str, Any]:
    return {"at_bucket": job.stored, "at_key": job.key.encode(), "mine": job.token}


def _close_all(tx: Transaction, done: Sequence[Job]) -> None:
    told = [{**_mine(job), "stamp_then": job.stamp} for job in sorted(done)]
    tx.connection.execute(_DONE, told)
    tx.connection.execute(_AGAIN, [{**each, "at_once": tx.now} for each in told])


def _end(tx: Transaction, ended: Sequence[tuple[Intent, bool | None]]) -> None:
    tx.connection.execute(_END, [{"intent": each} for each in sorted(intent.id for intent, _ in ended)])
    settled = {(intent.stored, intent.key.encode()) for intent, look in ended if look is False}
    if settled:
        tx.connection.execute(_FORGET, [{"at_bucket": stored, "at_key": key} for stored, key in sorted(settled)])
    _add(tx, [(intent.stored, intent.key) for intent, look in ended if look])


def _add(tx: Transaction, keys: Sequence[tuple[str, str]]) -> None:
    values = [
        {
            "bucket": stored,
            "key": key.encode(),
            "stamp": new_id(),
            "since": tx.now,
            "due": tx.now,
            "token": None,
            "attempts": 0,
            "failed": False,
            "error": "",
        }
        for stored, key in sorted(set(keys))
    ]
    if values:
        tx.connection.execute(upsert(tx.connection.dialect.name, IMAGE_JOBS, _KEY, _happened), values)


def _happened(new: Any) -> Mapping[str, Any]:
    """Return what becomes of a job that is there already: who has it keeps it, and will find that it has changed."""
    old = IMAGE_JOBS.c
    return {
        "stamp": new.stamp,
        "since": case((old.failed, new.since), else_=old.since),
        "due": case((old.token.is_not(None), old.due), else_=new.due),
        "attempts": 0,
        "failed": False,
        "error": "",
    }


def _oldest(covered: ColumnElement[bool]) -> Select[Any]:
    """Return the question for jobs that are due, made once: to put it together costs more than to ask it."""
    columns = (IMAGE_JOBS.c.bucket, IMAGE_JOBS.c.key, IMAGE_JOBS.c.stamp, IMAGE_JOBS.c.attempts)
    due = and_(~IMAGE_JOBS.c.failed, IMAGE_JOBS.c.due <= bindparam("now"), covered)
    oldest = select(*columns).where(due).order_by(IMAGE_JOBS.c.due).limit(bindparam("most"))
    return oldest.with_for_update(skip_locked=True)


def _is_due(tx: Transaction, first: Select[Any]) -> bool:
    """Say whether anything is to be done, for what one statement costs."""
    due = tx.connection.scalar(first)
    return due is not None and due <= tx.now


def _take(tx: Transaction, limit: int, oldest: Select[Any]) -> Sequence[Job]:
    found = tx.connection.execute(oldest, {"now": tx.now, "most": limit}).all()
    jobs = [Job(row.bucket, row.key.decode(), row.stamp, new_id(), row.attempts) for row in found]
    if jobs:
        until = tx.now + LEASE
        taken = [(job.stored, job.key.encode(), job.token, until) for job in jobs]
        tx.connection.execute(_TAKE, [dict(zip(_TAKEN, values, strict=True)) for values in taken])
    return jobs


def _close(tx: Transaction, job: Job, statement: Any) -> None:
    """Give a job up: by the statement if nothing happened to the key meanwhile, else to be looked at again."""
    if tx.connection.execute(statement, {**_mine(job), "stamp_then": job.stamp}).rowcount == 0:
        tx.connection.execute(_AGAIN, {**_mine(job), "at_once": tx.now})


def _sweep(tx: Transaction, mine: ColumnElement[bool]) -> None:
    over = select(IMAGE_INTENTS.c.id, *(IMAGE_INTENTS.c[name] for name in _KEY)).where(IMAGE_INTENTS.c.due <= tx.now)
    found = tx.connection.execute(over.limit(AT_ONCE).with_for_update(skip_locked=True)).all()
    if found:
        _end(tx, [(Intent(row.id, row.bucket, row.key.decode()), True) for row in found])
    old = and_(or_(IMAGE_JOBS.c.failed, ~mine), IMAGE_JOBS.c.since < tx.now - KEPT)
    tx.connection.execute(delete(IMAGE_JOBS).where(old))


def _waiting(tx: Transaction, of_jobs: ColumnElement[bool], of_intents: ColumnElement[bool]) -> Waiting:
    jobs = select(
        func.count(),
        func.min(case((~IMAGE_JOBS.c.failed, IMAGE_JOBS.c.since))),
        func.coalesce(func.sum(case((IMAGE_JOBS.c.failed, 1), else_=0)), 0),
        func.coalesce(func.sum(case((and_(~IMAGE_JOBS.c.failed, IMAGE_JOBS.c.attempts > 0), 1), else_=0)), 0),
    )
    intents = select(func.count()).select_from(IMAGE_INTENTS).where(of_intents)
    count, since, failed, retried = tx.connection.execute(jobs.where(of_jobs)).one()
    writing = tx.connection.scalar(intents) or 0
    oldest = 0.0 if since is None else max(tx.now - since, 0.0)
    return Waiting(count - int(failed), oldest, writing, int(retried), int(failed))


def _failed(tx: Transaction, of: ColumnElement[bool], limit: int) -> Sequence[Failed]:
    columns = (IMAGE_JOBS.c.bucket, IMAGE_JOBS.c.key, IMAGE_JOBS.c.error, IMAGE_JOBS.c.since)
    latest = select(*columns).where(IMAGE_JOBS.c.failed, of).order_by(IMAGE_JOBS.c.since.desc()).limit(limit)
    return [
        Failed(Address(bucket_of(row.bucket), row.key.decode()), row.error, tx.now - row.since)
        for row in tx.connection.execute(latest)
    ]
