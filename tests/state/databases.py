"""Where tests keep state: copies of a database that is made once, with its tables."""

import asyncio
import atexit
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest

from gateway.state import open_store
from tests.doubles import postgresql

WITHOUT = pytest.mark.skipif(postgresql.programs() is None, reason="PostgreSQL is not installed")
KINDS = ["sqlite", pytest.param("postgresql", marks=WITHOUT)]


def empty(kind, folder):
    """The URL of a database without tables."""
    return f"sqlite:///{folder}/state.db" if kind == "sqlite" else postgresql.server().database()


def opened(kind, folder):
    """A store of its own."""
    made = _made(kind)
    if kind == "sqlite":
        shutil.copy(made.removeprefix("sqlite:///"), folder / "state.db")
        return open_store(empty(kind, folder))
    return open_store(postgresql.server().database(template=made.partition("?")[0].rpartition("/")[2]))


@cache
def _made(kind):
    folder = Path(tempfile.mkdtemp(prefix="state"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    url = empty(kind, folder)

    async def make():
        async with open_store(url):
            pass

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, make()).result()
    return url
