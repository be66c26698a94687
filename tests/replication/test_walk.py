"""Every key of two buckets, in one order."""

import pytest

from gateway.backends.memory import Memory
from gateway.errors import NoSuchBucket
from gateway.replication.walk import side_by_side
from gateway.storage import PRIVATE, Address, ListPage
from tests.backends.given import in_order, put

BUCKET = "bucket"


async def storage(*names, page=1000):
    class Paged(Memory):
        async def list_objects(self, bucket, query):
            return await super().list_objects(bucket, query._replace(limit=page))

    made = Paged()
    await made.create_bucket(BUCKET, {})
    for name in names:
        await put(made, Address(BUCKET, name), name.encode())
    return made


async def walked(left, right, prefix=""):
    pairs = [pair async for pair in side_by_side(BUCKET, left, right, prefix)]
    return [(pair.key, pair.source is not None, pair.copy is not None) for pair in pairs]


@pytest.mark.parametrize("page", [1, 2, 1000])
async def test_each_key_is_told_once_with_where_it_is(page):
    left, right = await storage("a", "b", "d", page=page), await storage("b", "c", "d", "e", page=page)
    assert await walked(left, right) == [
        ("a", True, False),
        ("b", True, True),
        ("c", False, True),
        ("d", True, True),
        ("e", False, True),
    ]


async def test_what_is_told_is_of_the_key_itself():
    left, right = await storage("a", "b"), await storage("b", "c")
    async for pair in side_by_side(BUCKET, left, right):
        assert {info.key for info in (pair.source, pair.copy) if info} == {pair.key}


async def test_the_order_is_that_of_utf_8_not_of_python():
    names = ["\uffff", "\U00010000", "a"]
    left, right = await storage(*names), await storage(*names)
    told = [key for key, *_ in await walked(left, right)]
    assert told == in_order(names)
    left, right = await storage("\uffff"), await storage("\U00010000")
    assert [key for key, *_ in await walked(left, right)] == ["\uffff", "\U00010000"]


@pytest.mark.parametrize("page", [1, 3, 1000])
async def test_the_gateways_own_keys_are_left_out(page):
    own = [f"{PRIVATE}stage/{number}" for number in range(5)]
    left, right = await storage("!", *own, "a", page=page), await storage(*own, "a", page=page)
    assert await walked(left, right) == [("!", True, False), ("a", True, True)]


async def test_pages_of_the_gateways_own_are_passed_over_at_once():
    own = [f"{PRIVATE}stage/{number}" for number in range(50)]
    left = await storage(*own, "a", page=1)
    asked = []
    listing = left.list_objects

    async def counted(bucket, query):
        asked.append(query.after)
        return await listing(bucket, query)

    left.list_objects = counted
    await walked(left, await storage())
    assert len(asked) == 2


async def test_a_prefix_is_all_that_is_walked_through():
    left, right = await storage("a/1", "b/1"), await storage("a/2", "c/1")
    assert await walked(left, right, "a/") == [("a/1", True, False), ("a/2", False, True)]


async def test_nothing_beside_nothing_is_nothing():
    assert await walked(await storage(), await storage()) == []


async def test_a_bucket_that_is_gone_is_no_empty_one():
    right = await storage("a")
    right._buckets.clear()
    with pytest.raises(NoSuchBucket):
        await walked(await storage("a"), right)


async def test_a_page_that_cannot_be_read_ends_the_walk():
    left = await storage("a", "b", page=1)
    listing = left.list_objects

    async def breaking(bucket, query):
        if query.after:
            raise NoSuchBucket
        return await listing(bucket, query)

    left.list_objects = breaking
    with pytest.raises(NoSuchBucket):
        await walked(left, await storage())


async def test_an_empty_page_that_is_not_the_last_is_no_end():
    left = await storage("a")
    listing = left.list_objects

    async def late(bucket, query):
        return await listing(bucket, query) if query.after else ListPage([], [], "!")

    left.list_objects = late
    assert await walked(left, await storage()) == [("a", True, False)]
