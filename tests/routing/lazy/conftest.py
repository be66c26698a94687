import pytest

from tests.routing.lazy.world import World
from tests.state.databases import opened


@pytest.fixture
async def world(tmp_path):
    """A bucket whose one object only the old storage has."""
    async with opened("sqlite", tmp_path) as store:
        yield await World(store).ready(**{"designs/42.png": b"old"})
