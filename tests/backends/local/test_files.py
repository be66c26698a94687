"""Files as people find them, leave them and change them: natural names, foreign files, edits, links, pipes."""

import asyncio
import os
import shutil
import socket
import stat

import pytest

from gateway.conditions import Conditions
from gateway.errors import BucketNotEmpty, NoSuchBucket, NoSuchKey, ServiceUnavailable
from gateway.storage import SMALL, Address, ListQuery, ReadOptions, WriteOptions
from tests.backends.given import body, etag, keys, put, read, some

SIZES = [0, 10, SMALL + 1]


@pytest.fixture(autouse=True, params=["with openat2", "step by step"])
def opening(request):
    """Both ways to open a file must be equally safe."""
    if request.param == "step by step":
        request.getfixturevalue("without_openat2")


@pytest.fixture
async def bucket(storage):
    await storage.create_bucket("media", {})
    return "media"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


async def is_absent(storage, at):
    with pytest.raises(NoSuchKey):
        await read(storage, at)
    with pytest.raises(NoSuchKey):
        await storage.head(at)
    return at.key not in await keys(storage, at.bucket)


@pytest.mark.parametrize("size", SIZES)
async def test_an_object_is_the_file_of_its_name(storage, root, bucket, size):
    await put(storage, Address(bucket, "designs/42/preview.png"), some(size))
    assert (root / "media/designs/42/preview.png").read_bytes() == some(size)


async def test_nothing_but_buckets_and_our_own_corner_lies_in_the_root(storage, root, bucket):
    await put(storage, Address(bucket, "key"), b"data")
    upload = await storage.create_upload(Address(bucket, "other"))
    await storage.put_part(upload, 1, body(b"part"))
    assert names(root) == [".gw", "media"]
    assert names(root / "media") == ["key"]


async def test_folders_go_with_their_last_object(storage, root, bucket):
    for key in ("a/b/c/d", "a/x"):
        await put(storage, Address(bucket, key))
    await storage.delete(Address(bucket, "a/b/c/d"))
    assert names(root / "media/a") == ["x"]
    await storage.delete(Address(bucket, "a/x"))
    assert names(root / "media") == []


# --- files that somebody else put there ---


@pytest.mark.parametrize("size", SIZES)
async def test_a_file_that_is_dropped_in_is_an_object(storage, root, bucket, size):
    (root / "media/sub").mkdir()
    (root / "media/sub/page.html").write_bytes(some(size))
    at = Address(bucket, "sub/page.html")
    info = await storage.head(at)
    assert (info.size, info.headers, info.checksum) == (size, {"content-type": "text/html"}, None)
    assert info.etag.endswith("-1"), "an ETag that is no MD5 must not look like one"
    assert await read(storage, at) == some(size)
    (listed,) = (await storage.list_objects(bucket, ListQuery())).objects
    assert (listed.key, listed.size, listed.etag) == (at.key, size, info.etag)
    async with storage.get(at) as download:
        assert download.info == info


async def test_a_dropped_in_file_without_a_known_ending_is_of_no_known_type(storage, root, bucket):
    (root / "media/thing").write_bytes(b"x")
    assert (await storage.head(Address(bucket, "thing"))).headers == {"content-type": "binary/octet-stream"}


async def test_a_folder_made_by_hand_is_a_bucket(storage, root):
    (root / "by-hand").mkdir()
    (root / "by-hand/key").write_bytes(b"x")
    assert [info.name for info in await storage.list_buckets()] == ["by-hand"]
    assert (await storage.head_bucket("by-hand")).labels == {}
    await storage.annotate(Address("by-hand"), {"owner": "me"})
    assert (await storage.head_bucket("by-hand")).labels == {"owner": "me"}
    assert await keys(storage, "by-hand") == ["key"]
    with pytest.raises(BucketNotEmpty):
        await storage.delete_bucket("by-hand")
    await storage.delete(Address("by-hand", "key"))
    await storage.delete_bucket("by-hand")
    assert names(root) == [".gw"]


