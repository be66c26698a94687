"""What clients see of a bucket that moves: what is theirs stays, what they delete never comes back."""

import asyncio

import pytest

from gateway.conditions import Conditions
from gateway.errors import InvalidRange, NoSuchKey, NotModified, PreconditionFailed, ServiceUnavailable
from gateway.migration.copying import is_migrated
from gateway.routing.lazy import writing
from gateway.storage import Address, ReadOptions, WriteOptions
from tests.backends.given import body, completed, put, read
from tests.routing.lazy.world import BUCKET, KEY, failed
from tests.simulation.unruly import BY_HAND, RULES

ABSENT = WriteOptions(conditions=Conditions(if_none_match=("*",)))
OTHER = Address(BUCKET, "other.png")


async def etag(world):
    return (await world.storage.head(KEY)).etag


async def test_what_only_the_old_storage_has_is_read_there_and_wanted(world):
    async with world.storage.get(KEY) as download:
        assert download.info.served_by == "old"
    assert world.wanted == [KEY]
    assert (await world.storage.head(KEY)).served_by == "old"
    assert world.wanted == [KEY]


async def test_a_copy_is_served_as_the_object_that_it_is(world):
    before = await world.old.inner.head(KEY)
    await world.copy()
    info = await world.storage.head(KEY)
    assert (info.served_by, info.etag, info.labels) == ("", before.etag, before.labels)
    assert is_migrated(await world.new.inner.head(KEY))


async def test_what_a_client_has_written_is_read_without_the_old_storage_or_the_database(world, monkeypatch):
    await put(world.storage, KEY, b"new")
    world.old.down = True
    monkeypatch.setattr(world.storage, "is_buried", None)
    assert await read(world.storage, KEY) == b"new"


async def test_the_old_storage_is_never_written(world):
    await put(world.storage, KEY, b"new")
    await world.storage.delete(KEY)
    await world.storage.delete(OTHER)
    await completed(world.storage, KEY, [(1, b"part")])
    assert await read(world.old.inner, KEY) == b"old"
    assert not {"put", "delete", "copy", "annotate", "create_bucket"} & set(world.old.calls)


@pytest.mark.parametrize("copied", ["before", "after", "never"])
async def test_a_delete_is_for_good(world, copied):
    if copied == "before":
        await world.copy()
    await world.storage.delete(KEY)
    if copied == "after":
        await world.copy()
    assert await world.seen() is None
    with pytest.raises(NoSuchKey):
        await world.storage.head(KEY)
    world.old.down = True
    assert await world.seen() is None


@pytest.mark.parametrize("copied", [True, False])
async def test_what_is_written_after_a_delete_is_seen_and_what_is_deleted_again_is_not(world, copied):
    if copied:
        await world.copy()
    await world.storage.delete(KEY)
    await put(world.storage, KEY, b"new")
    assert await world.seen() == b"new"
    await world.storage.delete(KEY)
    assert await world.seen() is None
    await world.copy()
    assert await world.seen() is None


async def test_without_the_old_storage_there_is_no_absence(world):
    await put(world.storage, OTHER, b"new")
    world.old.down = True
    assert await read(world.storage, OTHER) == b"new"
    for at in (KEY, Address(BUCKET, "never-was")):
        for options in (ReadOptions(), ReadOptions(range=slice(0, 1))):
            with pytest.raises(ServiceUnavailable):
                await read(world.storage, at, options)
        with pytest.raises(ServiceUnavailable):
            await world.storage.head(at)
    await world.storage.delete(KEY)
    assert await world.seen() is None


async def test_a_bucket_that_the_old_storage_lacks_is_no_absence_either(world):
    await world.old.inner.delete(KEY)
    await world.old.inner.delete_bucket(BUCKET)
    assert await failed(world.storage.head(KEY)) == "ServiceUnavailable"


async def test_conditions_and_ranges_are_about_what_is_seen(world):
    was = await etag(world)
    for copied in (False, True):
        if copied:
            await world.copy()
        unchanged = ReadOptions(conditions=Conditions(if_none_match=(was,)))
        with pytest.raises(NotModified):
            await world.storage.head(KEY, unchanged)
        with pytest.raises(InvalidRange):
            await read(world.storage, KEY, ReadOptions(range=slice(7, None)))
        assert await read(world.storage, KEY, ReadOptions(range=slice(1, None))) == b"ld"
    await world.storage.delete(KEY)
    for options in (unchanged, ReadOptions(range=slice(7, None)), ReadOptions(part=2)):
        with pytest.raises(NoSuchKey):
            await read(world.storage, KEY, options)
    with pytest.raises(NoSuchKey):
        await world.storage.head(KEY, unchanged)


async def read_while_it_is_deleted(world):
    """A client wrote the key after a reader had looked, and another deletes it: until that is done, it is there."""
    reading, buried, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
    is_buried = world.storage.is_buried

    async def after_all_that(at):
        reading.set()
        await buried.wait()
        return await is_buried(at)

    async def delete_slowly():
        buried.set()
        await go_on.wait()

    world.storage.is_buried = after_all_that
    read_early = asyncio.create_task(world.seen())
    await reading.wait()
    await put(world.storage, KEY, b"new")
    world.new.before["delete"] = delete_slowly
    deleting = asyncio.create_task(world.storage.delete(KEY))
    found = await read_early
    go_on.set()
    await deleting
    return found


