"""Small objects in memory are answered at once, all others by a thread, and nothing stays open."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.backends.local import kernel, open_local
from gateway.backends.local.threads import Threads
from gateway.conditions import Conditions
from gateway.errors import NoSuchKey, NotModified, S3Error
from gateway.storage import SMALL, Address, Body, Completion, ListQuery, ReadOptions, WriteOptions
from tests.backends.given import MIB, BrokenOffError, Slow, breaking, completed, keys, put, read, some, uploaded

AT = Address("media", "a/key")


@pytest.fixture
async def bucket(storage):
    await storage.create_bucket("media", {})
    return "media"


@pytest.fixture
def turns(monkeypatch):
    """How often a thread was asked to work."""
    run, asked = Threads.run, []

    async def counted(self, function, *args):
        asked.append(function)
        return await run(self, function, *args)

    monkeypatch.setattr(Threads, "run", counted)
    return asked


@pytest.mark.parametrize("size", [0, 1024, SMALL, SMALL + 1, MIB])
async def test_what_is_in_memory_is_answered_without_a_thread(disk, turns, size):
    if not kernel.has_openat2():
        pytest.skip("needs a kernel that says whether it would wait")
    async with open_local("local", disk, fsync=False) as storage:
        await storage.create_bucket("media", {})
        await put(storage, AT, some(size), WriteOptions(metadata={"a": "b"}))
        turns.clear()
        assert await read(storage, AT) == some(size)
        assert (await storage.head(AT)).size == size
        with pytest.raises(NotModified):
            await storage.head(AT, ReadOptions(conditions=Conditions(if_none_match=("*",))))
        assert turns == []


async def test_a_small_write_takes_one_turn_of_a_thread(storage, bucket, turns):
    await put(storage, AT, some(SMALL))
    assert len(turns) == 1


@pytest.mark.parametrize("function", ["preadv", "open_cached"])
async def test_what_is_not_in_memory_is_read_by_a_thread(storage, bucket, turns, monkeypatch, function):
    def would_wait(*_):
        raise BlockingIOError

    await put(storage, AT, b"data")
    if function == "preadv":
        monkeypatch.setattr(os, "preadv", would_wait)
    else:
        monkeypatch.setattr("gateway.backends.local.reading.open_cached", would_wait)
    turns.clear()
    assert await read(storage, AT) == b"data"
    assert len(turns) == 1


async def test_what_is_only_partly_in_memory_is_read_by_a_thread(storage, bucket, monkeypatch):
    await put(storage, AT, b"data")
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda descriptor, buffers, at, flags: preadv(descriptor, buffers, at, flags) - 1)
    assert await read(storage, AT) == b"data"


async def test_an_object_that_was_deleted_meanwhile_is_closed_by_a_thread(storage, bucket):
    await put(storage, AT, some(MIB))
    async with storage.get(AT) as download:
        await storage.delete(AT)
        assert os.pread(download.content.descriptor, 10, 0) == some(MIB)[:10]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(download.content.descriptor)


def opened():
    """Return what this process holds open, directories and files on disk only."""
    found = []
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(str(path.readlink()))
    return sorted(path for path in found if path.startswith("/"))


async def test_nothing_stays_open_whatever_happens(storage, bucket):
    before = opened()
    await put(storage, AT, some(MIB))
    await put(storage, Address(bucket, "a/key/below"), b"x")
    stored = await completed(storage, Address(bucket, "parts"), [(1, some(5 * MIB)), (2, b"x")])
    upload = await storage.create_upload(AT)
    parts = await uploaded(storage, upload, [(1, b"x")])
    never = Conditions(if_match=("never",))
    for call in (
        read(storage, Address(bucket, "missing")),
        read(storage, AT, ReadOptions(range=slice(2 * MIB, None))),
        read(storage, AT, ReadOptions(part=2)),
        read(storage, AT, ReadOptions(conditions=never)),
        storage.head(AT, ReadOptions(conditions=never)),
        storage.head(Address(bucket, "parts"), ReadOptions(part=3)),
        put(storage, AT, b"x", WriteOptions(conditions=never)),
        put(storage, AT, some(MIB), WriteOptions(conditions=never)),
        storage.put(AT, Body(breaking(some(MIB)), None)),
        storage.copy(AT, AT, WriteOptions(), "another"),
        storage.copy(AT, AT, WriteOptions(conditions=never), stored.etag),
        storage.copy_part(upload, 1, AT, ReadOptions(range=slice(2 * MIB, None)), stored.etag),
        storage.complete_upload(upload, parts, Completion(conditions=never)),
        storage.delete(AT, never),
        storage.delete_bucket(bucket),
        storage.list_objects("missing", ListQuery()),
    ):
        with pytest.raises((S3Error, BrokenOffError)):
            await call
    await keys(storage, bucket, ListQuery(delimiter="/"))
    await storage.abort_upload(upload)
    await storage.list_buckets()
    assert opened() == before


async def test_nothing_stays_open_or_behind_when_callers_are_cancelled(storage, root, bucket):
    await put(storage, AT, some(MIB))
    info = await storage.head(AT)
    before = opened()
    for steps in range(12):
        for call in (
            read(storage, AT, ReadOptions(parts=True)),
            put(storage, AT, b"x"),
            storage.copy(AT, Address(bucket, "copy"), WriteOptions(checksum="SHA256"), info.etag),
            storage.put(AT, Slow(some(MIB)).body),
            keys(storage, bucket),
        ):
            task = asyncio.create_task(call)
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
    assert opened() == before
    assert [path for path in (root / ".gw/tmp").rglob("*") if path.is_file()] == []


async def test_a_missing_object_is_missing_by_every_way_to_look(storage, bucket):
    for key in ("missing", "a/missing", "a", "a/key/below", "x" * 1024, "../x"):
        with pytest.raises(NoSuchKey):
            await storage.head(Address(bucket, key))


def test_no_way_to_open_leads_up(tmp_path, monkeypatch):
    (tmp_path / "inner").mkdir()
    (tmp_path / "secret").write_bytes(b"")
    folder = os.open(tmp_path / "inner", os.O_RDONLY)
    for has_openat2 in (kernel.has_openat2(), False):
        monkeypatch.setattr(kernel, "has_openat2", lambda has=has_openat2: has)
        for path in (b"../secret", b"..", b"/etc/passwd", b"x/../../secret"):
            with pytest.raises(OSError, match=r"."):
                kernel.open_beneath(folder, path, kernel.READ)
    os.close(folder)
