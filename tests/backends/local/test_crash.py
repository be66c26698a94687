"""A process that dies, at whatever point, leaves the old state or the new, and nothing that is not cleaned."""

import asyncio
import os
import signal
import sys
from contextlib import suppress

import pytest

from gateway.backends.local import buckets, completing, open_local, uploads, writing
from gateway.backends.local.backend import _open
from gateway.backends.local.scratch import Temp
from gateway.checksums import MD5, Digest
from gateway.conditions import ANY_STATE
from gateway.errors import NoSuchKey, NoSuchUpload
from gateway.storage import Address, Completion, ListQuery, UploadQuery, WriteOptions
from tests.backends.given import completed, etag, keys, put, read, some, uploaded
from tests.backends.local import program

CHANGING = ("write", "utime", "setxattr", "removexattr", "rename", "unlink", "mkdir", "rmdir", "copy_file_range")
CALLS = ("open", "fsync", *CHANGING)


class DeadError(BaseException):
    """The process is no more."""


class Life:
    """Lets a process live for a number of system calls and do nothing after."""

    def __init__(self, monkeypatch, calls):
        self.left = calls
        for name in CALLS:
            monkeypatch.setattr(os, name, self.counted(getattr(os, name)))

    def counted(self, call):
        def function(*args, **options):
            self.left -= 1
            if self.left < 0:
                raise DeadError
            return call(*args, **options)

        return function


def leftovers(root):
    """Return what is left of processes that are no more."""
    return sorted(path.name for path in (root / ".gw/tmp").glob("*/*"))


def die_at(monkeypatch, root, calls, change):
    """Have a process change something and die after so many calls; return whether it came to the end."""
    opened = _open(root, fsync=True)
    with monkeypatch.context() as patched:
        life = Life(patched, calls)
        with suppress(DeadError):
            change(opened)
    for descriptor in (opened.scratch.descriptor, opened.own, opened.descriptor):
        os.close(descriptor)
    return life.left >= 0


def store(root, at, data, options=WriteOptions()):
    temp, digest = Temp(root.scratch), Digest()
    digest.want(MD5)
    digest.want(options.checksum)
    digest.update(data)
    temp.open()
    temp.write(data)
    info = writing.describe(at.key, len(data), options, digest[MD5].hex(), digest.checksum(options.checksum))
    writing.store(root, at, writing.Draft(temp, info), ANY_STATE)
    temp.discard()


def complete(root, upload, parts):
    assembly = completing.Assembly(root, upload)
    assembly.plan(parts, Completion())
    for _ in assembly.steps():
        pass
    assembly.finish(ANY_STATE)
    assembly.discard()


async def state_of(storage):
    """Return each object with its bytes, having looked that all ways to see them agree."""
    found = {}
    for key in await keys(storage, "media"):
        info = await storage.head(Address("media", key))
        found[key] = await read(storage, Address("media", key))
        assert len(found[key]) == info.size
        assert info.etag == etag(found[key]) or info.part_count
    return found


LARGE = WriteOptions(metadata={"long": "x" * 60_000})
CHANGES = {
    "a new object": (lambda root: store(root, Address("media", "f/new"), b"new"), {"f/new": b"new"}),
    "a replaced object": (lambda root: store(root, Address("media", "old"), b"new"), {"old": b"new"}),
    "much known of it": (lambda root: store(root, Address("media", "old"), b"new", LARGE), {"old": b"new"}),
    "less known of it": (lambda root: store(root, Address("media", "rich"), b"new"), {"rich": b"new"}),
    "a key below a key": (lambda root: store(root, Address("media", "old/b/c"), b"new"), {"old/b/c": b"new"}),
    "a key above a key": (lambda root: store(root, Address("media", "g"), b"new"), {"g": b"new"}),
    "one that stands aside": (lambda root: store(root, Address("media", "x"), b"new"), {"x": b"new"}),
    "a deletion": (lambda root: writing.delete(root, Address("media", "g/h"), ANY_STATE), {"g/h": None}),
    "a deletion aside": (lambda root: writing.delete(root, Address("media", "x"), ANY_STATE), {"x": None}),
    "new labels": (lambda root: writing.annotate(root, Address("media", "old"), {"a": "b" * 60_000}), {}),
    "fewer labels": (lambda root: writing.annotate(root, Address("media", "rich"), {}), {}),
}


@pytest.mark.parametrize("change", list(CHANGES))
async def test_an_object_is_as_before_or_as_after_whenever_its_writer_dies(root, monkeypatch, change):
    act, difference = CHANGES[change]
    for calls in range(200):
        here = root / str(calls)
        async with open_local("local", here) as storage:
            await storage.create_bucket("media", {})
            for key in ("old", "g/h", "x", "x/y"):
                await put(storage, Address("media", key), key.encode())
            await put(storage, Address("media", "rich"), b"rich", LARGE)
            before = await state_of(storage)
        after = {key: data for key, data in (before | difference).items() if data is not None}
        lived = await asyncio.to_thread(die_at, monkeypatch, here, calls, act)
        async with open_local("local", here) as storage:
            state = await state_of(storage)
            assert state == after if lived else state in (before, after), calls
            assert leftovers(here) == []
        if lived:
            return
    pytest.fail("the change never came to its end")


