"""A disk that is full, read-only, forbidden, broken or gone: an answer that says so, and nothing is left behind."""

import asyncio
import errno
import logging
import os
import subprocess
import sys

import pytest

from gateway.backends.local import open_local
from gateway.errors import EntityTooLarge, InternalError, NoSuchBucket, ServiceUnavailable, SlowDown
from gateway.storage import PIECE, SMALL, Address, Completion, ListQuery, ReadOptions, WriteOptions
from tests.backends.given import MIB, body, completed, keys, put, read, some, uploaded
from tests.backends.local.conftest import refuse

OLD = Address("media", "old")
NEW = Address("media", "folder/new")
ROOMY = 8 * MIB


def run(*command):
    """Run a program that ends at once."""
    return subprocess.run(command, check=True, capture_output=True, text=True)


def temporary(root):
    """Return what lies in the folders for files on their way."""
    return [path for path in (root / ".gw/tmp").rglob("*") if path.is_file() or path.parent.parent.name == "tmp"]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of a few MiB."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    try:
        run("mount", "-t", "tmpfs", "-o", f"size={ROOMY}", "tmpfs", mounted)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount")
    yield mounted
    run("umount", mounted)


@pytest.mark.parametrize("size", [ROOMY, ROOMY - PIECE])
async def test_a_full_disk_refuses_and_nothing_is_left_behind(small_disk, size):
    async with open_local("local", small_disk) as storage:
        await storage.create_bucket("media", {})
        old = await put(storage, OLD, some(MIB))
        data = bytes(size)
        for at in (OLD, NEW):
            with pytest.raises(ServiceUnavailable):
                await put(storage, at, data)
        assert await storage.head(OLD) == old
        assert await keys(storage, "media") == ["old"]
        assert temporary(small_disk) == []
        assert not (small_disk / "media/folder").exists()
        await put(storage, NEW, some(MIB))


async def test_a_full_disk_refuses_small_writes_copies_and_parts_too(small_disk):
    async with open_local("local", small_disk) as storage:
        await storage.create_bucket("media", {})
        old = await put(storage, OLD, some(2 * MIB))
        upload = await storage.create_upload(NEW)
        (part,) = await uploaded(storage, upload, [(1, some(3 * MIB))])
        await put(storage, Address("media", "filler"), bytes(1 * MIB))
        for options in (WriteOptions(), WriteOptions(checksum="SHA256")):
            with pytest.raises(ServiceUnavailable):
                await storage.copy(OLD, NEW, options, old.etag)
        with pytest.raises(ServiceUnavailable):
            await storage.put_part(upload, 1, body(some(3 * MIB)))
        with pytest.raises(ServiceUnavailable):
            await storage.complete_upload(upload, [part], Completion())
        assert temporary(small_disk) == []
        assert (await storage.list_parts(upload)).parts == [part]
        await storage.delete(Address("media", "filler"))
        await storage.delete(OLD)
        await storage.complete_upload(upload, [part], Completion())
        assert await read(storage, NEW) == some(3 * MIB)


async def test_a_disk_without_room_for_another_byte_still_deletes(small_disk):
    async with open_local("local", small_disk) as storage:
        await storage.create_bucket("media", {})
        await put(storage, OLD, some(MIB))
        with pytest.raises(OSError, match="No space"):
            (small_disk / "filler").write_bytes(bytes(ROOMY))
        with pytest.raises(ServiceUnavailable):
            await put(storage, NEW, b"x" * SMALL)
        await storage.delete(OLD)
        assert await keys(storage, "media") == []


async def test_a_read_only_disk_refuses_writes_and_goes_on_to_be_read(small_disk):
    async with open_local("local", small_disk) as storage:
        await storage.create_bucket("media", {})
        upload = await storage.create_upload(NEW)
        await put(storage, OLD, b"data")
        run("mount", "-o", "remount,ro", small_disk)
        try:
            for call in (
                put(storage, NEW, b"x"),
                put(storage, NEW, some(MIB)),
                storage.delete(OLD),
                storage.annotate(OLD, {}),
                storage.annotate(Address("media"), {}),
                storage.create_bucket("other", {}),
                storage.delete_bucket("media"),
                storage.put_part(upload, 1, body(b"x")),
                storage.create_upload(NEW),
                storage.abort_upload(upload),
            ):
                with pytest.raises(ServiceUnavailable):
                    await call
            assert await read(storage, OLD) == b"data"
            assert await keys(storage, "media") == ["old"]
            assert [info.name for info in await storage.list_buckets()] == ["media"]
        finally:
            run("mount", "-o", "remount,rw", small_disk)
        await put(storage, NEW, b"x")


# --- the operating system says no ---


@pytest.fixture
async def storage(root):
    async with open_local("local", root) as storage:
        await storage.create_bucket("media", {})
        await put(storage, OLD, b"old")
        yield storage


