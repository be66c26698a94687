"""A SQLite file, shared by the processes of one host.

All writes of a process go through one thread, which commits together what has come together: a commit costs a sync of
the disk, so that is what makes it fast. https://www.sqlite.org/wal.html
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread, local
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from gateway.state.clock import boot, origin
from gateway.state.filesystem import refuse_remote
from gateway.state.line import Line
from gateway.state.migrate import migrate
from gateway.state.store import StateUnavailable, StateUnknown, Store, Transaction

T = TypeVar("T")

TOGETHER: Final = 256  # works in one commit, at most
READERS: Final = 2
BUSY: Final = 5000  # milliseconds for which another process may keep the file to itself


class SqliteTransaction:
    """A `Transaction`: nobody else writes while it lasts, so there is nothing to lock."""

    __slots__ = ("_now", "_origin", "connection")

    def __init__(self, connection: Connection, origin: float) -> None:
        self.connection = connection
        self._origin = origin
        self._now: float | None = None

    @property
    def now(self) -> float:
        if self._now is None:
            self._now = self._origin + time.monotonic()
        return self._now

    def told(self, now: float | None) -> None:
        pass

    def gens(self, count: int) -> Sequence[int]:
        statement = "UPDATE counter SET gen = gen + ? RETURNING gen"
        last: int = self.connection.exec_driver_sql(statement, (count,)).scalar_one()
        return range(last - count + 1, last + 1)

    def outrun(self, gen: int) -> int:
        statement = "UPDATE counter SET gen = max(gen, ?) RETURNING gen"
        last: int = self.connection.exec_driver_sql(statement, (gen,)).scalar_one()
        return last

    def lock_route(self, route: str, *, shared: bool = False) -> None:
        pass

    def lock(self, route: str, bucket: str, keys: Sequence[bytes]) -> None:
        pass


@dataclass(slots=True, eq=False)
class _Job:
    """Some work that somebody waits for."""

    work: Callable[[Transaction], Any]
    done: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None

    def deliver(self) -> None:
        """Tell the one who waits, in his loop."""
        if self.done.done():
            return
        if self.error is None:
            self.done.set_result(self.result)
        else:
            self.done.set_exception(self.error)


class _Writer(Thread):
    """The thread that writes."""

    def __init__(self, engine: Engine, began: float, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(name="state-writer", daemon=True)
        self._engine, self._origin, self._loop = engine, began, loop
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()

    def submit(self, job: _Job | None) -> None:
        """Have a job done; None ends the thread when all before are done."""
        self._jobs.put(job)

    def run(self) -> None:
        with self._engine.connect() as connection:
            while (job := self._jobs.get()) is not None:
                jobs = [job]
                self._commit_together(connection, jobs)
                with suppress(RuntimeError):  # the loop was closed: nobody waits any more
                    self._loop.call_soon_threadsafe(_deliver, jobs)

    def _commit_together(self, connection: Connection, jobs: list[_Job]) -> None:
        """Do the first of `jobs` and what else has come, which is added to it."""
        raw = _raw(connection)
        try:
            raw.execute("BEGIN IMMEDIATE")
            for job in self._and_more(jobs):
                self._do(job, connection, raw)
        except (sqlite3.Error, DBAPIError) as error:
            _abandon(raw)
            _fail(jobs, StateUnavailable(), error)
            return
        try:
            raw.execute("COMMIT")
        except sqlite3.Error as error:
            _abandon(raw)
            _fail(jobs, StateUnknown(), error)

    def _and_more(self, jobs: list[_Job]) -> Iterator[_Job]:
        yield jobs[0]
        while len(jobs) < TOGETHER:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return
            if job is None:
                self._jobs.put(None)
                return
            jobs.append(job)
            yield job

    def _do(self, job: _Job, connection: Connection, raw: sqlite3.Connection) -> None:
        """Do one job; what it raises undoes this job only. Raises what undid the whole transaction."""
        if job.done.cancelled():
            return
        raw.execute("SAVEPOINT job")
        try:
            job.result = job.work(SqliteTransaction(connection, self._origin))
        except Exception as error:
            job.error = _translated(error)
            if not raw.in_transaction:
                raise sqlite3.OperationalError("the transaction was rolled back") from error
            raw.execute("ROLLBACK TO job")
        raw.execute("RELEASE job")


class Sqlite:
    """A `Store`. `open_sqlite` opens it."""

    def __init__(self, engine: Engine, began: float) -> None:
        self._engine, self._origin = engine, began
        self._loop = asyncio.get_running_loop()
        self._writer = _Writer(engine, began, self._loop)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="state-reader")
        self._local = local()
        self._opened: list[Connection] = []
        self._glancing = self._open_reader()
        _raw(self._glancing).execute("PRAGMA busy_timeout = 0")
        self._line = Line()
        self._writer.start()

    def admit(self) -> None:
        self._line.check()

    async def run(self, work: Callable[[Transaction], T]) -> T:
        done: asyncio.Future[T] = self._loop.create_future()
        place = self._line.enter()
        self._writer.submit(_Job(work, done))
        try:
            return await done
        finally:
            self._line.leave(place)

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return await self._loop.run_in_executor(self._readers, self._read, work)

    async def glance(self, work: Callable[[Transaction], T]) -> T:
        try:
            return self._look(self._glancing, work)
        except StateUnavailable:  # it was not to be had at once
            return await self.read(work)

    def _read(self, work: Callable[[Transaction], T]) -> T:
        return self._look(self._reader(), work)

    def _look(self, connection: Connection, work: Callable[[Transaction], T]) -> T:
        try:
            raw = _raw(connection)
            raw.execute("BEGIN")
            try:
                return work(SqliteTransaction(connection, self._origin))
            finally:
                _abandon(raw)
        except (sqlite3.Error, DBAPIError) as error:
            raise _translated(error) from error

    def _reader(self) -> Connection:
        """Return this thread's own connection."""
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._open_reader()
        return connection

    def _open_reader(self) -> Connection:
        connection = self._engine.connect()
        self._opened.append(connection)
        _raw(connection).execute("PRAGMA query_only = ON")
        return connection

    async def close(self) -> None:
        """End when all that was asked for is done."""
        self._writer.submit(None)
        await asyncio.to_thread(self._writer.join)
        await asyncio.to_thread(self._readers.shutdown)
        for connection in self._opened:
            connection.close()


