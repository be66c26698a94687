"""The end of a lazy migration: all is copied, what is dead goes, and nothing is missed."""

import pytest

from gateway.migration.copying import is_migrated
from gateway.migration.ending import Ending, Left
from gateway.migration.walking import Sides, Sign
from gateway.replication.window import Window
from gateway.storage import Address
from tests.backends.given import put, read
from tests.routing.lazy.world import BUCKET, KEY, World
from tests.state.databases import opened

LEFT, GONE, COPIED, OWN = (Address(BUCKET, key) for key in ("left", "gone", "copied", "own"))


@pytest.fixture
async def world(tmp_path):
    """A bucket that is half moved: one key is left, one was deleted, one was deleted when it had been copied."""
    async with opened("sqlite", tmp_path) as store:
        world = await World(store).ready(**{KEY.key: b"old", "left": b"l", "gone": b"g", "copied": b"c", "own": b"o"})
        await world.copy(COPIED)
        await world.copy(KEY)
        await world.storage.delete(KEY)
        await world.storage.delete(GONE)
        await put(world.storage, OWN, b"new")
        yield world


def ending(world):
    return Ending(Sides(world.old, world.new, BUCKET, Window(4)), world.tombs)


async def test_what_is_left_is_counted(world):
    assert await ending(world).left() == Left(keys=1, copies=1, buried=2)


async def test_what_is_left_is_copied_and_what_is_dead_is_not(world):
    steps = [step async for step in ending(world).copy()]
    assert [(step.mark, step.key) for step in steps] == [(Sign.COPIED, "left")]
    assert is_migrated(await world.new.inner.head(LEFT))
    assert await ending(world).left() == Left(keys=0, copies=1, buried=2)
    assert await world.seen(KEY) is None
    assert await world.seen(OWN) == b"new"


async def test_a_key_that_is_deleted_while_it_is_copied_is_not(world):
    async def delete():
        await world.tombs.bury(LEFT)

    world.old.before["get"] = delete
    assert [step async for step in ending(world).copy()] == []
    assert await world.seen(LEFT) is None


async def test_only_dead_copies_are_swept(world):
    await put(world.storage, GONE, b"again")
    steps = [step async for step in ending(world).sweep()]
    assert [(step.mark, step.key) for step in steps] == [(Sign.DELETED, KEY.key)]
    assert await read(world.new.inner, GONE) == b"again"
    assert (await ending(world).left()).copies == 0


async def test_when_all_is_done_the_new_storage_alone_says_the_same(world):
    told = {at.key: await world.seen(at) for at in (KEY, LEFT, GONE, COPIED, OWN)}
    for work in (ending(world).copy(), ending(world).sweep()):
        async for step in work:
            assert step.mark is not Sign.FAILED
    assert (await ending(world).left()).is_nothing
    world.storage = world.new.inner
    assert {at.key: await world.seen(at) for at in (KEY, LEFT, GONE, COPIED, OWN)} == told


async def test_what_cannot_be_copied_is_told_and_left(world):
    async def fail():
        world.old.down = True

    world.old.before["get"] = fail
    assert [step.mark async for step in ending(world).copy()] == [Sign.FAILED]
    world.old.down = False
    assert (await ending(world).left()).keys == 1
