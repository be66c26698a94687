import asyncio

import pytest

from gateway.migration.tombs import Burial
from gateway.storage import Address
from tests.routing.lazy.world import tombs_in
from tests.state.databases import KINDS, opened
from tests.state.timed import Timed

KEY = Address("media", "designs/42.png")


@pytest.fixture(params=KINDS)
async def store(request, tmp_path):
    async with opened(request.param, tmp_path) as inner:
        yield Timed(inner)


async def test_a_key_is_buried_once_and_stays_so(store):
    tombs = tombs_in(store)
    assert not await tombs.is_buried(KEY)
    assert [await tombs.bury(KEY) for _ in range(2)] == [Burial.FRESH, Burial.BEFORE]
    assert await tombs.is_buried(KEY)
    assert not await tombs.is_buried(KEY._replace(key="designs/43.png"))
    assert not await tombs.is_buried(KEY._replace(bucket="other"))


async def test_of_many_who_bury_a_key_at_once_one_is_the_first(store):
    told = await asyncio.gather(*(tombs_in(store, str(node)).bury(KEY) for node in range(8)))
    assert told.count(Burial.FRESH) == 1


async def test_nobody_buries_or_holds_a_key_that_is_held(store):
    tombs, other = tombs_in(store), tombs_in(store, "other")
    hold = await tombs.hold(KEY, 10)
    assert hold
    assert not hold.buried
    assert await other.hold(KEY, 10) is None
    assert await other.bury(KEY) is Burial.HELD
    assert not await other.is_buried(KEY)
    assert await tombs.let_go(hold, buried=False)
    assert await other.bury(KEY) is Burial.FRESH


async def test_what_is_decided_may_bury_the_key(store):
    tombs = tombs_in(store)
    assert await tombs.let_go(await tombs.hold(KEY, 10), buried=True)
    assert await tombs.bury(KEY) is Burial.BEFORE


async def test_a_buried_key_can_be_held_and_stays_buried(store):
    tombs = tombs_in(store)
    await tombs.bury(KEY)
    hold = await tombs.hold(KEY, 10)
    assert hold.buried
    assert await tombs.is_buried(KEY)
    assert await tombs.bury(KEY) is Burial.BEFORE
    await tombs.let_go(hold, buried=False)
    assert await tombs.is_buried(KEY)


async def test_a_hold_ends_of_itself_and_then_means_nothing(store):
    tombs = tombs_in(store)
    first = await tombs.hold(KEY, 10)
    store.later(11)
    second = await tombs_in(store, "other").hold(KEY, 10)
    assert second
    assert not await tombs.let_go(first, buried=True)
    assert not await tombs.is_buried(KEY)
    assert await tombs.let_go(second, buried=False)


async def test_buried_keys_are_found_by_name_by_prefix_and_in_order(store):
    tombs = tombs_in(store)
    for key in ("a/1", "a/2", "b", "", "é"):
        await tombs.bury(Address("media", key))
    await tombs.hold(Address("media", "c/held"), 10)
    assert await tombs.among("media", ["a/1", "b", "c", "c/held"], ["a/", "c/", "é"]) == {"a/1", "b", "a/", "é"}
    assert await tombs.among("media", [], []) == set()
    assert await tombs.page("media", "", 3) == ["a/1", "a/2", "b"]
    assert await tombs.page("media", "b", 3) == ["é"]
    assert await tombs.page("other", "", 3) == []
