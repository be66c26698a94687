"""Replicated buckets themselves."""

from dataclasses import replace

import pytest

from gateway.errors import BucketAlreadyExists, BucketNotEmpty, InternalError, NoSuchBucket, ServiceUnavailable
from gateway.replication.records import Kind, Outcome
from gateway.storage import Address
from tests.backends.given import put
from tests.replication.given import settled
from tests.routing.replicated.test_writing import refused, unknown
from tests.routing.replicated.world import AT, BUCKET, TIMING, Fault, World


@pytest.fixture
async def world():
    return await World().ready(BUCKET)


async def names(storage):
    return [info.name for info in await storage.inner.list_buckets()]


async def test_a_bucket_is_made_on_all_storages_with_its_labels(world):
    await world.storage.create_bucket("new", {"owner": "alice"})
    for storage in (world.primary, world.fallback, world.mirror):
        assert (await storage.inner.head_bucket("new")).labels == {"owner": "alice"}


async def test_a_bucket_is_made_though_a_mirror_is_down(world):
    world.mirror.fails(Fault.REFUSES)
    world.fallback.fails(Fault.REFUSES)
    await world.storage.create_bucket("new", {})
    assert (await world.storage.head_bucket("new")).name == "new"
    with pytest.raises(BucketAlreadyExists):
        await world.storage.create_bucket("new", {})


async def test_a_mirror_that_was_down_when_a_bucket_was_made_gets_it_with_the_first_object(world):
    world.mirror.fails(Fault.REFUSES)
    await world.storage.create_bucket("new", {"owner": "alice"})
    world.mirror.works()
    await put(world.storage, Address("new", "key"))
    await world.mirrored()
    assert (await world.mirror.inner.head_bucket("new")).labels == {"owner": "alice"}


async def test_during_an_outage_buckets_stay_as_they_are(world):
    await world.fail()
    world.primary.works()
    await refused(world.storage.create_bucket("new", {}))
    await refused(world.storage.delete_bucket(BUCKET))
    await refused(world.storage.annotate(Address(BUCKET), {"acl": "private"}))
    assert await names(world.primary) == [BUCKET]
    assert (await world.primary.inner.head_bucket(BUCKET)).labels == {}


@pytest.mark.parametrize("known", [False, True])
async def test_the_fallback_tells_of_buckets_while_the_primary_is_down(world, known):
    await world.storage.annotate(Address(BUCKET), {"owner": "alice"})
    if known:
        await world.fail()
    else:
        world.primary.fails(Fault.LOSES_ANSWER)
    assert (await world.storage.head_bucket(BUCKET)).labels == {"owner": "alice"}
    assert [info.name for info in await world.storage.list_buckets()] == [BUCKET]


async def test_that_the_fallback_does_not_know_a_bucket_means_nothing(world):
    await world.fail()
    with pytest.raises(ServiceUnavailable) as caught:
        await world.storage.head_bucket("another")
    assert caught.value.headers["x-gw-reason"] == "not-current"
    await world.recover()
    with pytest.raises(NoSuchBucket):
        await world.storage.head_bucket("another")


async def test_mirrors_tell_of_buckets_where_there_is_no_fallback():
    world = await World(fallback=False).ready(BUCKET)
    await world.fail()
    assert (await world.storage.head_bucket(BUCKET)).name == BUCKET
    assert [info.name for info in await world.storage.list_buckets()] == [BUCKET]


@pytest.mark.parametrize("fault", [Fault.REFUSES, Fault.LOSES_ANSWER])
async def test_nobody_tells_of_buckets_when_nobody_can(world, fault):
    world.fallback.fails(fault)
    for _ in range(2):
        world.primary.fails(fault)
        with pytest.raises((ServiceUnavailable, InternalError)):
            await world.storage.list_buckets()
        with pytest.raises((ServiceUnavailable, InternalError)):
            await world.storage.head_bucket(BUCKET)
        await world.fail()


