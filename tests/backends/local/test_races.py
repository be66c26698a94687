"""Many at once, in one process and in many: nothing acknowledged gets lost, nobody sees what never was."""

import asyncio
import sys

import pytest

from gateway.backends.local import locks, open_local, parts, uploads
from gateway.errors import BucketNotEmpty, NoSuchKey, NoSuchUpload
from gateway.storage import SMALL, Address, Completion, ListQuery
from tests.backends.given import body, keys, put, read, some
from tests.backends.local.crowd import AT, TANGLED


@pytest.fixture
async def bucket(storage):
    await storage.create_bucket("media", {})
    return "media"


async def crowd(root, job, people):
    """Return what each of many processes says in the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.backends.local.crowd", str(root), job, str(people)),
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate()
    return told.decode().splitlines()


def is_tidy(root):
    """Say whether nothing is left of what was written and deleted."""
    left = [path for path in (root / ".gw/meta").rglob("*") if path.is_file()]
    return left == [] and not list((root / "media").iterdir())


async def test_of_twenty_processes_that_create_a_key_exactly_one_wins(storage, root, bucket):
    assert sorted(await crowd(root, "create", 20)) == ["lost"] * 19 + ["won"]


async def test_processes_that_count_together_miss_no_number(storage, root, bucket):
    await put(storage, AT, b"0")
    assert await crowd(root, "count", 6) == ["done"] * 6
    assert await read(storage, AT) == b"60"


async def test_processes_that_are_in_each_others_way_lose_nothing(storage, root, bucket):
    await put(storage, Address(bucket, "a"), b"here")
    assert await crowd(root, "tangle", 6) == ["done"] * 6
    there = await keys(storage, bucket)
    for key in there:
        await storage.delete(Address(bucket, key))
    assert await keys(storage, bucket) == []
    assert is_tidy(root)
    await storage.delete_bucket(bucket)


async def test_an_object_is_never_acknowledged_into_a_bucket_that_is_gone(disk):
    """Nor is what stands beside it taken for a leftover of the bucket before."""
    assert await crowd(disk, "come_and_go", 6) == ["done"] * 6


async def test_threads_that_are_in_each_others_way_lose_nothing(storage, root, bucket):
    """`a` is replaced all the time and never deleted, while folders come and go in its place."""
    at, stop = Address(bucket, "a"), asyncio.Event()
    await put(storage, at, b"first")

    async def tangle(key):
        for number in range(60):
            await put(storage, Address(bucket, key), some(1 + number % 2 * SMALL))
            assert await read(storage, Address(bucket, key)) == some(1 + number % 2 * SMALL)
            await storage.delete(Address(bucket, key))
            with pytest.raises(NoSuchKey):
                await storage.head(Address(bucket, key))

    async def replace():
        number = 0
        while not stop.is_set():
            number += 1
            await put(storage, at, b"%d" % number)
            assert await read(storage, at) == b"%d" % number

    async def look():
        while not stop.is_set():
            assert (await read(storage, at)) == b"first" or int(await read(storage, at))
            assert (await storage.list_objects(bucket, ListQuery(limit=1))).objects[0].key == "a"

    looking = [asyncio.create_task(call()) for call in (replace, look, look)]
    await asyncio.gather(*(tangle(key) for key in TANGLED[1:]))
    stop.set()
    await asyncio.gather(*looking)
    await storage.delete(at)
    assert is_tidy(root)


async def test_what_was_just_written_keeps_its_bucket(storage, bucket):
    async def write(number):
        await put(storage, Address(bucket, f"{number}/x"), b"x")
        with pytest.raises(BucketNotEmpty):
            await storage.delete_bucket(bucket)
        assert await read(storage, Address(bucket, f"{number}/x")) == b"x"

    await asyncio.gather(*(write(number) for number in range(20)))


async def test_nothing_is_put_into_a_bucket_while_it_is_made_or_removed(storage, root, bucket):
    upload = await storage.create_upload(Address(bucket, "key"))
    with storage._root.locks.hold([locks.bucket_lock(bucket)]):
        waiting = {
            asyncio.create_task(call)
            for call in (
                put(storage, Address(bucket, "x"), b"x"),
                storage.delete(Address(bucket, "x")),
                storage.create_upload(Address(bucket, "x")),
                storage.abort_upload(upload),
            )
        }
        done, _ = await asyncio.wait(waiting, timeout=0.2)
        assert not done
    await asyncio.wait(waiting)


@pytest.mark.parametrize("way", ["places", "files"])
async def test_a_lock_is_held_by_one_process_and_shared_by_those_who_share_it(root, monkeypatch, way):
    if way == "files":
        monkeypatch.setattr(locks, "_SET_AND_WAIT", None)
    async with open_local("one", root) as one, open_local("two", root) as two:
        entered = []

        def enter(backend, exclusive, shared=()):
            with backend._root.locks.hold(exclusive, shared):
                entered.append((*exclusive, *shared))

        with one._root.locks.hold(["key"], shared=["bucket"]):
            waiting = asyncio.create_task(asyncio.to_thread(enter, two, ["key"]))
            await asyncio.to_thread(enter, two, ["other"], ["bucket"])
            assert entered == [("other", "bucket")]
        await waiting
        assert entered == [("other", "bucket"), ("key",)]


async def test_locks_asked_for_in_any_order_make_nobody_wait_for_ever(root):
    async with open_local("one", root) as one, open_local("two", root) as two:

        def often(backend, names):
            for _ in range(300):
                with backend._root.locks.hold(names):
                    pass

        await asyncio.gather(
            asyncio.to_thread(often, one, ["a", "b", "c"]), asyncio.to_thread(often, two, ["c", "b", "a"])
        )


async def test_parts_that_are_just_being_removed_are_not_told_as_missing(storage, bucket, monkeypatch):
    """The upload is aborted while its parts are looked at: it is gone, not wrong."""
    read_part = parts.read
    for call in (
        lambda upload, part: storage.complete_upload(upload, [part], Completion()),
        lambda upload, _: storage.list_parts(upload),
    ):
        upload = await storage.create_upload(Address(bucket, "key"))
        part = await storage.put_part(upload, 1, body(b"part"))

        def late(folder, number, upload=upload):
            uploads.abort(storage._root, upload)
            return read_part(folder, number)

        monkeypatch.setattr(parts, "read", late)
        with pytest.raises(NoSuchUpload):
            await call(upload, part)
        monkeypatch.undo()
