"""Each object is written down as its storage told it, and a mirror's as what it is a copy of."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.errors import NoSuchKey, PreconditionFailed, ServiceUnavailable
from gateway.snapshots import taking
from gateway.snapshots.manifest import Subject
from gateway.snapshots.taking import state
from gateway.storage import Address, WriteOptions
from tests.backends.given import NASTY, put
from tests.replication.conftest import scene, timed  # noqa: F401  fixtures
from tests.replication.scene import AT, BUCKET, MIB
from tests.snapshots.shelved import SUBJECT, Shelved, named


async def entries(shelved, head):
    async with shelved.shelf.opened(head.id) as manifest:
        return list(manifest.entries())


async def test_an_object_is_written_down_with_all_that_is_known_of_it():
    shelved = await Shelved().ready()
    options = WriteOptions({"content-type": "image/png"}, {"colour": "blå"}, {"owner": "me"}, checksum="SHA256")
    stored = await put(shelved.storage, Address(SUBJECT.bucket, "a"), b"data", options)
    [entry] = await entries(shelved, await shelved.take())
    assert entry.info == replace(stored, parts=[])
    assert (entry.gen, entry.held, entry.etag) == (0, "", stored.etag)


async def test_all_names_are_written_down_in_their_order(monkeypatch):
    monkeypatch.setattr(taking, "AT_ONCE", 7)
    shelved = await Shelved().ready(*(key for key in NASTY))
    head = await shelved.take()
    assert await named(shelved.shelf, head.id) == sorted(NASTY, key=str.encode)
    assert head.objects == len(NASTY)


async def test_only_what_begins_as_was_asked_is_written_down():
    shelved = await Shelved().ready("a", "b/1", "b/2", "c")
    head = await shelved.take(Subject("media", "media", "memory", "b/"))
    assert await named(shelved.shelf, head.id) == ["b/1", "b/2"]


async def test_it_tells_within_which_time_that_was_so():
    shelved = await Shelved().ready("a")
    before = datetime.now(UTC)
    head = await shelved.take(since=before - timedelta(minutes=1))
    assert (head.since, before <= head.until <= datetime.now(UTC)) == (before - timedelta(minutes=1), True)


async def test_an_object_made_of_parts_is_written_down_with_them(scene):  # noqa: F811  a fixture
    stored = await scene.upload([5 * MIB, 1])
    assert await scene.mirrored()
    entry = await state(scene.mirror, AT)
    assert [part.size for part in entry.info.parts] == [5 * MIB, 1]
    assert (entry.info.etag, entry.info.part_count) == (stored.etag, 2)


async def test_a_copy_is_written_down_as_what_it_is_a_copy_of(scene):  # noqa: F811
    stored = await scene.put(options=WriteOptions(labels={"owner": "me"}))
    assert await scene.mirrored()
    entry = await state(scene.mirror, AT)
    assert (entry.info.etag, entry.info.modified, entry.info.labels) == (stored.etag, stored.modified, {"owner": "me"})
    assert entry.gen > 0


async def test_what_is_gone_when_it_is_asked_for_is_not_there():
    shelved = await Shelved().ready("a", "b")
    head = shelved.storage.head

    async def vanishing(at, options):
        if at.key == "a":
            raise NoSuchKey
        return await head(at, options)

    shelved.storage.head = vanishing
    assert await named(shelved.shelf, (await shelved.take()).id) == ["b"]


async def test_what_cannot_be_asked_for_leaves_no_snapshot():
    shelved = await Shelved().ready("a", "b")

    async def failing(at, options):
        raise ServiceUnavailable

    shelved.storage.head = failing
    with pytest.raises(ServiceUnavailable):
        await shelved.take()
    assert await shelved.names() == []


async def test_what_is_replaced_while_it_is_asked_for_is_asked_for_again(scene):  # noqa: F811
    await put(scene.mirror.inner, AT, b"data")
    failing = [PreconditionFailed()]
    head = scene.mirror.inner.head

    async def replaced(at, options):
        if failing:
            raise failing.pop()
        return await head(at, options)

    scene.mirror.inner.head = replaced
    assert (await state(scene.mirror, Address(BUCKET, AT.key))).key == AT.key


async def test_what_is_replaced_all_the_time_is_not_waited_for():
    shelved = await Shelved().ready("a")

    async def replaced(at, options):
        raise PreconditionFailed

    shelved.storage.head = replaced
    with pytest.raises(ServiceUnavailable):
        await shelved.take()