@pytest.mark.parametrize("name", [".gw", "..", ".", "", "a/b", "a\0b", "-x", "lost+found", "file"])
async def test_what_is_no_bucket_is_not_served_as_one(storage, root, name):
    (root / "lost+found").mkdir()
    (root / "file").write_bytes(b"")
    assert await storage.list_buckets() == []
    for call in (
        storage.head_bucket(name),
        storage.list_objects(name, ListQuery()),
        storage.head(Address(name, "lock")),
        read(storage, Address(name, "lock")),
        put(storage, Address(name, "lock"), b"x"),
        storage.delete(Address(name, "lock")),
        storage.delete_bucket(name),
        storage.create_upload(Address(name, "lock")),
    ):
        with pytest.raises(NoSuchBucket):
            await call


async def test_a_dropped_in_file_can_be_labelled_replaced_copied_and_deleted(storage, root, bucket):
    at = Address(bucket, "cat.jpg")
    (root / "media/cat.jpg").write_bytes(b"meow")
    before = await storage.head(at)
    await storage.annotate(at, {"owner": "me"})
    after = await storage.head(at)
    assert after.labels == {"owner": "me"}
    assert (after.etag, after.modified, after.headers) == (before.etag, before.modified, before.headers)
    copied = await storage.copy(at, Address(bucket, "copy"), WriteOptions(), before.etag)
    assert copied.etag == etag(b"meow")
    await put(storage, at, b"purr")
    assert (root / "media/cat.jpg").read_bytes() == b"purr"
    await storage.delete(at)
    assert not (root / "media/cat.jpg").exists()


@pytest.mark.parametrize("new", [b"NEW!", b"longer than before", b""])
async def test_an_object_that_was_edited_in_place_is_told_as_it_is_now(storage, root, bucket, new):
    at = Address(bucket, "note.txt")
    old = await put(storage, at, b"old!", WriteOptions(metadata={"a": "b"}))
    file = root / "media/note.txt"
    file.write_bytes(new)
    os.utime(file, ns=(1, 1))
    info = await storage.head(at)
    assert (info.size, info.metadata, info.checksum) == (len(new), {}, None)
    assert info.etag not in {old.etag, etag(new)}
    assert info.headers == {"content-type": "text/plain"}
    assert await read(storage, at) == new
    (listed,) = (await storage.list_objects(bucket, ListQuery())).objects
    assert (listed.size, listed.etag) == (len(new), info.etag)


async def test_a_file_copied_with_its_attributes_keeps_what_is_known_of_it(storage, disk, root, bucket):
    stored = await put(storage, Address(bucket, "key"), b"data", WriteOptions(metadata={"a": "b"}))
    shutil.copy2(root / "media/key", root / "media/copy")
    info = await storage.head(Address(bucket, "copy"))
    assert (info.etag, info.metadata, info.modified) == (stored.etag, {"a": "b"}, stored.modified)


async def test_files_whose_names_are_no_keys_are_not_listed_and_keep_the_bucket(storage, root, bucket):
    for name in (b"\xff", b".%", b".%fnatural", b".%f%41", b"x" * 251):
        (root / "media" / os.fsdecode(name)).write_bytes(b"")
    for folder in (b".%dnatural", b"\xfe", b".%c" + b"y" * 10):
        (root / "media" / os.fsdecode(folder)).mkdir()
        (root / "media" / os.fsdecode(folder) / "inner").write_bytes(b"")
    assert await keys(storage, bucket) == []
    assert await keys(storage, bucket, ListQuery(delimiter="/")) == []
    with pytest.raises(BucketNotEmpty):
        await storage.delete_bucket(bucket)


async def test_folders_that_are_too_deep_for_a_key_are_passed_over(storage, root, bucket):
    deep = root / "media"
    for _ in range(6):
        deep = deep / ("d" * 200)
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"")
    (root / "media/e").write_bytes(b"")
    assert await keys(storage, bucket) == ["e"]
    assert await keys(storage, bucket, ListQuery(delimiter="/")) == ["e"]


async def test_empty_folders_are_no_objects_and_do_not_keep_a_bucket(storage, root, bucket):
    (root / "media/a/b/c").mkdir(parents=True)
    (root / "media/a/d").mkdir(parents=True)
    assert await keys(storage, bucket) == []
    assert await keys(storage, bucket, ListQuery(delimiter="/")) == []
    assert await is_absent(storage, Address(bucket, "a"))
    await storage.delete_bucket(bucket)
    assert not (root / "media").exists()


