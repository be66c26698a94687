"""Listings of a bucket that moves: both storages in one, without what is dead."""

import random

import pytest

from gateway.backends.memory import Memory
from gateway.errors import BucketAlreadyExists, BucketNotEmpty, NoSuchBucket
from gateway.storage import Address, ListQuery
from tests.backends.given import put
from tests.routing.lazy.world import BUCKET, KEY, World, failed
from tests.state.databases import opened

NAMES = [f"{folder}{name}" for folder in ("", "a/", "a/b/", "c/", "d") for name in ("1", "2", "3", "~")]


async def pages(storage, query):
    """All items of a listing, page by page."""
    found = []
    while True:
        page = await storage.list_objects(BUCKET, query)
        found.append(([info.key for info in page.objects], [info.etag for info in page.objects], list(page.prefixes)))
        if not page.last:
            return found
        query = query._replace(after=page.last)


async def test_a_listing_is_that_of_one_storage_that_always_had_it_all(tmp_path):
    dice = random.Random(5)
    for turn in range(12):
        (folder := tmp_path / str(turn)).mkdir()
        async with opened("sqlite", folder) as store:
            world, model = await World(store).ready(), Memory("model")
            await model.create_bucket(BUCKET, {})
            for name in NAMES:
                at = Address(BUCKET, name)
                if dice.random() < 0.6:
                    await world.put_old(at)
                    await put(model, at, b"old")
                for _ in range(dice.randrange(3)):
                    what = dice.choice(("delete", "delete", "put", "copy"))
                    if what == "copy" and await world.old.inner.list_objects(BUCKET, ListQuery(name)):
                        await world.copy(at)
                    elif what == "delete":
                        await world.storage.delete(at)
                        await model.delete(at)
                    elif what == "put":
                        await put(world.storage, at, b"new")
                        await put(model, at, b"new")
            for query in (
                *(ListQuery(limit=limit, delimiter=delimiter) for limit in (1, 3, 1000) for delimiter in ("", "/")),
                *(ListQuery("a/", "/", limit=2), ListQuery("a/", "/", "a/b/1", 2), ListQuery("", "/", "a/2", 1)),
                *(ListQuery("nothing"), ListQuery("d", "~")),
            ):
                assert await pages(world.storage, query) == await pages(model, query), (turn, query)


async def test_without_the_old_storage_nothing_is_listed(world):
    world.old.down = True
    assert await failed(world.storage.list_objects(BUCKET, ListQuery())) == "ServiceUnavailable"


async def test_a_bucket_that_only_the_old_storage_has_is_there(world):
    await world.new.inner.delete_bucket(BUCKET)
    storage = world.gateway()
    assert await failed(storage.create_bucket(BUCKET, {})) == "BucketAlreadyExists"
    assert (await storage.head_bucket(BUCKET)).labels == {"owner": "me"}
    assert await world.seen() == b"old"


async def test_a_bucket_is_not_taken_to_be_missing_while_the_old_storage_cannot_be_asked(world):
    await world.new.inner.delete_bucket(BUCKET)
    storage = world.gateway()
    world.old.down = True
    assert await failed(storage.head_bucket(BUCKET)) == "ServiceUnavailable"
    assert await failed(storage.create_bucket(BUCKET, {})) == "ServiceUnavailable"


async def test_a_bucket_is_not_deleted_while_it_shows_anything_and_then_for_good(world):
    with pytest.raises(BucketNotEmpty):
        await world.storage.delete_bucket(BUCKET)
    await world.storage.delete(KEY)
    await world.storage.delete_bucket(BUCKET)
    for storage in (world.storage, world.gateway()):
        with pytest.raises(NoSuchBucket):
            await storage.head_bucket(BUCKET)
    await world.storage.create_bucket(BUCKET, {})
    assert await world.seen() is None
    with pytest.raises(BucketAlreadyExists):
        await world.storage.create_bucket(BUCKET, {})
