"""A mirror that is waited for holds what was acknowledged."""

import asyncio

import pytest

from gateway.errors import InternalError
from gateway.replication import mirroring as module
from gateway.replication.mirroring import Mirroring
from gateway.replication.records import Mode, Outcome
from gateway.state.store import StateUnavailable
from gateway.storage import Address, Completion, WriteOptions
from tests.backends.given import body, put, read, uploaded
from tests.routing.replicated.world import AT, BUCKET, Fault, World


@pytest.fixture
async def world():
    return followed(await World().ready(BUCKET))


def followed(world):
    world.mirroring = Mirroring(
        world.journal, "mirror", world.timing, primary=world.primary, fallback=world.fallback, mirror=world.mirror
    )
    world.storage.follow = [world.mirroring.follow]
    return world


async def held(world, at=AT):
    return await read(world.mirror.inner, at) if at.key in world.mirror.inner._buckets[BUCKET].objects else None


async def unknown(writing):
    with pytest.raises(InternalError) as caught:
        await writing
    assert caught.value.headers == {"x-gw-applied": "unknown"}


async def is_clean(world):
    return not (await world.journal.look(AT)).dirty


async def test_what_was_acknowledged_is_there(world):
    await put(world.storage, AT, b"data")
    assert await held(world) == b"data"
    assert await is_clean(world)


async def test_what_was_deleted_is_gone(world):
    await put(world.storage, AT, b"data")
    await world.storage.delete(AT)
    assert await held(world) is None
    assert await is_clean(world)


async def test_copies_labels_and_uploads_are_there(world):
    await put(world.storage, AT, b"data")
    info = await world.storage.head(AT)
    other = Address(BUCKET, "other")
    await world.storage.copy(AT, other, WriteOptions(), info.etag)
    assert await held(world, other) == b"data"
    await world.storage.annotate(AT, {"owner": "me"})
    assert (await world.mirror.inner.head(AT)).labels["owner"] == "me"
    upload = await world.storage.create_upload(AT)
    parts = await uploaded(world.storage, upload, [(1, b"part")])
    await world.storage.complete_upload(upload, parts, Completion())
    assert await held(world) == b"part"


async def test_each_of_many_writers_finds_its_own_or_a_later_state(world):
    async def write(data):
        await put(world.storage, AT, data)
        return await held(world)

    written = [b"%d" % number for number in range(8)]
    assert set(await asyncio.gather(*map(write, written))) <= set(written)
    assert await held(world) == await read(world.primary.inner, AT)
    assert await is_clean(world)


async def test_a_mirror_that_is_down_leaves_the_outcome_unknown_and_is_caught_up_with(world):
    world.mirror.fails(Fault.REFUSES)
    await unknown(put(world.storage, AT, b"data"))
    assert await read(world.storage, AT) == b"data"
    assert not await is_clean(world)
    world.mirror.works()
    await world.mirrored()
    assert await held(world) == b"data"


async def test_a_mirror_whose_answer_is_lost_leaves_the_outcome_unknown(world):
    world.mirror.fails(Fault.LOSES_ANSWER, "put")
    await unknown(put(world.storage, AT, b"data"))


async def test_a_delete_that_the_mirror_does_not_take_is_unknown_too(world):
    await put(world.storage, AT, b"data")
    world.mirror.fails(Fault.REFUSES)
    await unknown(world.storage.delete(AT))
    assert await held(world) == b"data"


async def test_the_next_write_need_not_wait_for_the_turn_of_the_last(world):
    world.journal._scope.rules.again = lambda attempts, now: now + 1000
    world.mirror.fails(Fault.REFUSES)
    await unknown(put(world.storage, AT, b"old"))
    world.mirror.works()
    await put(world.storage, AT, b"new")
    assert await held(world) == b"new"


async def test_a_step_that_began_before_the_write_is_not_enough(world):
    await world.primary.inner.put(AT, body(b"old"))
    await world.journal.mark("mirror", [AT])
    hold = world.mirror.hold("put")
    [claim] = await world.journal.claim_tasks("mirror", 10)
    early = asyncio.create_task(world.mirroring.work(claim))
    await hold.reached.wait()
    writing = asyncio.create_task(put(world.storage, AT, b"new"))
    await asyncio.sleep(module.NEXT * 3)
    assert not writing.done()
    hold.go_on.set()
    await writing
    assert await held(world) == b"new"
    assert await early is Outcome.APPLIED


async def test_a_step_of_somebody_else_is_as_good(world, monkeypatch):
    """A worker may have taken the key between the write and the question."""
    take = world.journal.take

    async def too_late(target, at):
        await world.mirroring.round()
        return await take(target, at)

    monkeypatch.setattr(world.journal, "take", too_late)
    await put(world.storage, AT, b"data")
    assert await held(world) == b"data"
    assert len(world.mirror.writes) == 1


async def test_nobody_waits_for_ever_for_somebody_else(world, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    await put(world.storage, AT, b"old")
    await world.journal.mark("mirror", [AT])
    await world.journal.claim_tasks("mirror", 10)
    await unknown(put(world.storage, AT, b"new"))
    assert await read(world.storage, AT) == b"new"


async def test_a_journal_that_was_not_told_leaves_the_outcome_unknown_and_is_told_later(world):
    put_there = world.primary.inner.put

    async def then_lost(*args):
        stored = await put_there(*args)
        world.state.fails = StateUnavailable
        return stored

    world.primary.inner.put = then_lost
    await unknown(put(world.storage, AT, b"data"))
    world.state.fails = None
    await world.mirrored()
    assert await held(world) == b"data"


async def test_a_client_that_goes_away_does_not_stop_what_the_mirror_is_being_given(world):
    hold = world.mirror.hold("put")
    writing = asyncio.create_task(put(world.storage, AT, b"data"))
    await hold.reached.wait()
    writing.cancel()
    await asyncio.wait([writing])
    hold.go_on.set()
    await asyncio.wait(world.mirroring._working)
    assert await held(world) == b"data"
    assert await is_clean(world)


async def test_nobody_waits_for_a_paused_mirror(world):
    await world.journal.pause("mirror")
    await put(world.storage, AT, b"data")
    assert await held(world) is None
    assert not await is_clean(world)


async def test_nobody_waits_for_a_delete_that_the_brake_holds(world):
    await put(world.storage, AT, b"data")
    await world.journal.count("mirror", 0, 5000)
    await world.storage.delete(AT)
    assert await held(world) == b"data"
    await put(world.storage, Address(BUCKET, "other"), b"data")
    assert await held(world, Address(BUCKET, "other")) == b"data"


async def test_what_is_refused_is_not_waited_for(world):
    world.primary.fails(Fault.REFUSES)
    with pytest.raises(Exception, match="Service is unable"):
        await put(world.storage, AT, b"data")
    assert not world.mirror.writes


async def test_during_an_outage_the_fallback_is_enough(world):
    await world.fail()
    world.mirror.fails(Fault.REFUSES)
    await put(world.storage, AT, b"data")
    assert await world.mode() is Mode.FAILOVER
    assert await read(world.storage, AT) == b"data"
