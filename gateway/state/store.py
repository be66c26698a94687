"""How state is read and written, whatever the database."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from sqlalchemy import Connection, Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from gateway.errors import ServiceUnavailable

T = TypeVar("T")


class StateUnavailable(ServiceUnavailable):
    """The database did not do it, nor will it."""

    code = "ServiceUnavailable"


class StateUnknown(ServiceUnavailable):
    """Nobody knows whether the database did it, or will."""

    code = "ServiceUnavailable"


class clock(FunctionElement[float]):  # noqa: N801  named as functions of SQL are
    """The database's clock as a part of a statement, to save asking for it; NULL where it is at hand without asking."""

    type = Double()
    inherit_cache = True


@compiles(clock)
def _without_clock(_: clock, __: SQLCompiler, **___: object) -> str:
    return "NULL"


@compiles(clock, "postgresql")
def _with_clock(_: clock, __: SQLCompiler, **___: object) -> str:
    return "extract(epoch FROM clock_timestamp())::float8"


class Transaction(Protocol):
    """What is done in one transaction, by statements of SQLAlchemy Core."""

    @property
    def connection(self) -> Connection:
        """The connection to execute statements on; it is not committed by hand."""

    @property
    def now(self) -> float:
        """The database's clock, in seconds; not before the last lock was got."""

    def told(self, now: float | None) -> None:
        """Take over what a statement has told of `clock()`."""

    def gens(self, count: int) -> Sequence[int]:
        """Return numbers greater than all before, if they are used for keys that are locked."""

    def outrun(self, gen: int) -> int:
        """Have all numbers from now on be greater than this one, too; return a number that none so far is above.

        One that is far beyond them: others may take numbers meanwhile.
        """

    def lock_route(self, route: str, *, shared: bool = False) -> None:
        """Wait until nobody else has the route locked, or with `shared`, nobody for himself alone.

        It comes before all other locks, and once.
        """

    def lock(self, route: str, bucket: str, keys: Sequence[bytes]) -> None:
        """Wait until nobody else has any of the keys locked; once in a transaction."""


class Store(Protocol):
    """A database."""

    def admit(self) -> None:
        """Return if work may come that can still be refused: before anything else of a request is done.

        Raises: SlowDown, where too much waits already, or for too long.
        """

    async def run(self, work: Callable[[Transaction], T]) -> T:
        """Do some work; it is durable when this returns. What `work` raises undoes it, and is raised.

        `work` is called again if the database asks for it, so it changes nothing but the database. A cancelled caller
        does not know whether it was done. Raises: StateUnavailable, StateUnknown.
        """

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Do work that writes nothing, on one snapshot. Raises: StateUnavailable."""

    async def glance(self, work: Callable[[Transaction], T]) -> T:
        """Do one statement that reads a row or two: it costs less than `read`. Raises: StateUnavailable."""
