"""The journal's database in virtual time: real SQL, on an answer that may be late, lost, or never sent."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, create_engine, insert, select
from sqlalchemy.pool import StaticPool

from gateway.replication.records import Mode
from gateway.state.schema import COUNTER, HOST, OPS, ROUTES, ROWS, SHARED, TASKS
from gateway.state.sqlite import SqliteTransaction
from gateway.state.store import StateUnavailable, StateUnknown, Transaction
from tests.simulation.faults import Weather

_T = TypeVar("_T")
_UNREST = (
    select(ROUTES.c.name).where(ROUTES.c.mode != Mode.NORMAL),
    select(ROWS.c.key, ROWS.c.staged, ROWS.c.error),
    select(OPS.c.id, OPS.c.key, OPS.c.kind, OPS.c.node),
    select(TASKS.c.key, TASKS.c.kind, TASKS.c.error, TASKS.c.dead),
)


class _InVirtualTime(SqliteTransaction):
    __slots__ = ()

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, 0.0)
        self._now = asyncio.get_running_loop().time()


class Database:
    """What all nodes share."""

    def __init__(self) -> None:
        engine = create_engine("sqlite://", poolclass=StaticPool)
        self.connection = engine.connect()
        SHARED.create_all(self.connection)
        HOST.create_all(self.connection)
        self.connection.execute(insert(COUNTER).values(gen=0))
        self.connection.commit()

    def do(self, work: Callable[[Transaction], _T]) -> _T:
        """Do some work in a transaction, at once."""
        try:
            result = work(_InVirtualTime(self.connection))
        except BaseException:
            self.connection.rollback()
            raise
        self.connection.commit()
        return result

    def unrest(self) -> list[str]:
        """Return what is left to be done, and the mode if it is not NORMAL."""
        found = self.do(lambda tx: [tx.connection.execute(query).all() for query in _UNREST])
        return [str(row) for rows in found for row in rows]


class NodeStore:
    """A `Store`, as one node reaches it."""

    def __init__(self, database: Database, weather: Weather) -> None:
        self._database, self._weather = database, weather
        self.cut = False

    def admit(self) -> None:
        """Anything may come: how long works wait is not what is simulated."""

    async def run(self, work: Callable[[Transaction], _T]) -> _T:
        result = await self._ask(work)
        if not self._weather.quiet and self._weather.dice.random() < 0.01:
            raise StateUnknown
        return result

    async def read(self, work: Callable[[Transaction], _T]) -> _T:
        return await self._ask(work)

    async def glance(self, work: Callable[[Transaction], _T]) -> _T:
        return await self._ask(work)

    async def _ask(self, work: Callable[[Transaction], _T]) -> _T:
        await self._weather.passes(20)
        if self.cut:
            await asyncio.sleep(0.3)
            raise StateUnavailable
        result = self._database.do(work)
        await self._weather.passes(20)
        return result
