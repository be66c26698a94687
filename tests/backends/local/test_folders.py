"""A page of a listing costs the page, and shows all that was acknowledged before it was asked for."""

import asyncio
import errno
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.backends.local import folders, listing, open_local
from gateway.backends.local.backend import _open
from gateway.backends.local.contents import Names
from gateway.backends.local.folders import REST_NS, Folders
from gateway.backends.local.watching import Watches
from gateway.storage import Address, ListQuery
from tests.backends.given import keys, put
from tests.backends.local.conftest import refuse

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
    read, seen = folders.read_contents, []

    def counted(folder):
        seen.append(os.fstat(folder).st_ino)
        return read(folder)

    monkeypatch.setattr(folders, "read_contents", counted)
    return seen


@pytest.fixture(params=["watched", "not watched"], autouse=True)
def watching(request, monkeypatch):
    """Whether the kernel tells what changes in a folder, or its time has to."""
    monkeypatch.setattr(folders, "WORTH_WATCHING", 0 if request.param == "watched" else 10**9)
    return request.param == "watched"


def rest(folder):
    """Have a folder be at rest for long."""
    os.utime(folder, ns=(PAST, PAST))


async def test_a_folder_at_rest_is_read_once(storage, root, bucket, scans):
    rest(root / "media")
    assert len(await keys(storage, bucket, ListQuery(limit=10))) == MANY
    assert len(scans) == 1


async def test_a_folder_that_was_changed_a_moment_ago_is_looked_at_again(storage, root, bucket, scans, watching):
    """Its time might not tell of a further change within the same tick of the clock."""
    now = time.time_ns()
    os.utime(root / "media", ns=(now, now))
    await keys(storage, bucket)
    (root / "media/new").write_bytes(b"x")
    os.utime(root / "media", ns=(now, now))
    assert "new" in await keys(storage, bucket)
    assert len(scans) == (1 if watching else 2)


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
    size = Folders(opened, 10**9).read(b"a").size
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


NAMES = st.lists(st.sampled_from([f"{letter}{number}".encode() for letter in "abc" for number in range(700)]))


@settings(max_examples=30, deadline=None)
@given(NAMES, NAMES, NAMES, st.binary(max_size=3))
def test_changed_names_are_those_that_were_and_came_and_did_not_go(before, removed, added, start):
    names = Names.of(set(before))
    changed = names.changed(removed, added)
    expected = sorted((set(before) - set(removed)) | set(added))
    assert (list(changed.start_at(b"")), len(changed)) == (expected, len(expected))
    assert list(changed.start_at(start)) == [name for name in expected if name >= start]
    assert list(names.start_at(b"")) == sorted(set(before))


def test_names_come_back_in_little_memory():
    names = [b"object-%06d" % number for number in range(100_000)]
    packed = Names.of(reversed(names))
    assert list(packed.start_at(b"")) == names
    assert packed.size < 16 * len(names)


def test_names_that_come_and_go_for_ever_take_no_more_memory_than_they_need():
    names = Names.of(b"%05d" % number for number in range(5000))
    for number in range(2000):
        names = names.changed([b"%05d" % (number * 2)], [b"%05d-" % (number * 2)])
    assert len(names) == 5000
    assert names.size < 2 * 7 * 5000


def test_rest_is_longer_than_a_tick_of_any_clock():
    assert REST_NS >= 5 * 10_000_000


# --- told by the kernel ---

FILES = [b"a", b"b", b".%aa", b".%fa", b".%", b".%d..", b"\xff", "é".encode(), b".%c" + b"y" * 250, b"c"]
ACTS = st.lists(
    st.tuples(st.sampled_from(["file", "folder", "remove", "move", "list"]), st.sampled_from(FILES)), max_size=30
)


def act_on(path, act):
    """Do something to a file or folder, if that can be."""
    with suppress(OSError):
        if act == "file":
            path.touch()
        elif act == "folder":
            path.mkdir()
        elif act == "move":
            path.rename(path.with_name("moved"))
        elif path.is_dir():
            path.rmdir()
        else:
            path.unlink()


@settings(max_examples=60, deadline=None)
@given(ACTS)
def test_what_is_remembered_is_what_is_there_whatever_is_done(acts):
    with tempfile.TemporaryDirectory() as parent, pytest.MonkeyPatch.context() as patched:
        patched.setattr(folders, "WORTH_KEEPING", 0)
        (Path(parent) / "a/x").mkdir(parents=True)
        opened = _open(Path(parent), fsync=False)
        remembered, never = Folders(opened, 10**9), Folders(opened, 0)
        for act, name in [*acts, ("list", b"")]:
            if act != "list":
                act_on(Path(parent) / "a" / os.fsdecode(name), act)
                continue
            seen, fresh = remembered.read(b"a"), never.read(b"a")
            assert list(seen.natural_from(b"")) == list(fresh.natural_from(b""))
            assert seen.escaped == fresh.escaped
        for each in (remembered, never, opened):
            each.close()


async def test_a_large_folder_that_changes_all_the_time_is_read_once(storage, root, bucket, scans, watching):
    if not watching:
        pytest.skip("needs to be told what changes")
    await keys(storage, bucket)
    for number in range(20):
        await put(storage, Address(bucket, f"{number:05}-new"))
        assert f"{number:05}-new" in await keys(storage, bucket, ListQuery(limit=50))
        (root / f"media/{number:05}").unlink()
        assert f"{number:05}" not in await keys(storage, bucket)
    assert len(scans) == 1


QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
QUEUED = int(QUEUE.read_text()) if QUEUE.exists() else 0


async def test_more_changes_than_the_kernel_keeps_are_not_missed(storage, root, bucket, scans, watching):
    if not watching:
        pytest.skip("needs to be told what changes")
    await keys(storage, bucket)
    for _ in range(QUEUED // 2 + 10):
        (root / "media/come-and-go").mkdir()
        (root / "media/come-and-go").rmdir()
    (root / "media/new").write_bytes(b"")
    assert "new" in await keys(storage, bucket)
    assert len(scans) == 2


async def test_a_folder_that_cannot_be_watched_is_read_again_when_it_changed(storage, root, bucket, monkeypatch):
    monkeypatch.setattr(Watches, "add", lambda _self, _folder: None)
    await keys(storage, bucket)
    (root / "media/new").write_bytes(b"")
    assert "new" in await keys(storage, bucket)


def test_a_folder_that_cannot_be_read_to_its_end_is_not_remembered(root, monkeypatch):
    (root / "a").mkdir(parents=True)
    for number in range(MANY):
        (root / "a" / f"{number:05}").write_bytes(b"")
    opened = _open(root, fsync=False)
    remembered = Folders(opened, 10**9)
    remembered.read(b"a")
    (root / "a/new").write_bytes(b"")
    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", refuse(errno.EIO))
        patched.setattr(folders, "read_contents", refuse(errno.EIO))
        with pytest.raises(OSError, match="Input/output"):
            remembered.read(b"a")
    assert b"new" in list(remembered.read(b"a").natural_from(b""))
    remembered.close()
    opened.close()
