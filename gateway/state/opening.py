"""A database by its URL."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from gateway.state.postgresql import open_postgres
from gateway.state.sqlite import open_sqlite
from gateway.state.store import Store


def open_store(url: str) -> AbstractAsyncContextManager[Store]:
    """Return the store of sqlite:////absolute/path, sqlite:///relative or postgresql://..., its tables up to date.

    Raises: ValueError (no such URL), and on entering StateUnavailable, OSError.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError("state is a URL: sqlite:////absolute/path or postgresql://user:password@host/name") from None
    if parsed.get_backend_name() == "sqlite" and parsed.database and parsed.database != ":memory:":
        return open_sqlite(Path(parsed.database))
    if parsed.get_backend_name() == "postgresql":
        return open_postgres(parsed)
    raise ValueError(f"{parsed.get_backend_name()} is no state store: use sqlite:///path or postgresql://…")
