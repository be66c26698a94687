"""What is known of an object stands in an extended attribute, or beside it where that has no room."""

import asyncio
import errno
import os

import pytest

from gateway.backends.local import attributes, open_local, records, sidecars
from gateway.errors import InvalidPartNumber, NoSuchKey
from gateway.storage import Address, ListQuery, ReadOptions, WriteOptions
from tests.backends.given import MIB, completed, etag, keys, put, read, some
from tests.backends.local.conftest import refuse

AT = Address("media", "folder/key")
SMALL_ONES = WriteOptions(metadata={"a": "b"})
LARGE_ONES = WriteOptions(
    headers={"content-type": "x" * 4000}, metadata={"long": "ü" * 1000}, labels={"note": "y" * 70_000}
)


@pytest.fixture
async def storage(disk):
    async with open_local("local", disk, fsync=False) as storage:
        await storage.create_bucket("media", {})
        yield storage


def beside(disk):
    """Return the names of all that is kept beside objects."""
    return sorted(path.name for path in (disk / ".gw/meta").rglob("*") if path.is_file())


def attribute(disk):
    try:
        return os.getxattr(disk / "media/folder/key", attributes.NAME)
    except OSError:
        return None


@pytest.fixture(params=["with attributes", "without attributes"])
def either(request):
    if request.param == "without attributes":
        request.getfixturevalue("without_attributes")


async def test_what_fits_stands_in_an_attribute_and_nowhere_else(storage, disk):
    await put(storage, AT, b"data", SMALL_ONES)
    assert attribute(disk)
    assert beside(disk) == []


async def test_what_does_not_fit_stands_beside_and_goes_with_its_object(storage, disk):
    stored = await put(storage, AT, b"data", LARGE_ONES)
    assert attribute(disk) is None
    assert len(beside(disk)) == 1
    assert await storage.head(AT) == stored
    assert (await storage.head(AT)).labels == LARGE_ONES.labels
    again = await put(storage, AT, b"new!", LARGE_ONES)
    assert len(beside(disk)) == 1
    assert await storage.head(AT) == again
    await put(storage, AT, b"data", SMALL_ONES)
    assert beside(disk) == []
    await put(storage, AT, b"data", LARGE_ONES)
    await storage.delete(AT)
    assert beside(disk) == []


async def test_a_file_system_without_attributes_keeps_everything_beside(storage, disk, without_attributes):
    stored = await put(storage, AT, b"data", SMALL_ONES)
    assert len(beside(disk)) == 1
    assert await storage.head(AT) == stored
    assert await read(storage, AT) == b"data"
    await storage.delete(AT)
    assert beside(disk) == []


async def test_the_list_of_parts_stands_beside_and_goes_with_its_object(storage, disk, either):
    parts = [(1, some(5 * MIB)), (7, b"last")]
    info = await completed(storage, AT, parts)
    assert any(name.endswith("parts") for name in beside(disk))
    head = await storage.head(AT, ReadOptions(parts=True))
    assert [(part.number, part.size) for part in head.parts] == [(1, 5 * MIB), (2, 4)]
    assert head.etag == info.etag
    assert await read(storage, AT, ReadOptions(part=2)) == b"last"
    await put(storage, AT, b"plain")
    assert not any(name.endswith("parts") for name in beside(disk))


async def test_labels_may_outgrow_the_attribute_and_shrink_again(storage, disk, either):
    stored = await put(storage, AT, b"data", SMALL_ONES)
    for labels in ({"note": "y" * 70_000}, {"note": "short"}, {}, {"note": "z" * 5000}):
        await storage.annotate(AT, labels)
        info = await storage.head(AT)
        assert info.labels == labels
        assert (info.etag, info.modified, info.metadata) == (stored.etag, stored.modified, stored.metadata)
        assert len(beside(disk)) + bool(attribute(disk)) == 1


async def test_labelling_an_object_of_parts_keeps_its_parts(storage, disk, either):
    await completed(storage, AT, [(1, some(5 * MIB)), (2, b"last")])
    await storage.annotate(AT, {"owner": "me"})
    head = await storage.head(AT, ReadOptions(parts=True))
    assert (head.labels, len(head.parts)) == ({"owner": "me"}, 2)


async def test_a_record_that_is_damaged_is_no_record(storage, disk):
    await put(storage, AT, b"data", SMALL_ONES)
    stat = (disk / "media/folder/key").stat()
    for raw in (b"", b"{", b"[]", b"7", b'{"size":4}', b'{"size":4,"mtime":%d}' % stat.st_mtime_ns, b"\xff"):
        os.setxattr(disk / "media/folder/key", attributes.NAME, raw)
        info = await storage.head(AT)
        assert (info.size, info.metadata) == (4, {})
        assert await read(storage, AT) == b"data"


