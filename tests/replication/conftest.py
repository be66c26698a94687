import pytest

from gateway.replication import rules
from tests.replication.scene import Scene
from tests.state.databases import KINDS, opened
from tests.state.timed import Timed


@pytest.fixture(params=KINDS)
async def store(request, tmp_path):
    async with opened(request.param, tmp_path) as inner:
        yield Timed(inner)


@pytest.fixture
async def timed(tmp_path):
    """A SQLite file, where the database is not what is tested."""
    async with opened("sqlite", tmp_path) as inner:
        yield Timed(inner)


@pytest.fixture
async def scene(timed):
    return await Scene(timed).ready()


@pytest.fixture
def longest_waits(monkeypatch):
    """Whatever failed is tried again at the last moment of those that chance may choose."""
    monkeypatch.setattr(rules.random, "uniform", lambda _, most: most)
