"""A page of a listing costs the page, and shows all that was acknowledged before it was asked for."""

import asyncio
import os
import time

import pytest

from gateway.backends.local import folders, listing, open_local
from gateway.backends.local.backend import _open
from gateway.backends.local.folders import REST_NS, Folders, Names
from gateway.storage import Address, ListQuery
from tests.backends.given import keys, put

MANY = folders.WORTH_KEEPING * 3
PAST = time.time_ns() - 3600 * 10**9


@pytest.fixture
async def bucket(storage, root):
    await storage.create_bucket("media", {})
    for number in range(MANY):
        (root / f"media/{number:05}").write_bytes(b"x")
    return "media"


@pytest.fixture
def scans(monkeypatch):
    """The folders that were read entry by entry."""
    scan, seen = folders._scan, []

    def counted(descriptor, stat, started_ns):
        seen.append(stat.st_ino)
        return scan(descriptor, stat, started_ns)

    monkeypatch.setattr(folders, "_scan", counted)
    return seen


def rest(folder):
    """Have a folder be at rest for long."""
    os.utime(folder, ns=(PAST, PAST))


async def test_a_folder_at_rest_is_read_once(storage, root, bucket, scans):
    rest(root / "media")
    assert len(await keys(storage, bucket, ListQuery(limit=10))) == MANY
    assert len(scans) == 1


async def test_a_folder_that_was_changed_a_moment_ago_is_read_again(storage, root, bucket, scans):
    """Its time might not tell of a further change within the same tick of the clock."""
    now = time.time_ns()
    os.utime(root / "media", ns=(now, now))
    await keys(storage, bucket)
    (root / "media/new").write_bytes(b"x")
    os.utime(root / "media", ns=(now, now))
    assert "new" in await keys(storage, bucket)
    assert len(scans) == 2


async def test_a_change_by_anybody_is_seen_at_once(storage, root, bucket):
    async with open_local("other", root) as other:
        for number in range(20):
            rest(root / "media")
            await keys(storage, bucket)
            name = f"new{number}"
            if number % 2:
                await put(other, Address(bucket, name))
            else:
                (root / "media" / name).write_bytes(b"")
            assert name in await keys(storage, bucket)
            rest(root / "media")
            await keys(storage, bucket)
            await other.delete(Address(bucket, name))
            assert name not in await keys(storage, bucket)


async def test_a_folder_that_was_replaced_by_another_is_read_again(storage, root, bucket):
    rest(root / "media")
    await keys(storage, bucket)
    (root / "media").rename(root / "aside")
    (root / "media").mkdir()
    (root / "media/only").write_bytes(b"")
    rest(root / "media")
    assert await keys(storage, bucket) == ["only"]


async def test_writes_and_listings_at_the_same_time_miss_nothing(storage, root, bucket):
    async def write(worker):
        for number in range(30):
            key = f"w{worker}-{number}"
            await put(storage, Address(bucket, key))
            page = await storage.list_objects(bucket, ListQuery(prefix=key, limit=1))
            assert [info.key for info in page.objects] == [key]
            await storage.delete(Address(bucket, key))
            assert not (await storage.list_objects(bucket, ListQuery(prefix=key, limit=1))).objects

    await asyncio.gather(*(write(worker) for worker in range(5)))


async def test_a_page_looks_at_its_own_objects_only(storage, root, bucket, monkeypatch):
    looked = []
    look = listing.Walk._look
    monkeypatch.setattr(listing.Walk, "_look", lambda walk, entry, key: looked.append(key) or look(walk, entry, key))
    page = await storage.list_objects(bucket, ListQuery(after="00100", limit=5))
    assert [info.key for info in page.objects] == looked[:5]
    assert len(looked) == 6, "one more tells that the listing goes on"


async def test_a_page_of_prefixes_reads_no_folder_to_its_end(storage, root, bucket, scans):
    for number in range(10):
        (root / f"tree/{number}").mkdir(parents=True)
        for inner in range(folders.WORTH_KEEPING):
            (root / f"tree/{number}/{inner}").write_bytes(b"")
    assert len(await keys(storage, "tree", ListQuery(delimiter="/"))) == 10
    assert len(scans) == 1
    scans.clear()
    await storage.list_objects("tree", ListQuery(delimiter="/", after="3/", limit=2))
    assert len(scans) == 1


async def test_a_prefix_is_looked_for_in_its_own_folder_alone(storage, root, bucket, scans):
    (root / "media/deep/er").mkdir(parents=True)
    (root / "media/deep/er/key").write_bytes(b"")
    assert await keys(storage, bucket, ListQuery(prefix="deep/er/k")) == ["deep/er/key"]
    assert scans == [(root / "media/deep/er").stat().st_ino]


def test_what_is_remembered_stays_within_its_budget(root):
    for folder in "abc":
        (root / folder).mkdir(parents=True)
        for number in range(MANY):
            (root / folder / f"{number:05}").write_bytes(b"")
        rest(root / folder)
    opened = _open(root, fsync=False)
    one = Folders(opened, 10**9)
    size = one.read(b"a").size
    kept = Folders(opened, 2 * size)
    for path in (b"a", b"b", b"a", b"c"):
        kept.read(path)
    assert list(kept._kept) == [b"a", b"c"], "what was asked for last"
    assert kept._size == 2 * size
    none = Folders(opened, size - 1)
    assert len(none.read(b"a")) == MANY
    assert none._size == 0
    opened.close()


def test_a_folder_that_is_gone_is_none_and_forgotten(root):
    (root / "a").mkdir(parents=True)
    opened = _open(root, fsync=False)
    read = Folders(opened, 10**9)
    assert len(read.read(b"a")) == 0
    (root / "a").rmdir()
    assert read.read(b"a") is None
    opened.close()


def test_names_come_back_in_little_memory():
    names = sorted(b"name-%d" % number for number in range(1000))
    packed = Names(names)
    assert list(packed) == names
    assert (len(packed), packed[17], packed.size) == (1000, names[17], len(b"".join(names)) + 4 * 1001)


def test_rest_is_longer_than_a_tick_of_any_clock():
    assert REST_NS >= 5 * 10_000_000
