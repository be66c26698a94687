"""A PostgreSQL database, shared by all replicas.

Every transaction takes its locks before it reads what it decides by, and each statement sees what was committed before
it began: READ COMMITTED is all that is asked for.
https://www.postgresql.org/docs/current/transaction-iso.html#XACT-READ-COMMITTED
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import Final, TypeVar

from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionInTime
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gateway.state.line import Line
from gateway.state.migrate import migrate
from gateway.state.store import StateUnavailable, StateUnknown, Store, Transaction

T = TypeVar("T")

CONNECTIONS: Final = 10
TRIES: Final = 5
_SECONDS: Final = 10.0  # for one statement, or to get a connection
_SETTINGS: Final = {
    "application_name": "s3-gateway",
    "default_transaction_isolation": "read committed",
    "idle_in_transaction_session_timeout": "10s",
    "jit": "off",
    "synchronous_commit": "on",
}
_ROUTE: Final = 0x5347  # tells locks of routes from other locks of two numbers
_MIGRATION: Final = text("SELECT pg_advisory_xact_lock(21319, 0)")
_NOW: Final = text("SELECT extract(epoch FROM clock_timestamp())::float8")
_GENS: Final = text("SELECT nextval('gen') FROM generate_series(1, :count)")
_OUTRUN: Final = text("SELECT CASE WHEN last_value < :gen THEN setval('gen', :gen) ELSE last_value END FROM gen")
_LOCK_ROUTE: Final = text("SELECT pg_advisory_xact_lock(:kind, :route)")
_SHARE_ROUTE: Final = text("SELECT pg_advisory_xact_lock_shared(:kind, :route)")
_LOCK: Final = text("SELECT pg_advisory_xact_lock(key) FROM unnest(CAST(:keys AS bigint[])) AS key")
_AGAIN: Final = ("40",)  # deadlock and the like: the database asks for another try
_ITS_OWN_FAULT: Final = ("08", "25006", "53", "55P03", "57", "58")  # classes and codes of errors; 25006: a standby
# https://www.postgresql.org/docs/current/errcodes-appendix.html


class PostgresTransaction:
    """A `Transaction`."""

    __slots__ = ("_now", "connection")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._now: float | None = None

    @property
    def now(self) -> float:
        if self._now is None:
            self._now = float(self.connection.execute(_NOW).scalar_one())
        return self._now

    def told(self, now: float | None) -> None:
        self._now = now

    def gens(self, count: int) -> Sequence[int]:
        return self.connection.scalars(_GENS, {"count": count}).all()

    def outrun(self, gen: int) -> int:
        return int(self.connection.execute(_OUTRUN, {"gen": gen}).scalar_one())

    def lock_route(self, route: str, *, shared: bool = False) -> None:
        statement = _SHARE_ROUTE if shared else _LOCK_ROUTE
        self.connection.execute(statement, {"kind": _ROUTE, "route": _number(4, route.encode())})
        self._now = None

    def lock(self, route: str, bucket: str, keys: Sequence[bytes]) -> None:
        numbers = sorted({_number(8, route.encode(), bucket.encode(), key) for key in keys})
        self.connection.execute(_LOCK, {"keys": numbers})
        self._now = None


class Postgres:
    """A `Store`. `open_postgres` opens it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._glancing = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._line = Line()

    def admit(self) -> None:
        self._line.check()

    async def run(self, work: Callable[[Transaction], T]) -> T:
        return await _trying(lambda: self._run(work))

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return await _trying(lambda: self._do(self._reading, work))

    async def glance(self, work: Callable[[Transaction], T]) -> T:
        return await _trying(lambda: self._do(self._glancing, work))

    async def _run(self, work: Callable[[Transaction], T]) -> T:
        place = self._line.enter()  # for a connection: whom the database itself lets wait, others may overtake
        try:
            async with self._engine.connect() as connection:
                self._line.leave(place)
                result = await _do(connection, work)
                await _commit(connection)
                return result
        finally:
            self._line.leave(place)

    async def _do(self, engine: AsyncEngine, work: Callable[[Transaction], T]) -> T:
        async with engine.connect() as connection:
            return await _do(connection, work)


@asynccontextmanager
async def open_postgres(url: URL) -> AsyncIterator[Store]:
    """Open a database, which is there already. Raises: StateUnavailable."""
    query = {("ssl" if name == "sslmode" else name): value for name, value in url.query.items()}
    engine = create_async_engine(
        url.set(drivername="postgresql+asyncpg", query=query),
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=_SECONDS,
        connect_args={"timeout": _SECONDS, "command_timeout": _SECONDS, "server_settings": _SETTINGS},
    )
    try:
        await _trying(lambda: _prepare(engine))
        yield Postgres(engine)
    finally:
        await engine.dispose()


async def _prepare(engine: AsyncEngine) -> None:
    """Bring the tables up to date, one process after another."""
    async with engine.connect() as connection:
        await connection.execute(_MIGRATION)
        await connection.run_sync(migrate)
        await connection.commit()


async def _do(connection: AsyncConnection, work: Callable[[Transaction], T]) -> T:
    return await connection.run_sync(lambda sync: work(PostgresTransaction(sync)))


async def _commit(connection: AsyncConnection) -> None:
    try:
        await connection.commit()
    except (DBAPIError, OSError, TimeoutError) as error:
        if _state(error).startswith(_AGAIN):
            raise
        raise StateUnknown from error


async def _trying(transaction: Callable[[], Awaitable[T]]) -> T:
    """Have a transaction done, and tried again when it was certainly not done and may be, the next time.

    A server that was started anew is noticed by the first who uses a connection from before.
    """
    for left in reversed(range(TRIES)):
        try:
            return await transaction()
        except (DBAPIError, OSError, TimeoutError, NoConnectionInTime) as error:
            lost = isinstance(error, DBAPIError) and error.connection_invalidated
            if left and (lost or _state(error).startswith(_AGAIN)):
                continue
            if lost or not isinstance(error, DBAPIError) or _state(error).startswith((*_AGAIN, *_ITS_OWN_FAULT)):
                raise StateUnavailable from error
            raise
    raise StateUnavailable


def _state(error: BaseException) -> str:
    """Return the SQLSTATE of an error, if it has one."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def _number(size: int, *names: bytes) -> int:
    """Return a number for names; that two have the same makes one of them wait, nothing else."""
    digest = blake2b(digest_size=size)
    for name in names:
        digest.update(len(name).to_bytes(4, "big") + name)
    return int.from_bytes(digest.digest(), "big", signed=True)