async def write_while_it_is_deleted(world):
    """The key is buried, and seen to be gone, and a client writes it, before the delete goes on."""
    bury = world.tombs.bury

    async def then_somebody_writes(at):
        burial = await bury(at)
        world.tombs.bury = bury
        assert await world.seen() is None
        await put(world.storage, KEY, b"new")
        return burial

    world.tombs.bury = then_somebody_writes
    await world.storage.delete(KEY)
    return await world.seen()


BY_CHANCE_SELDOM = {
    "a buried key is looked for again": read_while_it_is_deleted,
    "a delete looks first": write_while_it_is_deleted,
}


def test_all_rules_that_chance_seldom_needs_are_tried_here():
    assert BY_CHANCE_SELDOM.keys() == BY_HAND


@pytest.mark.parametrize("rule", BY_CHANCE_SELDOM)
async def test_what_a_rule_is_for_does_not_happen(world, rule):
    assert await BY_CHANCE_SELDOM[rule](world) == b"new"


@pytest.mark.parametrize("rule", BY_CHANCE_SELDOM)
async def test_without_this_rule_it_does(world, rule):
    world.storage = world.gateway(RULES[rule].lazy)
    assert await BY_CHANCE_SELDOM[rule](world) is None


@pytest.mark.parametrize("copied", [True, False])
async def test_what_is_there_cannot_be_created(world, copied):
    if copied:
        await world.copy()
    with pytest.raises(PreconditionFailed):
        await world.storage.put(KEY, body(b"new"), ABSENT)
    assert await world.seen() == b"old"


@pytest.mark.parametrize("copied", [True, False])
async def test_of_many_who_create_a_deleted_key_one_wins_whatever_they_write(world, copied):
    if copied:
        await world.copy()
    await world.storage.delete(KEY)
    told = await asyncio.gather(*(failed(world.storage.put(KEY, body(b"old"), ABSENT)) for _ in range(6)))
    assert sorted(told) == ["", *["PreconditionFailed"] * 5]
    assert await world.seen() == b"old"


@pytest.mark.parametrize("copied", [True, False])
async def test_a_match_is_about_what_is_seen(world, copied):
    if copied:
        await world.copy()
    match = WriteOptions(conditions=Conditions(if_match=(await etag(world),)))
    other = WriteOptions(conditions=Conditions(if_match=("other",)))
    with pytest.raises(PreconditionFailed):
        await world.storage.put(KEY, body(b"new"), other)
    await world.storage.put(KEY, body(b"new"), match)
    assert await world.seen() == b"new"
    await world.storage.delete(KEY)
    await world.copy()
    with pytest.raises(NoSuchKey):
        await world.storage.put(KEY, body(b"new"), match)
    assert await world.seen() is None


async def test_what_is_too_large_to_be_copied_first_is_replaced_all_the_same(world, monkeypatch):
    monkeypatch.setattr(writing, "COPIED", 2)
    match = WriteOptions(conditions=Conditions(if_match=(await etag(world),)))
    await world.storage.put(KEY, body(b"new"), match)
    assert await world.seen() == b"new"
    assert await failed(world.storage.put(KEY, body(b"newer"), match)) == "PreconditionFailed"
    await world.storage.delete(KEY)
    assert await world.seen() is None


@pytest.mark.parametrize("copied", [True, False])
async def test_a_delete_waits_for_who_decides_and_one_that_comes_first_wins(world, copied):
    if copied:
        await world.copy()
    match = WriteOptions(conditions=Conditions(if_match=(await etag(world),)))
    deleting = []

    async def somebody_deletes():
        deleting.append(asyncio.create_task(world.storage.delete(KEY)))
        await asyncio.sleep(0.05)
        assert not deleting[0].done()

    async def decide():
        hold = world.tombs.hold

        async def held(*args):
            found = await hold(*args)
            world.tombs.hold = hold
            await somebody_deletes()
            return found

        world.tombs.hold = held
        await world.storage.put(KEY, body(b"new"), match)

    await decide()
    await deleting[0]
    assert await world.seen() is None


async def test_a_copy_source_is_read_wherever_it_is(world):
    was = await etag(world)
    await world.storage.copy(KEY, OTHER, WriteOptions(), was)
    assert await read(world.storage, OTHER) == b"old"
    assert not is_migrated(await world.new.inner.head(OTHER))
    upload = await world.storage.create_upload(Address(BUCKET, "joined"))
    part = await world.storage.copy_part(upload, 1, KEY, ReadOptions(range=slice(1, 3)), was)
    assert part.size == 2
    await world.storage.delete(KEY)
    await world.copy()
    for call in (
        world.storage.copy(KEY, OTHER, WriteOptions(), was),
        world.storage.copy_part(upload, 2, KEY, ReadOptions(), was),
    ):
        with pytest.raises(NoSuchKey):
            await call


async def test_labels_of_what_only_the_old_storage_has_are_changed_in_the_new_one(world):
    await world.storage.annotate(KEY, {"owner": "you"})
    assert (await world.storage.head(KEY)).labels == {"owner": "you"}
    assert (await world.old.inner.head(KEY)).labels == {}
    await world.storage.delete(KEY)
    assert await world.seen() is None


async def test_several_gateways_see_the_same(world):
    other = world.gateway()
    await other.delete(KEY)
    assert await world.seen() is None
    await put(other, KEY, b"new")
    assert await world.seen() == b"new"
