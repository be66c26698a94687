"""Much at once: what is too much is refused before it is begun, and one key, however often written, stays one."""

import asyncio

import pytest
from sqlalchemy import func, select

from gateway.errors import SlowDown
from gateway.replication.records import STAGE
from gateway.state.schema import OPS, ROWS, TASKS, TRASH
from gateway.storage import ListQuery
from tests.backends.given import keys, put, read
from tests.routing.replicated.world import AT, BUCKET, World

TIMES = 1000


@pytest.fixture
async def world():
    return await World().ready(BUCKET)


@pytest.mark.parametrize("mode", ["NORMAL", "FAILOVER"])
async def test_what_would_wait_too_long_for_the_database_is_refused_before_anything_is_done(world, mode):
    await put(world.storage, AT, b"data")
    if mode == "FAILOVER":
        await world.fail()
    world.state.is_busy = True
    before = [list(storage.writes) for storage in (world.primary, world.fallback)]
    for write in (put(world.storage, AT, b"more"), world.storage.delete(AT)):
        with pytest.raises(SlowDown) as refusal:
            await write
        assert refusal.value.headers["x-gw-applied"] == "no"
        assert refusal.value.headers["Retry-After"]
    assert [storage.writes for storage in (world.primary, world.fallback)] == before
    world.state.is_busy = False
    await put(world.storage, AT, b"more")


async def test_what_is_begun_is_written_down_however_much_waits(world):
    hold = world.primary.hold("put")
    writing = asyncio.create_task(put(world.storage, AT, b"data"))
    await hold.reached.wait()
    world.state.is_busy = True
    hold.go_on.set()
    await writing
    await world.mirrored()
    assert await read(world.mirror.inner, AT) == b"data"


def rows(world):
    """How many rows each table has."""
    tables = (ROWS, TASKS, OPS, TRASH)
    counts = {table.name: select(func.count()).select_from(table) for table in tables}
    return world.state.database.do(lambda tx: {name: tx.connection.scalar(count) for name, count in counts.items()})


async def write_often(world):
    for number in range(TIMES):
        await put(world.storage, AT, b"%d" % number)
    await world.journal.drained()


async def test_a_key_that_is_written_all_the_time_is_one_task_and_one_copy(world):
    await write_often(world)
    assert rows(world) == {"key_state": 0, "task": 1, "op": 0, "trash": 0}
    await world.mirrored()
    assert [call for call, _ in world.mirror.writes].count("put") == 1
    assert await read(world.mirror.inner, AT) == b"%d" % (TIMES - 1)


async def test_in_an_outage_it_is_one_row_and_what_is_superseded_goes(world):
    await world.fail()
    await write_often(world)
    assert rows(world) == {"key_state": 1, "task": 1, "op": 0, "trash": TIMES - 1}
    await world.sweep()
    assert rows(world) == {"key_state": 1, "task": 1, "op": 0, "trash": 0}
    assert len(await keys(world.fallback.inner, BUCKET, ListQuery(STAGE))) == 1
    await world.mirrored()
    await world.recover()
    await world.heal()
    for storage in (world.primary, world.mirror):
        assert [call for call, _ in storage.writes].count("put") == 1
        assert await read(storage.inner, AT) == b"%d" % (TIMES - 1)