@asynccontextmanager
async def open_sqlite(path: Path) -> AsyncIterator[Store]:
    """Open a file, which is made if it is not there; `:memory:` is not a file. Raises: StateUnavailable, OSError."""
    engine = await asyncio.to_thread(_engine, path)
    began = await asyncio.to_thread(_prepare, engine)
    store = Sqlite(engine, began)
    try:
        yield store
    finally:
        await store.close()


def _engine(path: Path) -> Engine:
    path.parent.mkdir(parents=True, exist_ok=True)
    refuse_remote(path.parent)
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool, connect_args={"check_same_thread": False})
    event.listen(engine, "connect", _configure)
    return engine


def _configure(raw: sqlite3.Connection, _: object) -> None:
    raw.isolation_level = None  # transactions begin and end where we say so
    for pragma in (
        f"busy_timeout = {BUSY}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "journal_size_limit = 67108864",
        "temp_store = MEMORY",
    ):
        raw.execute(f"PRAGMA {pragma}")


def _prepare(engine: Engine) -> float:
    """Bring the tables up to date, one process after another, and return where this boot's clock began."""
    try:
        with engine.begin() as connection:
            _raw(connection).execute("BEGIN IMMEDIATE")
            migrate(connection)
            return origin(connection, boot())
    except (sqlite3.Error, DBAPIError) as error:
        raise StateUnavailable(str(error)) from error


def _raw(connection: Connection) -> sqlite3.Connection:
    raw: Any = connection.connection.dbapi_connection
    return cast("sqlite3.Connection", raw)


def _abandon(raw: sqlite3.Connection) -> None:
    """End a transaction, if it has not ended itself."""
    with suppress(sqlite3.Error):
        if raw.in_transaction:
            raw.execute("ROLLBACK")


def _translated(error: Exception) -> Exception:
    """Return StateUnavailable in place of what is the database's fault, not that of the work."""
    original = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(original, sqlite3.OperationalError) or original.sqlite_errorcode == sqlite3.SQLITE_ERROR:
        return error
    translated = StateUnavailable()
    translated.__cause__ = error
    return translated


def _fail(jobs: Sequence[_Job], failure: Exception, cause: BaseException) -> None:
    """Have the jobs fail that have not failed on their own."""
    for job in jobs:
        if job.error is None:
            job.error = type(failure)()
            job.error.__cause__ = cause


def _deliver(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        job.deliver()
