import pytest

from gateway.backends.memory import Memory
from gateway.migration.walking import Sides
from gateway.replication.window import Window


@pytest.fixture
async def source():
    made = Memory("source")
    await made.create_bucket("media", {})
    return made


@pytest.fixture
async def target():
    made = Memory("target")
    await made.create_bucket("media", {})
    return made


@pytest.fixture
async def sides(source, target):
    return Sides(source, target, "media", Window(8))