async def test_a_list_of_parts_that_is_lost_makes_nobody_wait_for_ever(storage, disk):
    await completed(storage, AT, [(1, some(5 * MIB)), (2, b"last")])
    for path in (disk / ".gw/meta").rglob("*.parts"):
        path.unlink()
    info = await storage.head(AT, ReadOptions(parts=True))
    assert (info.part_count, info.parts) == (0, ())
    with pytest.raises(InvalidPartNumber):
        await read(storage, AT, ReadOptions(part=2))
    assert (await read(storage, AT))[-4:] == b"last"


async def test_a_write_that_fails_takes_with_it_what_was_written_beside(storage, disk, monkeypatch):
    monkeypatch.setattr(os, "rename", _failing_in("media", os.rename))
    with pytest.raises(Exception, match="unable"):
        await put(storage, AT, b"data", LARGE_ONES)
    monkeypatch.undo()
    assert beside(disk) == []
    assert list((disk / "media").iterdir()) == []
    with pytest.raises(NoSuchKey):
        await storage.head(AT)


def _failing_in(_bucket, rename):
    def failing(source, target, **options):
        if target == b"key":
            raise OSError(errno.EIO, "broken")
        return rename(source, target, **options)

    return failing


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.EPERM, errno.EACCES, errno.ENOSPC, errno.E2BIG, errno.EDQUOT])
async def test_whatever_keeps_an_attribute_from_being_written_it_is_kept_beside(storage, disk, monkeypatch, number):
    monkeypatch.setattr(os, "setxattr", refuse(number))
    stored = await put(storage, AT, b"data", SMALL_ONES)
    assert await storage.head(AT) == stored


async def test_who_reads_a_version_whose_sidecar_is_just_being_replaced_sees_the_old_or_the_new(
    storage, monkeypatch, without_attributes
):
    """Between opening the file and reading what is beside it, the object is replaced."""
    await put(storage, AT, b"old", WriteOptions(metadata={"is": "old"}))
    fresh = sidecars.read
    replaced = False

    def late(root, at, stat, kind):
        nonlocal replaced
        if not replaced:
            replaced = True
            file = root.path / "media/folder/key"
            other = root.path / "media/folder/other"
            file.unlink()
            other.rename(file)
            return None
        return fresh(root, at, stat, kind)

    await put(storage, Address("media", "folder/other"), b"new!", WriteOptions(metadata={"is": "new"}))
    monkeypatch.setattr(sidecars, "read", late)
    info = await storage.head(AT)
    assert replaced
    assert info.size == 4


@pytest.fixture
async def meanwhile(monkeypatch):
    """Have something done while a listing looks at the first foreign file."""
    describe, loop, waiting = records.foreign, asyncio.get_running_loop(), []

    def late(key, stat):
        if waiting:
            asyncio.run_coroutine_threadsafe(waiting.pop(), loop).result(10)
        return describe(key, stat)

    monkeypatch.setattr(records, "foreign", late)
    return waiting.append


async def test_what_is_first_written_beside_while_a_page_is_made_is_told(storage, disk, without_attributes, meanwhile):
    """Until then nothing stood beside any object, and nobody looked for it."""
    for name in ("a", "b"):
        (disk / "media" / name).write_bytes(b"foreign")
    meanwhile(put(storage, Address("media", "b"), b"ours"))
    page = await storage.list_objects("media", ListQuery())
    assert [(info.key, info.etag) for info in page.objects][1:] == [("b", etag(b"ours"))]


async def test_a_bucket_that_is_made_anew_while_a_page_is_made_is_not_told_of_the_old_one(storage, disk, meanwhile):
    async def renew():
        await storage.delete(Address("media", "a"))
        await storage.delete_bucket("media")
        await storage.create_bucket("media", {})

    (disk / "media/a").write_bytes(b"foreign")
    meanwhile(renew())
    assert await keys(storage, "media") == []


async def test_nobody_looks_beside_each_object_of_a_bucket_where_nothing_stands_beside_any(storage, disk, monkeypatch):
    looked, read_beside = [], sidecars.read
    monkeypatch.setattr(sidecars, "read", lambda *said: looked.append(said) or read_beside(*said))
    (disk / "media/foreign").write_bytes(b"x")
    await put(storage, AT, b"data", SMALL_ONES)
    assert await keys(storage, "media") == ["folder/key", "foreign"]
    assert looked == []
