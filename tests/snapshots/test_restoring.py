"""What a snapshot names is had again as it was then, or not at all, and never over anything."""

from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from gateway.backends.memory import Memory
from gateway.conditions import ANY_STATE
from gateway.errors import BucketNotEmpty, NotImplementedByGateway, ServiceUnavailable
from gateway.snapshots.finding import Past
from gateway.snapshots.restoring import Outcome, Restore, Room
from gateway.storage import Address, ListQuery, ReadOptions, WriteOptions
from tests.backends.given import keys, put, read
from tests.replication.conftest import scene, timed  # noqa: F401  fixtures
from tests.replication.scene import AT, BUCKET, MIB
from tests.snapshots.test_comparing import LONG, mirrored, taken  # noqa: F401  a fixture among them

TO = "again"


@pytest.fixture
async def target():
    target = Memory("target")
    await target.create_bucket(TO, {})
    return target


async def restored(snapshot, target, prefix="", past=Past, **options):
    """Restore a snapshot, and return what became of each key."""
    async with snapshot.shelf.opened(snapshot.head.id) as manifest:
        then = past(snapshot.scene.mirror, BUCKET, manifest.head.since)
        work = Restore(then, target, TO, **options)
        return {result.key: result.outcome async for result in work.run(manifest, prefix, lambda _: True)}


async def test_what_is_as_it_was_is_restored(mirrored, target):  # noqa: F811  a fixture
    options = WriteOptions({"content-type": "image/png"}, {"colour": "blå"}, {"owner": "me"}, checksum="SHA256")
    stored = await mirrored.put(b"data", options=options)
    snapshot = await taken(mirrored)
    assert await restored(snapshot, target) == {AT.key: Outcome.RESTORED}
    again = await target.head(Address(TO, AT.key))
    assert replace(again, modified=stored.modified) == stored
    assert await read(target, Address(TO, AT.key)) == b"data"


@pytest.mark.parametrize("key", ["a", LONG])
async def test_what_was_replaced_or_deleted_since_is_restored_as_it_was(mirrored, target, key):  # noqa: F811
    snapshot = await taken(mirrored, "gone", key)
    for number in range(3):
        await mirrored.put(b"%d" % number, Address(BUCKET, key))
        assert await mirrored.mirrored()
    await mirrored.delete(Address(BUCKET, "gone"))
    await mirrored.put(b"new", Address(BUCKET, "more"))
    assert await mirrored.mirrored()
    assert await restored(snapshot, target) == {"gone": Outcome.KEPT, key: Outcome.KEPT}
    assert await keys(target, TO) == sorted(["gone", key])
    assert [await read(target, Address(TO, each)) for each in ("gone", key)] == [b"old"] * 2


async def test_an_object_of_parts_is_restored_of_the_same_parts(mirrored, target):  # noqa: F811
    stored = await mirrored.upload([5 * MIB, 1])
    snapshot = await taken(mirrored)
    await mirrored.delete()
    assert await mirrored.mirrored()
    assert await restored(snapshot, target) == {AT.key: Outcome.KEPT}
    again = await target.head(Address(TO, AT.key), ReadOptions(parts=True))
    assert (again.etag, [part.size for part in again.parts]) == (stored.etag, [5 * MIB, 1])


async def test_what_is_kept_no_more_is_lost_and_the_rest_is_restored(mirrored, target):  # noqa: F811
    snapshot = await taken(mirrored, "a", "b")
    mirrored.mirroring = mirrored.worker(protect=0.0)
    await mirrored.put(b"new", Address(BUCKET, "a"))
    assert await mirrored.mirrored()
    assert await restored(snapshot, target) == {"a": Outcome.LOST, "b": Outcome.RESTORED}
    assert await keys(target, TO) == ["b"]


async def test_nothing_is_overwritten(mirrored, target):  # noqa: F811
    snapshot = await taken(mirrored, "a", "b")
    await put(target, Address(TO, "a"), b"another")
    assert await restored(snapshot, target) == {"a": Outcome.TAKEN, "b": Outcome.RESTORED}
    assert await read(target, Address(TO, "a")) == b"another"
    assert await restored(snapshot, target) == {"a": Outcome.TAKEN, "b": Outcome.THERE}


