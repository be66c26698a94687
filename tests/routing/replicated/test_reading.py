"""From where a replicated bucket is read, and what is said where nobody knows."""

import pytest

from gateway.backends.local import open_local
from gateway.conditions import Conditions
from gateway.errors import (
    InternalError,
    InvalidRange,
    NoSuchKey,
    NotImplementedByGateway,
    NotModified,
    PreconditionFailed,
    ServiceUnavailable,
)
from gateway.replication.records import Baseline, Mode
from gateway.state.store import StateUnavailable
from gateway.storage import Address, ReadOptions, WriteOptions
from tests.backends.given import put, read
from tests.routing.replicated.world import AT, BUCKET, Fault, World

FAULTS = [Fault.REFUSES, Fault.LOSES_ANSWER]


@pytest.fixture
async def world():
    return await World().ready(BUCKET)


async def written(world, data=b"data"):
    """Write an object, and let the mirrors catch up."""
    info = await put(world.storage, AT, data, WriteOptions(labels={"owner": "alice"}, metadata={"a": "b"}))
    await world.mirrored()
    return info


async def not_current(reading):
    with pytest.raises(ServiceUnavailable) as caught:
        await reading
    assert caught.value.headers["x-gw-reason"] == "not-current"
    assert "Retry-After" in caught.value.headers


async def test_the_primary_answers_as_long_as_it_does(world):
    await written(world)
    assert (await world.storage.head(AT)).served_by == ""
    with pytest.raises(NoSuchKey):
        await world.storage.head(Address(BUCKET, "nothing"))
    assert world.mirror.told[-1:] != [("head", "nothing")]


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_clean_mirror_answers_when_the_primary_does_not(world, fault):
    info = await written(world)
    world.primary.fails(fault)
    shown = await world.storage.head(AT)
    assert shown == info
    assert (shown.served_by, shown.stale) == ("mirror", False)
    assert await read(world.storage, AT) == b"data"


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_clean_mirror_tells_of_absence(world, fault):
    await written(world)
    await world.storage.delete(AT)
    await world.mirrored()
    world.primary.fails(fault)
    with pytest.raises(NoSuchKey):
        await world.storage.head(AT)


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_error_is_never_an_absence(world, fault):
    world.primary.fails(fault)
    world.mirror.fails(fault)
    with pytest.raises((ServiceUnavailable, InternalError)):
        await world.storage.head(AT)
    await world.turn(Mode.FAILOVER)
    await not_current(world.storage.head(AT))


async def test_a_bucket_that_a_mirror_does_not_have_is_no_absence(world):
    await written(world)
    await world.mirror.inner.delete(AT)
    await world.mirror.inner.delete_bucket(BUCKET)
    await world.fail()
    await not_current(world.storage.head(AT))


async def test_a_mirror_that_lacks_a_write_is_not_read(world):
    await written(world, b"old")
    await put(world.storage, AT, b"new")
    await world.journal.drained()
    world.primary.fails(Fault.REFUSES)
    with pytest.raises(ServiceUnavailable):
        await read(world.storage, AT)
    await world.turn(Mode.FAILOVER)
    await not_current(read(world.storage, AT))
    with pytest.raises(ServiceUnavailable):  # of a key that was created, absence is as wrong
        await world.storage.head(AT)


async def test_a_mirror_is_not_read_while_the_key_is_being_written(world):
    await written(world, b"old")
    world.primary.fails(Fault.LOSES_ANSWER, "put")
    with pytest.raises(InternalError):
        await put(world.storage, AT, b"new")
    await world.journal.drained()
    await world.fail()
    await not_current(read(world.storage, AT))


async def test_a_mirror_that_was_not_given_everything_is_not_read(world):
    await written(world)
    await world.journal.set_baseline("mirror", Baseline.RUNNING)
    await world.fail()
    await not_current(world.storage.head(AT))


async def test_another_mirror_is_asked_when_one_does_not_answer():
    world = await World(mirrors=("one", "two")).ready(BUCKET)
    await written(world)
    await world.fail()
    world.mirrors["one"].fails(Fault.REFUSES)
    assert (await world.storage.head(AT)).served_by == "two"


@pytest.mark.parametrize("left", [b"da", b"data, and more", b""])
async def test_a_copy_that_somebody_has_made_another_size_is_not_read(world, left):
    await written(world)
    copied = await world.mirror.inner.head(AT)
    await put(world.mirror.inner, AT, left, WriteOptions(copied.headers, copied.metadata, copied.labels))
    await world.fail()
    await not_current(world.storage.head(AT))
    await not_current(read(world.storage, AT))


@pytest.mark.parametrize("left", [b"da", b"daTa"])
async def test_a_file_of_a_mirror_that_somebody_has_changed_is_not_read(tmp_path, left):
    async with open_local("mirror", tmp_path) as disk:
        world = World()
        world.mirror.inner = disk
        await written(await world.ready(BUCKET))
        (tmp_path / BUCKET / AT.key).write_bytes(left)
        await world.fail()
        await not_current(world.storage.head(AT))
        await not_current(read(world.storage, AT))