async def test_a_prefix_is_told_only_if_an_object_is_far_down_in_it(storage, root, bucket):
    for number in range(40):
        (root / f"media/many/{number:02}").mkdir(parents=True)
    (root / "media/none/x/y").mkdir(parents=True)
    assert await keys(storage, bucket, ListQuery(delimiter="/")) == []
    (root / "media/many/39/file").write_bytes(b"")
    (root / "media/many/00/pipe").mkdir()
    assert await keys(storage, bucket, ListQuery(delimiter="/")) == ["many/"]


# --- what is no regular file ---


@pytest.fixture
def outside(tmp_path):
    """A folder outside the root, which nothing may ever reach."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_bytes(b"secret")
    yield folder
    assert names(folder) == ["secret"]
    assert (folder / "secret").read_bytes() == b"secret"


async def test_a_link_to_a_file_is_no_object(storage, root, bucket, outside):
    (root / "media/link").symlink_to(outside / "secret")
    (root / "media/inner").symlink_to("key")
    await put(storage, Address(bucket, "key"), b"data")
    assert await is_absent(storage, Address(bucket, "link"))
    assert await is_absent(storage, Address(bucket, "inner"))
    await storage.delete(Address(bucket, "link"))
    assert (root / "media/link").is_symlink()
    await put(storage, Address(bucket, "link"), b"mine")
    assert not (root / "media/link").is_symlink()
    assert await read(storage, Address(bucket, "link")) == b"mine"


async def test_a_link_to_a_folder_is_not_followed(storage, root, bucket, outside):
    (root / "media/link").symlink_to(outside)
    at = Address(bucket, "link/secret")
    assert await is_absent(storage, at)
    assert await keys(storage, bucket, ListQuery("link/")) == []
    assert await keys(storage, bucket, ListQuery(delimiter="/")) == []
    for data in (b"x", some(SMALL + 1)):
        with pytest.raises(ServiceUnavailable):
            await put(storage, at, data)
    await storage.delete(at)


async def test_a_link_to_a_folder_is_no_bucket(storage, root, outside):
    (root / "linked").symlink_to(outside)
    assert await storage.list_buckets() == []
    for call in (
        storage.head_bucket("linked"),
        storage.list_objects("linked", ListQuery()),
        read(storage, Address("linked", "secret")),
        put(storage, Address("linked", "secret"), b"x"),
        storage.delete(Address("linked", "secret")),
        storage.delete_bucket("linked"),
    ):
        with pytest.raises(NoSuchBucket):
            await call


async def test_a_link_that_is_swapped_in_and_out_never_leads_outside(storage, root, bucket, outside):
    """A folder and a link to a folder outside change places while the gateway reads, writes, lists and deletes."""
    at, inner = Address(bucket, "folder/secret"), root / "media/folder"
    stop = False

    def swap():
        while not stop:
            try:
                shutil.rmtree(inner) if not inner.is_symlink() and inner.is_dir() else inner.unlink(missing_ok=True)
                inner.symlink_to(outside)
                inner.unlink()
                inner.mkdir()
            except OSError:
                continue

    async def calls():
        for _ in range(300):
            for call in (put(storage, at, b"mine"), read(storage, at), storage.delete(at), keys(storage, bucket)):
                try:
                    result = await call
                except (NoSuchKey, ServiceUnavailable):
                    continue
                assert result != b"secret"

    swapping = asyncio.create_task(asyncio.to_thread(swap))
    try:
        await calls()
    finally:
        stop = True
        await swapping


async def test_a_pipe_a_socket_and_a_device_are_no_objects_and_make_nobody_wait(storage, root, bucket):
    os.mkfifo(root / "media/pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        folder = os.open(root / "media", os.O_RDONLY)
        listening.bind(f"/proc/self/fd/{folder}/socket")
        os.close(folder)
        os.mknod(root / "media/null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        for key in ("pipe", "socket", "null"):
            assert await is_absent(storage, Address(bucket, key))
            with pytest.raises(ServiceUnavailable):
                await put(storage, Address(bucket, f"{key}/inner"), b"x")
        assert await keys(storage, bucket, ListQuery(delimiter="/")) == []


@pytest.mark.parametrize("key", ["../escape", "../../escape", "a/../../escape", "..", "/escape", "//escape", "\0"])
async def test_no_key_leads_out_of_the_bucket(storage, root, bucket, key):
    before = names(root), names(root.parent)
    await put(storage, Address(bucket, key), b"data")
    assert await read(storage, Address(bucket, key)) == b"data"
    assert (names(root), names(root.parent)) == before
    assert not os.access("/escape", os.F_OK)
    await storage.delete(Address(bucket, key))
    assert names(root / "media") == []


# --- a key beside keys below it ---

TRIPLE = ["a", "a/b", "a/b/c", "a/", "a/b/"]


@pytest.mark.parametrize("order", [TRIPLE, TRIPLE[::-1], ["a/b", "a", "a/b/c", "a/b/", "a/"]])
async def test_a_key_and_keys_below_it_live_side_by_side(storage, bucket, order):
    for key in order:
        await put(storage, Address(bucket, key), key.encode())
    assert await keys(storage, bucket) == sorted(order)
    for key in order:
        assert await read(storage, Address(bucket, key)) == key.encode()
        await put(storage, Address(bucket, key), b"again " + key.encode())
    for key in order:
        assert await read(storage, Address(bucket, key)) == b"again " + key.encode()
    for number, key in enumerate(order):
        await storage.delete(Address(bucket, key))
        assert await keys(storage, bucket) == sorted(order[number + 1 :])
    await storage.delete_bucket(bucket)


async def test_a_file_that_stood_in_the_way_stays_readable_and_keeps_what_is_known_of_it(storage, root, bucket):
    stored = await put(storage, Address(bucket, "a"), b"data", WriteOptions(metadata={"x": "y"}))
    await put(storage, Address(bucket, "a/b"), b"below")
    assert await storage.head(Address(bucket, "a")) == stored
    assert (root / "media/.%aa").read_bytes() == b"data"
    assert (root / "media/a/b").read_bytes() == b"below"
    await storage.delete(Address(bucket, "a/b"))
    assert await storage.head(Address(bucket, "a")) == stored
    await put(storage, Address(bucket, "a"), b"new")
    assert names(root / "media") == [".%aa"], "who looks at one name and then at the other must find it"
    assert await read(storage, Address(bucket, "a")) == b"new"
    assert await keys(storage, bucket) == ["a"]


async def test_what_stood_aside_does_not_come_back_when_a_file_dropped_in_its_place_is_deleted(storage, root, bucket):
    await put(storage, Address(bucket, "a"), b"old")
    await put(storage, Address(bucket, "a/b"), b"below")
    await storage.delete(Address(bucket, "a/b"))
    (root / "media/a").write_bytes(b"dropped in")
    assert await read(storage, Address(bucket, "a")) == b"dropped in"
    assert await keys(storage, bucket) == ["a"]
    await storage.delete(Address(bucket, "a"))
    assert await is_absent(storage, Address(bucket, "a"))


async def test_a_refused_write_leaves_no_folder(storage, root, bucket):
    with pytest.raises(NoSuchKey):
        await put(storage, Address(bucket, "x/y/z"), b"", WriteOptions(conditions=Conditions(if_match=("*",))))
    assert names(root / "media") == []


async def test_an_object_stays_whole_for_who_reads_it_while_it_is_replaced_and_deleted(storage, bucket):
    at, data = Address(bucket, "key"), some(SMALL + 1)
    await put(storage, at, data)
    async with storage.get(at, ReadOptions()) as download:
        await put(storage, at, b"new")
        await storage.delete(at)
        assert os.pread(download.content.descriptor, len(data), 0) == data


async def test_foreign_files_in_a_listing_are_what_they_are_by_themselves(storage, root, bucket):
    names = (".png", "a.html", "b.tar.gz", "c", "d.x.jpg", "data:text")
    for name in names:
        (root / bucket / name).write_bytes(name.encode())
    page = await storage.list_objects(bucket, ListQuery())
    assert page.objects == [await storage.head(Address(bucket, name)) for name in names]
    unknown = "binary/octet-stream"
    types = [info.headers["content-type"] for info in page.objects]
    assert types == [unknown, "text/html", "application/x-tar", unknown, "image/jpeg", unknown]