async def test_labels_of_a_bucket_are_in_force_only_if_who_stands_in_knows_them(world):
    world.fallback.fails(Fault.REFUSES)
    await unknown(world.storage.annotate(Address(BUCKET), {"acl": "private"}))
    world.fallback.works()
    world.mirror.fails(Fault.REFUSES)
    await world.storage.annotate(Address(BUCKET), {"acl": "private"})
    await world.fail()
    assert (await world.storage.head_bucket(BUCKET)).labels == {"acl": "private"}


async def test_a_bucket_of_which_something_is_left_to_be_done_is_not_deleted(world):
    await put(world.storage, AT)
    await world.storage.delete(AT)
    with pytest.raises(BucketNotEmpty):
        await world.storage.delete_bucket(BUCKET)
    await world.mirrored()
    await world.storage.delete_bucket(BUCKET)
    await world.sweep()
    assert await names(world.primary) == await names(world.fallback) == []
    assert await names(world.mirror) == [BUCKET], "a mirror keeps what it has"


async def test_a_bucket_with_what_was_written_in_an_outage_is_not_deleted(world):
    await world.fail()
    await put(world.storage, AT)
    await world.recover()
    with pytest.raises(BucketNotEmpty):
        await world.storage.delete_bucket(BUCKET)
    assert BUCKET in await names(world.fallback)


async def test_the_fallback_never_tells_of_a_bucket_that_is_gone(world):
    world.fallback.fails(Fault.REFUSES)
    await world.storage.delete_bucket(BUCKET)
    world.fallback.works()
    for _ in range(2):
        world.primary.fails(Fault.LOSES_ANSWER)
        with pytest.raises(ServiceUnavailable):
            await world.storage.head_bucket(BUCKET)
        assert await world.storage.list_buckets() == []
        await world.fail()
    await refused(put(world.storage, AT))


async def test_a_bucket_whose_deletion_was_refused_is_told_of_as_before(world):
    await put(world.storage, AT)
    await world.mirrored()
    with pytest.raises(BucketNotEmpty):
        await world.storage.delete_bucket(BUCKET)
    world.primary.fails(Fault.REFUSES, "delete_bucket")
    await world.storage.delete(AT)
    await world.mirrored()
    await refused(world.storage.delete_bucket(BUCKET))
    await world.fail()
    assert (await world.storage.head_bucket(BUCKET)).name == BUCKET


async def test_nobody_tells_of_a_bucket_whose_deletion_got_no_answer_until_the_primary_does(world):
    world.primary.fails(Fault.LOSES_QUESTION, "delete_bucket")
    await unknown(world.storage.delete_bucket(BUCKET))
    await world.fail()
    await refused(world.storage.create_bucket(BUCKET, {}))
    with pytest.raises(ServiceUnavailable):
        await world.storage.head_bucket(BUCKET)
    await refused(put(world.storage, AT))
    await world.recover()
    assert (await world.storage.head_bucket(BUCKET)).name == BUCKET
    await world.journal.buckets.remain([BUCKET])
    await world.fail()
    assert (await world.storage.head_bucket(BUCKET)).name == BUCKET


async def test_what_waits_on_the_fallback_to_be_cleared_away_keeps_no_bucket_from_being_deleted():
    world = await World(timing=replace(TIMING, hold=100.0)).ready(BUCKET)
    op = await world.journal.begin(AT, Kind.PUT, on_fallback=True)
    await put(world.fallback.inner, Address(BUCKET, op.staged))
    await settled(world.journal, (op, Outcome.REFUSED))
    await world.storage.delete_bucket(BUCKET)
    assert await names(world.primary) == []


async def test_a_bucket_that_is_made_again_stays_on_the_fallback(world):
    await world.storage.delete_bucket(BUCKET)
    await world.storage.create_bucket(BUCKET, {})
    await world.sweep()
    assert await names(world.fallback) == [BUCKET]


async def test_a_bucket_with_objects_stays_on_the_fallback_too(world):
    await put(world.storage, AT)
    await world.mirrored()
    with pytest.raises(BucketNotEmpty):
        await world.storage.delete_bucket(BUCKET)
    assert BUCKET in await names(world.fallback)
