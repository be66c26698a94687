"""What the transactions of one node and route have in common."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, CursorResult, Executable, FromClause, Select, Table, and_
from sqlalchemy.dialects import postgresql, sqlite

from gateway.replication.rules import Rules
from gateway.storage import Address


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose transactions these are."""

    route: str
    node: str
    targets: Sequence[str]
    fallback: str  # the name of the backend
    rules: Rules


@cache
def upsert(
    dialect: str, table: Table, key: tuple[str, ...], changed: Callable[[Any], Mapping[str, Any]] | None = None
) -> Executable:
    """Return the INSERT that changes a row which is there already, which standard SQL has no word for.

    `changed` is given the row that was to be inserted; without it the old row stays as it is.
    """
    insert = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    if changed is None:
        return insert.on_conflict_do_nothing(index_elements=key)
    return insert.on_conflict_do_update(index_elements=key, set_=changed(insert.excluded))


class Prepared:
    """A statement that is asked so often that it is compiled once for all; its results are what the driver gives."""

    def __init__(self, statement: Select[Any]) -> None:
        self._statement = statement
        self._texts: dict[str, tuple[str, Sequence[str], Mapping[str, Any]]] = {}

    def execute(self, connection: Connection, values: Mapping[str, Any]) -> CursorResult[Any]:
        """Execute it with values by name."""
        text, names, own = self._texts.get(connection.dialect.name) or self._compile(connection)
        return connection.exec_driver_sql(text, tuple(values[name] if name in values else own[name] for name in names))

    def _compile(self, connection: Connection) -> tuple[str, Sequence[str], Mapping[str, Any]]:
        compiled = self._statement.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
        made: Any = compiled  # a SELECT is always compiled to SQL
        text = (str(compiled), tuple(made.positiontup), dict(compiled.params))
        self._texts[connection.dialect.name] = text
        return text


def taken(*names: str) -> Callable[[Any], Mapping[str, Any]]:
    """Return what `upsert` changes where these columns are simply taken over."""
    return _Taken(names)


@dataclass(frozen=True, slots=True)
class _Taken:
    names: tuple[str, ...]

    def __call__(self, excluded: Any) -> Mapping[str, Any]:
        return {name: excluded[name] for name in self.names}


def at_key(table: FromClause, route: str, at: Address) -> ColumnElement[bool]:
    """Return the condition that a row of a table is about an address."""
    return and_(table.c.route == route, table.c.bucket == at.bucket, table.c.key == at.key.encode())


def in_range(table: FromClause, prefix: str, after: str, *, inclusive: bool) -> list[ColumnElement[bool]]:
    """Return the conditions that keys begin with `prefix` and come after `after`, or from it on."""
    start = after.encode()
    conditions = [table.c.key >= start if inclusive else table.c.key > start] if after else []
    if prefix:  # no byte of UTF-8 is 255
        conditions += [table.c.key >= prefix.encode(), table.c.key < prefix.encode() + b"\xff"]
    return conditions
