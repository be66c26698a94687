"""Writes wait for a mirror that is too far behind, if its bucket's owner wants that; nothing else does."""

import asyncio
from dataclasses import replace

import pytest

from gateway.errors import SlowDown
from gateway.replication import pace
from gateway.replication.pace import Most, Pace
from gateway.replication.records import Baseline
from gateway.routing.replicated import Replicated
from tests.backends.given import put, read
from tests.routing.replicated.world import AT, BUCKET, World


@pytest.fixture
async def world():
    return await World().ready(BUCKET)


async def behind(world, then, lag=0.001):
    """Have the mirror be behind, and the node know it."""
    world.pace = Pace(world.journal, {"mirror": Most(lag, then)})
    storages = replace(world.storages, pace=world.pace)
    world.storage = Replicated("route", storages, world.journal, world.member, world.timing)
    await put(world.storage, AT, b"data")
    await world.journal.drained()
    await asyncio.sleep(0.01)
    await world.pace.round()


async def test_writes_are_refused_and_reads_and_deletes_are_not(world):
    await behind(world, "reject")
    with pytest.raises(SlowDown) as refusal:
        await put(world.storage, AT, b"more")
    assert refusal.value.headers["x-gw-applied"] == "no"
    assert await read(world.storage, AT) == b"data"
    await world.storage.delete(AT)


async def test_writes_to_the_fallback_are_refused_as_well(world):
    await behind(world, "reject")
    await world.fail()
    with pytest.raises(SlowDown):
        await put(world.storage, AT, b"more")


async def test_writes_go_on_when_the_mirror_has_caught_up(world):
    await behind(world, "reject")
    await world.mirrored()
    await world.pace.round()
    await put(world.storage, AT, b"more")


@pytest.mark.parametrize("standing", ["paused", "baseline"])
async def test_a_mirror_that_is_not_to_be_in_step_is_not_waited_for(world, standing):
    if standing == "paused":
        await world.journal.pause("mirror")
    else:
        await world.journal.set_baseline("mirror", Baseline.RUNNING)
    await behind(world, "reject")
    await put(world.storage, AT, b"more")


async def test_answers_are_delayed_but_not_for_long(world, monkeypatch):
    monkeypatch.setattr(pace, "LONGEST", 0.1)
    await behind(world, "throttle")
    loop = asyncio.get_running_loop()
    began = loop.time()
    await put(world.storage, AT, b"more")
    assert 0.1 <= loop.time() - began < 2
    began = loop.time()
    await world.storage.delete(AT)
    assert loop.time() - began < 0.1


async def test_an_alert_holds_nobody_back(world):
    await behind(world, "alert")
    await put(world.storage, AT, b"more")
