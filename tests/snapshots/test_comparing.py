"""What a bucket holds now is compared with what it held, and what went is looked for where the mirror keeps it."""

from datetime import UTC, datetime

import pytest

from gateway.errors import ServiceUnavailable
from gateway.replication.comparing import Level
from gateway.replication.keeping import Keeping
from gateway.snapshots.comparing import Comparison, Mark
from gateway.snapshots.finding import Past
from gateway.snapshots.manifest import Subject
from gateway.snapshots.shelf import Shelf
from gateway.snapshots.signing import Signer
from gateway.snapshots.taking import take
from gateway.storage import Address, WriteOptions
from tests.backends.given import put
from tests.replication.conftest import scene, timed  # noqa: F401  fixtures
from tests.replication.scene import AT, BUCKET, MIB
from tests.snapshots.shelved import KEY

LONG = "k" * 900


@pytest.fixture
async def mirrored(scene):  # noqa: F811  a fixture
    """With a mirror that keeps for a month what goes from it."""
    scene.mirroring = scene.worker(protect=30 * 86400.0)
    return scene


class Taken:
    """A snapshot of the mirror."""

    def __init__(self, scene):  # noqa: F811
        self.scene, self.shelf = scene, Shelf(scene.mirror, BUCKET, BUCKET, Signer([KEY]))

    async def now(self):
        self.head = await take(
            self.scene.mirror, Subject(BUCKET, BUCKET, "copy"), self.shelf, datetime.now(UTC), lambda _: None
        )
        return self

    async def found(self, level=Level.L1):
        async with self.shelf.opened(self.head.id) as manifest:
            past = Past(self.scene.mirror, BUCKET, manifest.head.since)
            return [finding async for finding in Comparison(past, manifest, level).run()]

    async def marks(self, level=Level.L1):
        return [(found.mark, found.key, found.why) for found in await self.found(level)]


async def taken(mirrored, *keys):
    for key in keys:
        await mirrored.put(b"old", Address(BUCKET, key))
    assert await mirrored.mirrored()
    return await Taken(mirrored).now()


@pytest.mark.parametrize("level", [Level.L1, Level.L2])
async def test_what_is_as_it_was_is_the_same(mirrored, level):
    assert await (await taken(mirrored, "a", "b")).marks(level) == [(Mark.SAME, "a", ""), (Mark.SAME, "b", "")]


@pytest.mark.parametrize("key", ["a", LONG])
@pytest.mark.parametrize("level", [Level.L1, Level.L2])
async def test_what_was_replaced_or_deleted_is_kept(mirrored, key, level):
    snapshot = await taken(mirrored, "gone", key)
    await mirrored.put(b"new", Address(BUCKET, key))
    await mirrored.delete(Address(BUCKET, "gone"))
    await mirrored.put(b"new", Address(BUCKET, "more"))
    assert await mirrored.mirrored()
    found = {key: (mark, why) for mark, key, why in await snapshot.marks(level)}
    assert found == {"gone": (Mark.GONE, "kept"), key: (Mark.CHANGED, "kept"), "more": (Mark.NEW, "")}


async def test_the_state_of_then_is_found_among_all_that_were(mirrored):
    snapshot = await taken(mirrored, "a")
    for number in range(3):
        await mirrored.put(b"%d" % number, Address(BUCKET, "a"))
        assert await mirrored.mirrored()
    assert await snapshot.marks() == [(Mark.CHANGED, "a", "kept")]


async def test_an_object_of_parts_is_kept(mirrored):
    await mirrored.upload([5 * MIB, 1])
    snapshot = await taken(mirrored)
    await mirrored.delete()
    assert await mirrored.mirrored()
    assert await snapshot.marks(Level.L2) == [(Mark.GONE, AT.key, "kept")]


async def test_an_object_that_was_there_before_the_gateway_is_kept(mirrored):
    await put(mirrored.mirror.inner, AT, b"foreign", WriteOptions({"content-type": "image/png"}))
    snapshot = await taken(mirrored)
    await mirrored.put(b"new")
    assert await mirrored.mirrored()
    assert await snapshot.marks() == [(Mark.CHANGED, AT.key, "kept")]


async def test_what_is_kept_no_more_is_lost(mirrored):
    snapshot = await taken(mirrored, "a")
    mirrored.mirroring = mirrored.worker(protect=0.0)
    await mirrored.delete(Address(BUCKET, "a"))
    assert await mirrored.mirrored()
    assert [tuple(found) for found in await snapshot.found()] == [(Mark.GONE, "a", "lost", True)]


async def test_another_state_under_its_name_is_not_taken_for_it(mirrored):
    snapshot = await taken(mirrored, "a")
    at = Address(BUCKET, "a")
    held = await mirrored.mirror.inner.head(at)
    await put(mirrored.mirror.inner, at, b"evil", WriteOptions({"x": "y"}, labels=held.labels))
    other = await mirrored.mirror.inner.head(at)
    await Keeping(mirrored.mirror, 1.0).keep(at, other)
    await mirrored.mirror.inner.delete(at)
    assert [(found.mark, found.lost) for found in await snapshot.found()] == [(Mark.GONE, True)]


async def test_metadata_that_changed_is_a_change(mirrored):
    snapshot = await taken(mirrored, "a")
    at = Address(BUCKET, "a")
    await mirrored.put(b"old", at, WriteOptions({"content-type": "text/html"}))
    assert await mirrored.mirrored()
    assert await snapshot.marks() == [(Mark.CHANGED, "a", "kept")]


async def test_bytes_that_rotted_are_found_by_reading_them(mirrored):
    snapshot = await taken(mirrored, "a")
    at = Address(BUCKET, "a")
    rotting = await mirrored.mirror.inner.head(at)
    await put(mirrored.mirror.inner, at, b"olt", WriteOptions(rotting.headers, rotting.metadata, rotting.labels))
    assert [found.lost for found in await snapshot.found(Level.L2)] == [True]


async def test_a_mirror_that_does_not_answer_tells_nothing(mirrored):
    snapshot = await taken(mirrored, "a")
    head = mirrored.mirror.inner.head

    async def failing(at, options=None):
        raise ServiceUnavailable

    mirrored.mirror.inner.head = failing
    marks = await snapshot.marks()
    mirrored.mirror.inner.head = head
    assert [(mark, key) for mark, key, _ in marks] == [(Mark.ERROR, "a")]


async def test_it_is_of_its_time(mirrored):
    before = datetime.now(UTC)
    assert (await taken(mirrored, "a")).head.since >= before