async def test_nothing_is_overwritten_where_the_target_knows_no_conditions(mirrored, target, monkeypatch):  # noqa: F811
    snapshot = await taken(mirrored, "a", "b")
    await put(target, Address(TO, "a"), b"another")
    put_there = target.put

    async def put_without(at, body, options):
        if options.conditions != ANY_STATE:
            raise NotImplementedByGateway
        return await put_there(at, body, options)

    monkeypatch.setattr(target, "put", put_without)
    assert await restored(snapshot, target) == {"a": Outcome.TAKEN, "b": Outcome.RESTORED}
    assert await read(target, Address(TO, "a")) == b"another"


async def test_a_dry_run_says_the_same_and_writes_nothing(mirrored, target):  # noqa: F811
    snapshot = await taken(mirrored, "a", "b")
    await mirrored.delete(Address(BUCKET, "a"))
    assert await mirrored.mirrored()
    assert await restored(snapshot, target, dry=True) == {"a": Outcome.KEPT, "b": Outcome.RESTORED}
    assert await keys(target, TO) == []


async def test_only_what_begins_so_is_restored(mirrored, target):  # noqa: F811
    snapshot = await taken(mirrored, "a/1", "b/1", "b/2")
    assert list(await restored(snapshot, target, "b/")) == ["b/1", "b/2"]


async def test_what_is_replaced_while_it_is_read_is_taken_from_what_is_kept(mirrored, target):  # noqa: F811
    """Between the look at it and the reading of it, the mirror gets a newer state."""
    snapshot = await taken(mirrored, "a")
    await mirrored.put(b"new", Address(BUCKET, "a"))
    found = []

    class Overtaken(Past):
        async def find(self, entry):
            found.append(await super().find(entry))
            await mirrored.mirrored()
            return found[-1]

    assert await restored(snapshot, target, past=Overtaken) == {"a": Outcome.KEPT}
    assert found[0] == Address(BUCKET, "a")
    assert await read(target, Address(TO, "a")) == b"old"


async def test_what_one_object_fails_of_stops_no_other(mirrored, target, monkeypatch):  # noqa: F811
    snapshot = await taken(mirrored, "a", "b")
    put_there = target.put

    async def failing(at, body, options):
        if at.key == "a":
            raise ServiceUnavailable
        return await put_there(at, body, options)

    monkeypatch.setattr(target, "put", failing)
    assert await restored(snapshot, target) == {"a": Outcome.FAILED, "b": Outcome.RESTORED}


async def test_bytes_that_are_not_those_of_the_snapshot_are_not_restored(mirrored, target, monkeypatch):  # noqa: F811
    """The mirror has other bytes under the right stamp, and tells no checksum of its own."""
    snapshot = await taken(mirrored, "a", "b")
    storage, at = mirrored.mirror.inner, Address(BUCKET, "a")
    held = await storage.head(at)
    await put(storage, at, b"olt", WriteOptions(held.headers, held.metadata, held.labels))
    head, get = storage.head, storage.get

    async def silent_head(*arguments):
        return replace(await head(*arguments), checksum=None)

    @asynccontextmanager
    async def silent_get(*arguments):
        async with get(*arguments) as download:
            yield download._replace(info=replace(download.info, checksum=None))

    monkeypatch.setattr(storage, "head", silent_head)
    monkeypatch.setattr(storage, "get", silent_get)
    assert await restored(snapshot, target) == {"a": Outcome.FAILED, "b": Outcome.RESTORED}
    assert await keys(target, TO) == ["b"]


# --- into which bucket ---


async def test_only_an_empty_bucket_is_restored_into(target):
    room = Room(target, TO)
    await room.enter("one", {})
    await put(target, Address(TO, "a"), b"")
    await room.enter("one", {})
    with pytest.raises(BucketNotEmpty):
        await room.enter("another", {})
    await room.leave()
    with pytest.raises(BucketNotEmpty):
        await room.enter("one", {})
    with pytest.raises(BucketNotEmpty):
        await room.check("one")
    assert await keys(target, TO) == ["a"]


async def test_a_bucket_that_is_not_there_is_made_as_the_old_one(target):
    room = Room(target, "new")
    await room.check("one")
    await room.enter("one", {"owner": "me"})
    assert (await target.head_bucket("new")).labels == {"owner": "me"}


async def test_a_mark_that_says_nothing_is_no_leave_to_write(target):
    await put(target, Address(TO, ".gw/restoring"), b"[]")
    await put(target, Address(TO, "a"), b"")
    with pytest.raises(BucketNotEmpty):
        await Room(target, TO).enter("one", {})
    assert await keys(target, TO, ListQuery("a")) == ["a"]
