"""What is listed of a replicated bucket in each mode."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import InternalError, NoSuchBucket, ServiceUnavailable
from gateway.replication.records import Baseline, Mode
from gateway.storage import Address, ListQuery
from tests.backends.given import folded, in_order, keys, put
from tests.backends.promises.listings import ANY_QUERY, NAMES, TREE
from tests.routing.replicated.world import BUCKET, Fault, World


@pytest.fixture
async def world():
    return await World().ready(BUCKET)


async def fill(world, names, data=b"data"):
    for name in names:
        await put(world.storage, Address(BUCKET, name), data)


@settings(
    max_examples=100,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
@given(
    before=NAMES,
    deleted=st.sets(st.integers(0, 11)),
    during=NAMES,
    healed=st.integers(0, 8),
    query=ANY_QUERY,
    mode=st.sampled_from([Mode.FAILOVER, Mode.HEALING]),
)
async def test_any_listing_is_what_the_plainest_model_says(  # noqa: PLR0913, PLR0917  what a world is made of
    before, deleted, during, healed, query, mode
):
    world = await World().ready(BUCKET)
    await fill(world, before)
    await world.mirrored()
    await world.fail()
    gone = {before[n] for n in deleted if n < len(before)}
    for name in gone:
        await world.storage.delete(Address(BUCKET, name))
    await fill(world, during)
    if mode is Mode.HEALING:
        await world.recover()
        await world.heal_some(healed)
    left = (set(before) - gone) | set(during)
    assert await keys(world.storage, BUCKET, query) == folded(left, query)


async def test_a_listing_tells_what_the_newest_state_is(world):
    await fill(world, ["a", "b"], b"old")
    await world.mirrored()
    await world.fail()
    await fill(world, ["b", "c"], b"newer")
    for _ in range(2):
        page = await world.storage.list_objects(BUCKET, ListQuery())
        assert [(info.key, info.size) for info in page.objects] == [("a", 3), ("b", 5), ("c", 5)]
        for info in page.objects:
            shown = await world.storage.head(Address(BUCKET, info.key))
            assert (info.etag, info.modified) == (shown.etag, shown.modified)
        await world.recover()


async def test_a_page_may_begin_in_one_mode_and_the_next_in_another(world):
    await fill(world, TREE)
    await world.mirrored()
    found, after = [], ""
    turns = [world.fail, world.recover, world.heal, world.fail, world.recover, world.heal]
    while True:
        page = await world.storage.list_objects(BUCKET, ListQuery(delimiter="/", after=after, limit=1))
        found += in_order([*(info.key for info in page.objects), *page.prefixes])
        after = page.last
        if not after:
            break
        await turns.pop(0)()
    assert found == folded(TREE, ListQuery(delimiter="/"))


async def test_what_a_mirror_lacks_is_listed_all_the_same(world):
    await fill(world, ["a", "b"])
    await world.mirrored()
    await fill(world, ["c"])
    await world.storage.delete(Address(BUCKET, "a"))
    await world.journal.drained()
    await world.fail()
    assert await keys(world.storage, BUCKET) == ["b", "c"]


async def test_what_nobody_knows_to_have_been_written_is_listed_as_the_mirror_has_it(world):
    await fill(world, ["a"])
    await world.mirrored()
    world.primary.fails(Fault.LOSES_ANSWER)
    for name in ("a", "b"):
        with pytest.raises(InternalError):
            await put(world.storage, Address(BUCKET, name), b"other")
    await world.journal.drained()
    await world.fail()
    assert await keys(world.storage, BUCKET) == ["a"]


async def test_only_a_mirror_that_was_given_everything_is_listed(world):
    await fill(world, ["a"])
    await world.mirrored()
    await world.fail()
    await world.journal.set_baseline("mirror", Baseline.INVALID)
    with pytest.raises(ServiceUnavailable) as caught:
        await world.storage.list_objects(BUCKET, ListQuery())
    assert caught.value.headers["x-gw-reason"] == "not-current"


@pytest.mark.parametrize("fault", [Fault.REFUSES, Fault.LOSES_ANSWER])
async def test_a_listing_that_gets_no_answer_is_never_an_empty_one(world, fault):
    for mode in (Mode.NORMAL, Mode.FAILOVER, Mode.HEALING):
        for storage in (world.primary, world.mirror):
            storage.fails(fault)
        if mode is not Mode.NORMAL:
            await world.turn(mode)
        await put_row(world, mode)
        with pytest.raises((ServiceUnavailable, InternalError)):
            await world.storage.list_objects(BUCKET, ListQuery())


async def put_row(world, mode):
    if mode is Mode.FAILOVER:
        await put(world.storage, Address(BUCKET, "row"))


async def test_a_bucket_that_a_mirror_lacks_is_not_known_to_be_missing(world):
    await world.fail()
    with pytest.raises(ServiceUnavailable):
        await world.storage.list_objects("another", ListQuery())
    await world.recover()
    with pytest.raises(NoSuchBucket):
        await world.storage.list_objects("another", ListQuery())


async def test_without_mirrors_there_is_no_listing_during_an_outage():
    world = await World(mirrors=()).ready(BUCKET)
    await world.fail()
    await fill(world, ["a"])
    with pytest.raises(ServiceUnavailable):
        await world.storage.list_objects(BUCKET, ListQuery())
    await world.recover()
    assert await keys(world.storage, BUCKET) == ["a"]
