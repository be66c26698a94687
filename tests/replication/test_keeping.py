"""What goes from a mirror is there for a while, under another name."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from gateway.errors import AccessDenied
from gateway.replication.keeping import LONGEST, TRASH, Keeping, kept_key
from gateway.routing.private import Private
from gateway.storage import Address, ListQuery, WriteOptions
from tests.backends.given import NASTY, keys, put, read
from tests.replication.given import info
from tests.replication.scene import AT, BUCKET, MIB, found
from tests.routing.replicated.world import Fault

DAY = 86400.0
TODAY = datetime.now(UTC).date()


@pytest.fixture
async def scene(scene):
    """With a mirror that keeps for a month."""
    scene.mirroring = scene.worker(protect=30 * DAY)
    return scene


async def kept(scene):
    """What is kept, by the key it had."""
    names = await keys(scene.mirror.inner, BUCKET, ListQuery(TRASH))
    return [
        (name.split("/", 3)[3].rpartition("@")[0], await found(scene.mirror, Address(BUCKET, name))) for name in names
    ]


async def test_what_is_replaced_is_kept(scene):
    options = WriteOptions({"content-type": "image/png"}, {"colour": "red"}, {"owner": "me"})
    await scene.put(b"old", options=options)
    assert await scene.mirrored()
    before = await scene.mirror.inner.head(AT)
    await scene.put(b"new")
    assert await scene.mirrored()
    assert await kept(scene) == [(AT.key, b"old")]
    [name] = await keys(scene.mirror.inner, BUCKET, ListQuery(TRASH))
    copy = await scene.mirror.inner.head(Address(BUCKET, name))
    assert (copy.headers, copy.metadata, copy.labels) == (before.headers, before.metadata, before.labels)


async def test_what_is_deleted_is_kept(scene):
    await scene.put(b"old")
    assert await scene.mirrored()
    await scene.delete()
    assert await scene.mirrored()
    assert await found(scene.mirror) is None
    assert await kept(scene) == [(AT.key, b"old")]


async def test_what_a_tombstone_deletes_is_kept(scene):
    await scene.put(b"old")
    assert await scene.mirrored()
    await scene.fail_over()
    await scene.journal.bury([AT])
    assert await scene.mirrored()
    assert await kept(scene) == [(AT.key, b"old")]


async def test_what_somebody_else_has_put_there_is_kept(scene):
    await put(scene.mirror.inner, AT, b"foreign")
    await scene.put(b"new")
    assert await scene.mirrored()
    assert await kept(scene) == [(AT.key, b"foreign")]


async def test_each_state_is_kept_for_itself(scene):
    for number in range(3):
        await scene.put(b"%d" % number)
        assert await scene.mirrored()
    await scene.delete()
    assert await scene.mirrored()
    assert sorted(await kept(scene)) == [(AT.key, b"%d" % number) for number in range(3)]


async def test_an_object_made_of_parts_is_kept(scene):
    await scene.upload([5 * MIB, 1])
    assert await scene.mirrored()
    await scene.delete()
    assert await scene.mirrored()
    [(key, data)] = await kept(scene)
    assert (key, len(data)) == (AT.key, 5 * MIB + 1)


async def test_with_nothing_there_nothing_is_kept(scene):
    await scene.put()
    await scene.delete()
    assert await scene.mirrored()
    assert await kept(scene) == []
    assert not scene.mirror.writes


async def test_what_is_not_replaced_is_not_copied(scene):
    await scene.put()
    assert await scene.mirrored()
    await scene.journal.mark(scene.mirror.name, [AT])
    assert await scene.mirrored()
    assert await kept(scene) == []


@pytest.mark.parametrize("fault", [Fault.REFUSES, Fault.LOSES_QUESTION])
async def test_what_cannot_be_kept_is_not_touched(scene, fault):
    await scene.put(b"old")
    assert await scene.mirrored()
    await scene.delete()
    scene.mirror.fails(fault, "copy")
    assert not await scene.mirrored()
    assert await found(scene.mirror) == b"old"
    scene.mirror.works()
    assert await scene.mirrored(), "what was tried in vain leaves no doubt about the key"
    assert await kept(scene) == [(AT.key, b"old")]


async def test_what_changed_under_our_hands_is_not_touched(scene):
    await scene.put(b"old")
    assert await scene.mirrored()
    await scene.put(b"new")
    hold = scene.mirror.hold("copy")
    working = asyncio.create_task(scene.mirroring.work(await scene.claim()))
    await hold.reached.wait()
    await put(scene.mirror.inner, AT, b"other")
    hold.go_on.set()
    await working
    assert await found(scene.mirror) == b"other"
    assert await kept(scene) == []


async def test_a_mirror_that_protects_nothing_keeps_nothing(scene):
    scene.mirroring = scene.worker(protect=0.0)
    await scene.put(b"old")
    assert await scene.mirrored()
    await scene.put(b"new")
    assert await scene.mirrored()
    await scene.delete()
    assert await scene.mirrored()
    assert await keys(scene.mirror.inner, BUCKET) == []


async def test_what_is_kept_is_hidden_from_clients(scene):
    await scene.put(b"old")
    assert await scene.mirrored()
    await scene.delete()
    assert await scene.mirrored()
    [name] = await keys(scene.mirror.inner, BUCKET)
    shown = Private(scene.mirror)
    assert await keys(shown, BUCKET) == []
    with pytest.raises(AccessDenied):
        await read(shown, Address(BUCKET, name))


# --- names ---


@pytest.mark.parametrize("key", NASTY)
def test_no_name_is_too_long_or_of_another_day(key):
    name = kept_key(key, info(key), date(2026, 3, 4))
    assert name.startswith(f"{TRASH}20260304/")
    assert len(name.encode()) <= LONGEST


def test_names_of_long_keys_that_begin_alike_differ():
    names = {kept_key("k" * 1000 + end, info(), TODAY) for end in "abc"}
    assert len(names) == 3


def test_a_short_key_is_kept_under_its_own_name():
    assert kept_key("a/b", info(etag="0123456789abcdef" * 2), date(2026, 3, 4)) == f"{TRASH}20260304/a/b@0-01234567"


def test_states_that_differ_in_their_bytes_have_names_that_differ():
    assert kept_key("a", info(etag="0" * 32), TODAY) != kept_key("a", info(etag="1" * 32), TODAY)


# --- how long ---


async def put_aside(scene, ago, name="key"):
    at = Address(BUCKET, kept_key(name, info(), TODAY - timedelta(days=ago)))
    await put(scene.mirror.inner, at, b"old")
    return at


@pytest.mark.parametrize(("protect", "ago", "stays"), [(30, 32, False), (30, 30, True), (1, 3, False), (0.5, 0, True)])
async def test_what_is_kept_stays_at_least_as_long_as_it_should(scene, protect, ago, stays):
    at = await put_aside(scene, ago)
    await Keeping(scene.mirror, protect * DAY).clear(BUCKET)
    assert (await found(scene.mirror, at) is not None) == stays


async def test_all_of_an_old_day_goes(scene):
    for number in range(40):
        await put_aside(scene, 50, f"key {number}")
    await put_aside(scene, 1, "young")
    await Keeping(scene.mirror, 30 * DAY).clear(BUCKET)
    assert await kept(scene) == [("young", b"old")]


@pytest.mark.parametrize(
    "key", [f"{TRASH}notes/a", f"{TRASH}20260101x/a", ".gw/stage/20000101/a", "20000101/a", f"{TRASH}a"]
)
async def test_nothing_else_goes(scene, key):
    await put(scene.mirror.inner, Address(BUCKET, key), b"data")
    await Keeping(scene.mirror, 0.0).clear(BUCKET)
    assert await keys(scene.mirror.inner, BUCKET) == [key]


async def test_a_bucket_that_the_mirror_lacks_keeps_nothing(scene):
    await Keeping(scene.mirror, 0.0).clear("elsewhere")


async def test_a_state_whose_stamp_is_the_same_but_not_its_bytes_is_kept_too(scene):
    """The primary may have changed between two attempts at one task."""
    await scene.put(b"old")
    assert await scene.mirrored()
    held = await scene.mirror.inner.head(AT)
    keeping = Keeping(scene.mirror, DAY)
    await keeping.keep(AT, held)
    await put(scene.mirror.inner, AT, b"older", WriteOptions(labels=held.labels))
    await keeping.keep(AT, await scene.mirror.inner.head(AT))
    assert sorted(data for _, data in await kept(scene)) == [b"old", b"older"]


async def test_what_is_gone_already_needs_no_keeping(scene):
    await Keeping(scene.mirror, DAY).keep(AT, replace(info(), key=AT.key))
    assert await keys(scene.mirror.inner, BUCKET) == []