@pytest.mark.parametrize("size", [10, 2 * PIECE])
@pytest.mark.parametrize(
    "refusal",
    [
        ("write", errno.ENOSPC, ServiceUnavailable),
        ("write", errno.EDQUOT, ServiceUnavailable),
        ("write", errno.EIO, ServiceUnavailable),
        ("write", errno.EFBIG, EntityTooLarge),
        ("fsync", errno.EIO, ServiceUnavailable),
        ("fsync", errno.ENOSPC, ServiceUnavailable),
        ("rename", errno.EROFS, ServiceUnavailable),
        ("rename", errno.EXDEV, ServiceUnavailable),
        ("rename", errno.EACCES, ServiceUnavailable),
        ("utime", errno.EPERM, ServiceUnavailable),
        ("open", errno.EMFILE, SlowDown),
        ("open", errno.ENFILE, SlowDown),
        ("mkdir", errno.ENOSPC, ServiceUnavailable),
    ],
    ids=str,
)
async def test_a_write_that_the_system_refuses_changes_nothing(storage, root, monkeypatch, refusal, size):
    function, number, error = refusal
    monkeypatch.setattr(os, function, refuse(number))
    with pytest.raises(error) as caught:
        await put(storage, NEW, some(size))
    monkeypatch.undo()
    assert str(root) not in str(caught.value), "where our files are is nobody's business"
    assert await keys(storage, "media") == ["old"]
    assert temporary(root) == []
    assert not (root / "media/folder").exists()


@pytest.mark.parametrize("which", [1, 2, 3])
async def test_a_sync_that_fails_is_never_acknowledged(storage, monkeypatch, which):
    """That of the file, that of the folder above a new one, that of the folder with the new name."""
    sync, calls = os.fsync, 0

    def failing(descriptor):
        nonlocal calls
        calls += 1
        if calls == which:
            raise OSError(errno.EIO, "broken")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    is_seen = which == 3
    with pytest.raises(InternalError if is_seen else ServiceUnavailable):  # nobody knows, or certainly not
        await put(storage, NEW, b"x")
    assert calls == which
    assert (NEW.key in await keys(storage, "media")) == is_seen


async def test_nothing_is_synced_where_that_was_traded_away(root, monkeypatch):
    monkeypatch.setattr(os, "fsync", refuse(errno.EIO))
    async with open_local("local", root, fsync=False) as storage:
        await storage.create_bucket("media", {})
        await put(storage, NEW, b"x")
        await completed(storage, NEW, [(1, b"x")])
        await storage.delete(NEW)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to become somebody else")
async def test_a_folder_that_may_not_be_looked_into_is_an_unanswered_question(storage, root):
    """As nobody in particular: for root there are no forbidden folders."""
    await put(storage, NEW, b"x")
    code = (
        "import asyncio, os, sys\n"
        "from pathlib import Path\n"
        "from gateway.backends.local import open_local\n"
        "from gateway.errors import ServiceUnavailable\n"
        "from gateway.storage import Address, Body\n"
        "async def none():\n"
        "    yield b'x'\n"
        "async def main(root):\n"
        "    async with open_local('local', root) as storage:\n"
        "        os.seteuid(65534)\n"
        "        for call in (storage.head(Address('media', 'folder/new')),\n"
        "                     storage.put(Address('media', 'folder/x'), Body(none(), 1)),\n"
        "                     storage.delete(Address('media', 'folder/new'))):\n"
        "            try:\n"
        "                await call\n"
        "            except ServiceUnavailable:\n"
        "                print('refused')\n"
        "        os.seteuid(0)\n"
        "asyncio.run(main(Path(sys.argv[1])))\n"
    )
    (root / "media/folder").chmod(0o700)
    root.parent.chmod(0o755)
    done = await asyncio.to_thread(run, sys.executable, "-c", code, root)
    assert done.stdout.split() == ["refused"] * 3
    assert await read(storage, NEW) == b"x"


# --- a root that is gone ---


async def is_silent_about_its_buckets(storage):
    for call in (
        storage.list_buckets(),
        storage.head_bucket("media"),
        storage.create_bucket("other", {}),
        storage.delete_bucket("media"),
        storage.list_objects("media", ListQuery()),
        storage.head(OLD),
        read(storage, OLD, ReadOptions()),
        put(storage, NEW, b"x"),
        put(storage, NEW, some(MIB)),
        storage.delete(OLD),
        storage.create_upload(NEW),
    ):
        with pytest.raises(ServiceUnavailable):
            await call


async def test_a_root_that_was_removed_says_nothing_about_its_buckets(storage, root):
    run("rm", "-rf", root)
    await is_silent_about_its_buckets(storage)
    root.mkdir()
    await is_silent_about_its_buckets(storage)


async def test_a_root_that_is_hidden_beneath_another_disk_says_nothing_about_what_it_lacks(small_disk):
    root = small_disk / "root"
    async with open_local("local", root) as storage:
        run("mount", "-t", "tmpfs", "tmpfs", root)
        try:
            with pytest.raises(ServiceUnavailable):
                await storage.head_bucket("media")
            with pytest.raises(ServiceUnavailable):
                await storage.create_bucket("media", {})
        finally:
            run("umount", root)
        with pytest.raises(NoSuchBucket):
            await storage.head_bucket("media")


async def test_a_root_that_cannot_be_made_stops_the_start(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        async with open_local("local", tmp_path / "file" / "root"):
            pass


async def test_what_fails_is_logged_with_its_cause(storage, monkeypatch, caplog):
    monkeypatch.setattr(os, "write", refuse(errno.EIO))
    with caplog.at_level(logging.WARNING), pytest.raises(ServiceUnavailable):
        await put(storage, NEW, b"x")
    assert any(getattr(record, "cause", "") == "EIO" for record in caplog.records)