async def test_what_a_mirror_held_from_the_beginning_is_read_there():
    world = World()
    for storage in (world.primary.inner, world.mirror.inner):
        await storage.create_bucket(BUCKET, {})
        await put(storage, AT, b"data")
    await world.ready()
    await world.fail()
    assert await read(world.storage, AT) == b"data"


async def test_conditions_are_about_what_the_mirror_is_a_copy_of(world):
    info = await written(world)
    copied = await world.mirror.inner.head(AT)
    assert copied.modified != info.modified
    await world.fail()
    unchanged = ReadOptions(conditions=Conditions(if_none_match=(info.etag,)))
    with pytest.raises(NotModified):
        await world.storage.head(AT, unchanged)
    with pytest.raises(NotModified):
        await read(world.storage, AT, unchanged)
    with pytest.raises(PreconditionFailed):
        await read(world.storage, AT, ReadOptions(conditions=Conditions(if_match=("other",))))
    with pytest.raises(InvalidRange):
        await read(world.storage, AT, ReadOptions(range=slice(4, None)))
    assert await read(world.storage, AT, ReadOptions(range=slice(1, 3))) == b"at"


async def test_what_was_written_during_an_outage_is_read_from_the_fallback(world):
    await written(world, b"old")
    await world.fail()
    info = await put(world.storage, AT, b"new")
    shown = await world.storage.head(AT)
    assert (shown, shown.served_by) == (info, "fallback")
    assert await read(world.storage, AT) == b"new"
    await world.recover()
    assert await read(world.storage, AT) == b"new"


@pytest.mark.parametrize("mode", [Mode.FAILOVER, Mode.HEALING])
async def test_an_older_state_is_never_read_in_place_of_the_fallbacks(world, mode):
    await written(world, b"old")
    await world.fail()
    await put(world.storage, AT, b"new")
    if mode is Mode.HEALING:
        await world.recover()
    for fault in FAULTS:
        world.fallback.fails(fault)
        with pytest.raises((ServiceUnavailable, InternalError)):
            await read(world.storage, AT)


async def test_healing_keys_that_the_primary_has_are_its_own(world):
    await written(world)
    await world.fail()
    await put(world.storage, Address(BUCKET, "other"), b"new")
    await world.recover()
    assert (await world.storage.head(AT)).served_by == ""
    world.primary.fails(Fault.REFUSES)
    world.primary.told.clear()
    with pytest.raises(ServiceUnavailable):
        await world.storage.head(AT)
    assert world.primary.told == [("head", AT.key)]


async def test_an_object_that_was_replaced_and_collected_is_looked_for_again(world):
    await world.fail()
    await put(world.storage, AT, b"first")
    look = await world.journal.look(AT)
    await put(world.storage, AT, b"second")
    await world.sweep()
    with pytest.raises(NoSuchKey):
        await world.fallback.inner.head(Address(BUCKET, look.row.staged))
    looks = [look]

    async def late(at):
        return looks.pop() if looks else await type(world.storage).look(world.storage, at)

    world.storage.look = late
    assert await read(world.storage, AT) == b"second"
    assert not looks


async def test_a_staged_object_that_is_lost_is_no_absence(world):
    await world.fail()
    await put(world.storage, AT, b"data")
    await world.fallback.inner.delete(Address(BUCKET, (await world.journal.look(AT)).row.staged))
    await not_current(read(world.storage, AT))


async def test_versions_are_the_primarys_alone(world):
    with pytest.raises(NoSuchKey):
        await world.storage.head(AT._replace(version="null"))
    await world.fail()
    with pytest.raises(NotImplementedByGateway):
        await world.storage.head(AT._replace(version="some"))


async def test_nothing_is_read_when_nobody_knows_the_mode(world):
    await written(world)
    world.state.fails = StateUnavailable
    assert world.member.mode is None
    with pytest.raises(ServiceUnavailable) as caught:
        await world.storage.head(AT)
    assert caught.value.headers["Retry-After"]


class TestStaleReads:
    @pytest.fixture
    async def world(self):
        world = await World(stale_reads=True).ready(BUCKET)
        await written(world, b"old")
        await put(world.storage, AT, b"new")
        await put(world.storage, Address(BUCKET, "created"), b"new")
        await world.journal.drained()
        await world.fail()
        return world

    async def test_an_old_state_is_read_only_where_that_is_allowed_and_said(self, world):
        info = await world.storage.head(AT)
        assert (info.served_by, info.stale) == ("mirror", True)
        assert await read(world.storage, AT) == b"old"

    async def test_what_may_be_old_never_tells_of_absence(self, world):
        await not_current(world.storage.head(Address(BUCKET, "created")))

    async def test_nothing_is_made_of_what_may_be_old(self, world):
        info = await world.storage.head(AT)
        await not_current(world.storage.copy(AT, Address(BUCKET, "copy"), WriteOptions(), info.etag))
        await not_current(world.storage.annotate(AT, {}))