async def test_an_upload_is_open_or_complete_whenever_its_completer_dies(root, monkeypatch):
    at = Address("media", "folder/key")
    for calls in range(200):
        async with open_local("local", root) as storage:
            with suppress(Exception):
                await storage.create_bucket("media", {})
            await put(storage, at, b"old")
            upload = await storage.create_upload(at)
            parts = await uploaded(storage, upload, [(1, some(5 * 1024 * 1024)), (2, b"last")])
        lived = await asyncio.to_thread(
            die_at, monkeypatch, root, calls, lambda opened, u=upload, p=parts: complete(opened, u, p)
        )
        async with open_local("local", root) as storage:
            assert leftovers(root) == []
            state = await state_of(storage)
            opened = (await storage.list_uploads("media", UploadQuery())).uploads
            if state == {"folder/key": b"old"}:
                assert not lived
                assert [info.upload for info in opened] == [upload]
                assert len((await storage.list_parts(upload)).parts) == 2
                await storage.complete_upload(upload, parts, Completion())
            else:
                assert opened == []
                with pytest.raises(NoSuchUpload):
                    await storage.complete_upload(upload, parts, Completion())
            assert await read(storage, at) == some(5 * 1024 * 1024) + b"last"
            assert list((root / ".gw/uploads/media").iterdir()) == []
        if lived:
            return
    pytest.fail("the upload never was completed")


MAKING = {
    "maker": lambda root: buckets.create(root, "new", {"a": "b"}),
    "remover": lambda root: buckets.delete(root, "media"),
}


@pytest.mark.parametrize("who", list(MAKING))
async def test_a_bucket_is_there_or_not_whenever_who_makes_or_removes_it_dies(root, monkeypatch, who):
    for calls in range(200):
        here = root / str(calls)
        async with open_local("local", here) as storage:
            await storage.create_bucket("media", {"a": "b"})
        lived = await asyncio.to_thread(die_at, monkeypatch, here, calls, MAKING[who])
        async with open_local("local", here) as storage:
            there = [info.name for info in await storage.list_buckets()]
            assert there in ([["media"], ["media", "new"]] if who == "maker" else [["media"], []])
            for name in there:
                assert await keys(storage, name) == []
                assert (await storage.head_bucket(name)).labels == {"a": "b"}
            assert leftovers(here) == []
        if lived:
            assert len(there) == (2 if who == "maker" else 0)
            return


async def test_a_new_bucket_has_nothing_of_one_that_died_under_its_name(root, monkeypatch):
    for calls in range(200):
        async with open_local("local", root) as storage:
            await storage.create_bucket("media", {"owner": "old"})
            await storage.create_upload(Address("media", "key"))
        lived = await asyncio.to_thread(
            die_at, monkeypatch, root, calls, lambda opened: buckets.delete(opened, "media")
        )
        async with open_local("local", root) as storage:
            if not await storage.list_buckets():
                await storage.create_bucket("media", {})
                assert (await storage.head_bucket("media")).labels == {}
                assert (await storage.list_uploads("media", UploadQuery())).uploads == []
            await storage.delete_bucket("media")
        if lived:
            return


async def test_an_aborted_upload_is_whole_or_gone_whenever_its_aborter_dies(root, monkeypatch):
    for calls in range(200):
        async with open_local("local", root) as storage:
            with suppress(Exception):
                await storage.create_bucket("media", {})
            upload = await storage.create_upload(Address("media", "key"))
            (part,) = await uploaded(storage, upload, [(1, b"part")])
        lived = await asyncio.to_thread(
            die_at, monkeypatch, root, calls, lambda opened, u=upload: uploads.abort(opened, u)
        )
        async with open_local("local", root) as storage:
            if (await storage.list_uploads("media", UploadQuery())).uploads:
                assert not lived
                await storage.complete_upload(upload, [part], Completion())
            assert leftovers(root) == []
        if lived:
            return


@pytest.mark.parametrize("kill_after", [5, 60, 140])
async def test_kill_in_the_middle_of_many_writes_loses_nothing_that_was_acknowledged(tmp_path, kill_after):
    root = tmp_path / "root"
    async with open_local("local", root) as storage:
        await storage.create_bucket("media", {})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.backends.local.program", str(root), str(kill_after), stdout=asyncio.subprocess.PIPE
    )
    told = [[] for _ in program.KEYS]
    done = 0
    while done < kill_after:
        line = (await process.stdout.readline()).split()
        note(told, line)
        done += line[0] == b"done"
    process.send_signal(signal.SIGKILL)
    for line in (await process.stdout.read()).splitlines():
        if len(line.split()) == 4:
            note(told, line.split())
    await process.wait()
    assert len(list((root / ".gw/tmp").iterdir())) == 1
    async with open_local("local", root) as storage:
        assert len(list((root / ".gw/tmp").iterdir())) == 1, "ours, not the dead one's"
        assert leftovers(root) == []
        listed = set(await keys(storage, "media", ListQuery()))
        for number, key in enumerate(program.KEYS):
            data = await found(storage, Address("media", key))
            assert data in [expected(*version) for version in told[number] or [(0, -1)]], key
            assert (data is not None) == (key in listed)


def note(told, line):
    """Keep of each key the versions that it may have: the last acknowledged, and what was begun after."""
    kind, number, version, size = line[0], *map(int, line[1:])
    if kind == b"done":
        told[number] = [(version, size)]
    else:
        told[number] = [*(told[number] or [(0, -1)]), (version, size)]


def expected(version, size):
    return None if size < 0 else program.content(version, size)


async def found(storage, at):
    try:
        return await read(storage, at)
    except NoSuchKey:
        return None


async def test_what_other_processes_are_at_is_left_alone_at_the_start(root):
    async with open_local("first", root) as first:
        await first.create_bucket("media", {})
        temp = Temp(first._root.scratch)
        temp.open()
        async with open_local("second", root) as second:
            assert len(list((root / ".gw/tmp").iterdir())) == 2
            await completed(second, Address("media", "key"), [(1, b"x")])
        temp.write(b"data")
        assert leftovers(root) == [temp.name.decode()]
        temp.discard()
    assert list((root / ".gw/tmp").iterdir()) == []
