"""x-amz-replication-status: told where it is known, and only what is true of what is shown."""

import asyncio
from dataclasses import replace

import pytest

from gateway.replication.records import Baseline, Outcome, Timing
from gateway.routing.replicated import Replicated
from gateway.state.store import StateUnavailable
from tests.backends.given import put
from tests.routing.replicated.world import AT, BUCKET, TIMING, Fault, World

HOPELESS = Timing(lease=0, drift=0, hold=0, backoff=0, worker_poll=0.01, dead_after=0.0, dead_failures=1)


async def telling(**options):
    """A world whose reads of the primary tell it."""
    world = await World(**options).ready(BUCKET)
    storages = replace(world.storages, status=True)
    world.storage = Replicated("route", storages, world.journal, world.member, world.timing)
    return world


async def told(world):
    """What HEAD says, and GET."""
    async with world.storage.get(AT) as download:
        assert download.info.replication == (await world.storage.head(AT)).replication
    return download.info.replication


async def test_what_a_mirror_lacks_is_pending_until_it_has_it():
    world = await telling()
    await put(world.storage, AT, b"data")
    assert await told(world) == "PENDING"
    await world.mirrored()
    assert await told(world) == "COMPLETED"


async def test_what_one_of_two_mirrors_lacks_is_pending():
    world = await telling(mirrors=("mirror", "other"))
    world.mirror.fails(Fault.REFUSES)
    await put(world.storage, AT, b"data")
    await world.mirrored()
    assert await told(world) == "PENDING"


async def test_what_is_being_written_is_pending():
    world = await telling()
    await put(world.storage, AT, b"data")
    await world.mirrored()
    hold = world.primary.hold("put")
    writing = asyncio.create_task(put(world.storage, AT, b"newer"))
    await hold.reached.wait()
    assert await told(world) == "PENDING"
    hold.go_on.set()
    await writing


async def test_a_mirror_whose_baseline_is_not_complete_may_lack_anything():
    world = await telling()
    await put(world.storage, AT, b"data")
    await world.mirrored()
    await world.journal.set_baseline("mirror", Baseline.RUNNING)
    assert await told(world) == "PENDING"


async def test_what_a_mirror_refuses_for_good_has_failed(monkeypatch):
    world = await telling(timing=HOPELESS)
    await put(world.storage, AT, b"data")
    await world.journal.drained()
    [claim] = await world.journal.claim_tasks("mirror", 1)
    await world.journal.mirrored(claim, Outcome.REFUSED, "AccessDenied", permanent=True)
    assert await told(world) == "FAILED"
    await put(world.storage, AT, b"newer")
    await world.mirrored()
    assert await told(world) == "COMPLETED"


async def test_what_a_mirror_shows_is_a_replica():
    world = await World().ready(BUCKET)
    await put(world.storage, AT, b"data")
    await world.mirrored()
    await world.fail()
    assert await told(world) == "REPLICA"


async def test_what_the_fallback_shows_says_how_far_mirrors_are():
    world = await World().ready(BUCKET)
    await world.fail()
    await put(world.storage, AT, b"data")
    assert await told(world) == "PENDING"
    await world.mirrored()
    assert await told(world) == "COMPLETED"


async def test_without_mirrors_nothing_is_told():
    world = await telling(mirrors=())
    await put(world.storage, AT, b"data")
    assert await told(world) == ""
    await world.fail()
    await put(world.storage, AT, b"data")
    assert await told(world) == ""


@pytest.mark.parametrize("mode", ["NORMAL", "HEALING"])
async def test_what_was_healed_is_told_by_the_journal_s_word(mode):
    world = await telling()
    await world.fail()
    await put(world.storage, AT, b"data")
    await world.recover()
    if mode == "NORMAL":
        await world.heal()
    assert await told(world) == "PENDING"
    await world.mirrored()
    assert await told(world) == "COMPLETED"


async def test_where_the_database_does_not_answer_nothing_is_told_and_all_is_read():
    world = World(timing=replace(TIMING, lease=60.0))
    await world.ready(BUCKET)
    world.storage = Replicated("route", replace(world.storages, status=True), world.journal, world.member, world.timing)
    await put(world.storage, AT, b"data")
    await world.journal.drained()
    world.state.fails = StateUnavailable
    assert await told(world) == ""


async def test_nobody_asks_the_database_who_was_not_told_to():
    world = World(timing=replace(TIMING, lease=60.0))
    await world.ready(BUCKET)
    await put(world.storage, AT, b"data")
    await world.journal.drained()
    world.state.fails = StateUnavailable
    assert await told(world) == ""


async def test_what_is_written_while_it_is_asked_for_is_never_told_to_be_on_the_mirrors_already():
    world = await telling()
    await put(world.storage, AT, b"data")
    await world.mirrored()
    hold = world.primary.hold("head")
    asking = asyncio.create_task(world.storage.head(AT))
    await hold.reached.wait()
    await put(world.storage, AT, b"newer")
    hold.go_on.set()
    info = await asking
    assert (info.size, info.replication) == (5, "PENDING")
