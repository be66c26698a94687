"""Snapshots are kept whole or not at all, and what somebody else has put there is not believed."""

import gzip
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from gateway.errors import NotImplementedByGateway, PreconditionFailed
from gateway.routing.private import Private
from gateway.snapshots import shelf as shelves
from gateway.snapshots.shelf import NoSuchSnapshot, Shelf
from gateway.snapshots.signing import Signer, Untrusted
from gateway.storage import Address, ListQuery
from tests.backends.given import keys, put
from tests.snapshots.shelved import BUCKET, KEY, OTHER, Shelved, named


@pytest.fixture
async def shelved():
    return await Shelved().ready("a", "b", "c/d")


async def test_what_was_taken_is_found_again(shelved):
    head = await shelved.take()
    assert await named(shelved.shelf, head.id) == ["a", "b", "c/d"]
    assert await named(shelved.shelf, head.id, "c/") == ["c/d"]
    [kept] = [kept async for kept in shelved.shelf.list()]
    assert (kept.id, kept.head, kept.problem, kept.drill) == (head.id, head, "", None)
    assert await shelved.shelf.identity_of("latest") == head.id


async def test_a_bucket_without_objects_has_a_snapshot_too():
    shelved = await Shelved().ready()
    assert await named(shelved.shelf, (await shelved.take()).id) == []


async def test_clients_do_not_see_it(shelved):
    await shelved.take()
    assert await keys(Private(shelved.storage), BUCKET) == ["a", "b", "c/d"]


async def test_the_next_one_does_not_name_the_one_before(shelved):
    await shelved.take()
    assert await named(shelved.shelf, (await shelved.take()).id) == ["a", "b", "c/d"]


async def test_a_long_one_is_stored_in_parts(shelved, monkeypatch):
    monkeypatch.setattr(shelves, "PART", 5 * 1024 * 1024)
    head = await shelved.take()
    monkeypatch.setattr(shelves, "_lengths", lambda size: [size])
    monkeypatch.setattr(shelves, "PART", 10)
    long = await shelved.take()
    assert await named(shelved.shelf, long.id) == await named(shelved.shelf, head.id)
    info = await shelved.storage.head(shelved.at(long))
    assert info.part_count == 1


def test_parts_are_as_long_as_the_whole():
    size = 3 * shelves.PART + 7
    assert shelves._lengths(size) == [shelves.PART] * 3 + [7]


async def test_a_storage_without_conditions_keeps_snapshots_too(shelved, monkeypatch):
    put_there = shelved.storage.put

    async def put_without(at, body, options):
        if options.conditions:
            raise NotImplementedByGateway
        return await put_there(at, body, options)

    monkeypatch.setattr(shelved.storage, "put", put_without)
    assert await named(shelved.shelf, (await shelved.take()).id) == ["a", "b", "c/d"]


async def test_nothing_is_replaced(shelved, monkeypatch):
    monkeypatch.setattr("gateway.snapshots.taking.new_id", lambda _: "20260102T030405Z-abcdef")
    await shelved.take()
    with pytest.raises(PreconditionFailed):
        await shelved.take()


async def test_what_is_deleted_is_gone_with_its_reports(shelved):
    head, other = await shelved.take(), await shelved.take()
    for name in (head.id, other.id):
        await shelved.shelf.report(name, datetime.now(UTC), {"snapshot": name})
    await shelved.shelf.delete(head.id)
    assert [name for name in await shelved.names() if head.id in name] == []
    assert await named(shelved.shelf, other.id)
    assert await shelved.shelf.last_drill(other.id)


async def test_the_newest_report_that_can_be_believed_is_told(shelved):
    head = await shelved.take()
    for day in (1, 2):
        report = {"snapshot": head.id, "day": day}
        await shelved.shelf.report(head.id, datetime(2026, 1, day, tzinfo=UTC), report)
    await put(shelved.storage, Address(BUCKET, f".gw/snapshot/media/{head.id}.drill/9.json"), b'{"day":9}\n{}\n')
    assert (await shelved.shelf.last_drill(head.id))["day"] == 2


