"""Where tests keep state."""

import pytest

from gateway.state import open_store
from tests.doubles import postgresql

WITHOUT = pytest.mark.skipif(postgresql.programs() is None, reason="PostgreSQL is not installed")
KINDS = ["sqlite", pytest.param("postgresql", marks=WITHOUT)]


def url_of(kind, tmp_path):
    return f"sqlite:///{tmp_path}/state.db" if kind == "sqlite" else postgresql.server().database()


def opened(kind, tmp_path):
    return open_store(url_of(kind, tmp_path))