async def test_the_report_of_another_snapshot_is_not_taken_for_its_own(shelved):
    head = await shelved.take()
    await shelved.shelf.report(head.id, datetime.now(UTC), {"snapshot": "another"})
    assert await shelved.shelf.last_drill(head.id) is None


@pytest.mark.parametrize("identity", ["20260102T030405Z-abcdef", "../../a", "", "latest", "20260102T030405Z-abcdef\n"])
async def test_what_is_not_there_is_not_found(shelved, identity):
    for work in (named(shelved.shelf, identity), shelved.shelf.delete(identity)):
        with pytest.raises(NoSuchSnapshot):
            await work
    with pytest.raises(NoSuchSnapshot):
        await shelved.shelf.identity_of("latest")


# --- what somebody else has put there ---


async def test_bytes_that_are_others_are_not_believed_or_say_the_same(shelved):
    """A few bits of gzip say nothing: the time and the system in its header, and what fills the last byte."""
    head = await shelved.take()
    data = await shelved.bytes_of(head)
    believed = 0
    for place in range(0, len(data), 11):
        await shelved.replace(head, data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        with suppress(Untrusted):
            assert await named(shelved.shelf, head.id) == ["a", "b", "c/d"]
            believed += 1
    assert believed <= 2


async def test_one_that_is_cut_off_or_longer_is_not_believed_beyond_its_end(shelved):
    head = await shelved.take()
    data = await shelved.bytes_of(head)
    for cut in (data[:-1], data[:40], b""):
        await shelved.replace(head, cut)
        with pytest.raises(Untrusted):
            await named(shelved.shelf, head.id)
    await shelved.replace(head, data + gzip.compress(b'{"key":"evil"}\n'))
    assert await named(shelved.shelf, head.id) == ["a", "b", "c/d"]


async def test_another_snapshot_under_its_name_is_not_believed(shelved):
    head = await shelved.take()
    await put(shelved.storage, Address(BUCKET, "later"), b"")
    await shelved.replace(head, await shelved.bytes_of(await shelved.take()))
    with pytest.raises(Untrusted, match="not its own"):
        await named(shelved.shelf, head.id)


async def test_that_of_another_bucket_is_not_believed(shelved):
    head = await shelved.take()
    stranger = Shelf(shelved.storage, BUCKET, "other", Signer([KEY]))
    await put(shelved.storage, Address(BUCKET, f".gw/snapshot/other/{head.id}.jsonl.gz"), await shelved.bytes_of(head))
    with pytest.raises(Untrusted):
        await named(stranger, head.id)


async def test_that_of_another_key_is_not_believed_and_the_list_says_so(shelved):
    head = await shelved.take()
    stranger = Shelf(shelved.storage, BUCKET, BUCKET, Signer([OTHER]))
    with pytest.raises(Untrusted):
        await named(stranger, head.id)
    [kept] = [kept async for kept in stranger.list()]
    assert (kept.id, kept.head) == (head.id, None)
    assert "none of ours" in kept.problem
    with pytest.raises(NoSuchSnapshot):
        await stranger.identity_of("latest")


async def test_names_that_are_no_ids_are_told_in_the_list(shelved):
    await put(shelved.storage, Address(BUCKET, ".gw/snapshot/media/evil.jsonl.gz"), b"")
    await put(shelved.storage, Address(BUCKET, ".gw/snapshot/media/note.txt"), b"")
    assert [(kept.id, kept.head) async for kept in shelved.shelf.list()] == [("evil", None)]


async def test_more_than_a_page_is_listed(shelved, monkeypatch):
    heads = [await shelved.take() for _ in range(3)]
    inner = shelved.storage.list_objects
    monkeypatch.setattr(
        shelved.storage, "list_objects", lambda bucket, query=ListQuery(): inner(bucket, query._replace(limit=1))
    )
    assert sorted(head.id for head in heads) == [kept.id async for kept in shelved.shelf.list()]
