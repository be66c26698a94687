"""Behind other names and prefixes every promise holds, and nobody sees what is not his."""

import pytest

from gateway.backends.local import open_local
from gateway.backends.memory import Memory
from gateway.conditions import Conditions
from gateway.errors import (
    AccessDenied,
    BucketAlreadyExists,
    BucketNotEmpty,
    InvalidArgument,
    KeyTooLongError,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    NotImplementedByGateway,
    PreconditionFailed,
)
from gateway.routing.place import Place
from gateway.routing.private import Private
from gateway.routing.rename import Rename
from gateway.routing.wrapper import Wrapper
from gateway.storage import Address, ListQuery, ReadOptions, UploadQuery, WriteOptions
from tests.backends.contract import BackendContract
from tests.backends.given import NOBODY, body, keys, put, read, uploads

A, B = Address("a", "key"), Address("b", "key")


class Everywhere(dict):
    """A place for every bucket that is asked for, and for none that nobody routes."""

    def __init__(self, place):
        self._at = place

    def get(self, bucket):
        if bucket != NOBODY:
            self.setdefault(bucket, self._at(bucket))
        return super().get(bucket)


def named(bucket):
    return Place(f"{bucket}.upstream")


def prefixed(bucket):
    return Place(bucket, "p/")


def shared(bucket):
    return Place("shared", f"of/{bucket}/")


class TestName(BackendContract):
    @pytest.fixture
    async def storage(self):
        return Private(Rename(Memory(), Everywhere(named)))


class TestPrefix(BackendContract):
    @pytest.fixture
    async def storage(self):
        return Private(Rename(Memory(), Everywhere(prefixed)))


class TestNameAndPrefix(BackendContract):
    """All buckets of the suite lie in one."""

    @pytest.fixture
    async def storage(self):
        return Private(Rename(Memory(), Everywhere(shared)))


class TestPrefixOnDisk(BackendContract):
    @pytest.fixture
    async def storage(self, tmp_path):
        async with open_local("disk", tmp_path / "root", fsync=False) as disk:
            yield Private(Rename(disk, Everywhere(shared)))

    # the prefix takes from the 1024 bytes that a key may have
    test_nasty_keys_are_listed_page_by_page = None
    test_a_listing_may_begin_after_anything = None
    test_every_key_is_an_object_of_its_own = None

    @pytest.mark.parametrize("key", ["key", "a/b/c", "folder/", ".hidden", "..", "/", "k" * 1000])
    async def test_a_bucket_with_an_object_is_not_deleted(self, storage, bucket, key):
        await BackendContract.test_a_bucket_with_an_object_is_not_deleted(self, storage, bucket, key)


@pytest.fixture
async def memory():
    memory = Memory()
    await memory.create_bucket("up", {"owner": "of the whole"})
    return memory


@pytest.fixture
def storage(memory):
    """Three buckets of the gateway in one, and one with another name."""
    places = {"a": Place("up", "a/"), "b": Place("up", "b/"), "c": Place("up", "c-"), "plain": Place("other")}
    return Private(Rename(memory, places))


async def every_key(memory, bucket="up"):
    return [key for key in await keys(memory, bucket) if "/.gw/" not in key]


async def test_objects_lie_natively_under_the_name_and_the_prefix(storage, memory):
    await storage.create_bucket("plain", {})
    for at in (A, B, Address("c", "key"), Address("plain", "key")):
        await put(storage, at, at.bucket.encode())
    assert await every_key(memory) == ["a/key", "b/key", "c-key"]
    assert await keys(memory, "other") == ["key"]
    await put(memory, Address("up", "a/dropped/in"), b"by another")
    assert await keys(storage, "a") == ["dropped/in", "key"]
    assert await read(storage, Address("a", "dropped/in")) == b"by another"


async def test_a_bucket_under_a_prefix_is_there_with_the_bucket_around_it(storage, memory):
    assert [info.name for info in await storage.list_buckets()] == ["a", "b", "c"]
    assert (await storage.head_bucket("a")).created == (await memory.head_bucket("up")).created
    assert await keys(storage, "a") == []
    await memory.delete_bucket("up")
    assert await storage.list_buckets() == []
    with pytest.raises(NoSuchBucket) as caught:
        await storage.head_bucket("a")
    assert caught.value.fields == {"BucketName": "a"}


async def test_creating_one_creates_the_bucket_around_it():
    memory = Memory()
    storage = Rename(memory, {"a": Place("up", "a/"), "b": Place("up", "b/")})
    await storage.create_bucket("a", {"owner": "one"})
    await storage.create_bucket("b", {"owner": "two"})
    assert (await memory.head_bucket("up")).labels == {}
    assert [(info.name, info.labels) for info in await storage.list_buckets()] == [
        ("a", {"owner": "one"}),
        ("b", {"owner": "two"}),
    ]


async def test_deleting_one_leaves_the_bucket_around_it_and_the_others(storage, memory):
    await put(storage, B, b"precious")
    await storage.annotate(Address("b"), {"owner": "two"})
    await storage.create_bucket("a", {"owner": "one"})
    await storage.delete_bucket("a")
    assert [info.name for info in await storage.list_buckets()] == ["b", "c"]
    assert (await memory.head_bucket("up")).labels == {"owner": "of the whole"}
    assert (await storage.head_bucket("b")).labels == {"owner": "two"}
    assert await read(storage, B) == b"precious"
    for listing in (storage.list_objects("a", ListQuery()), storage.head_bucket("a"), storage.delete_bucket("a")):
        with pytest.raises(NoSuchBucket):
            await listing


async def test_what_was_there_before_is_not_deleted_with_its_bucket(storage, memory):
    await put(memory, Address("up", "a/there"), b"precious")
    with pytest.raises(BucketNotEmpty):
        await storage.delete_bucket("a")
    with pytest.raises(BucketAlreadyExists):
        await storage.create_bucket("a", {"owner": "thief"})
    assert (await storage.head_bucket("a")).labels == {}


async def test_a_write_makes_a_deleted_bucket_be_there_again_without_its_owner(storage):
    await storage.create_bucket("a", {"owner": "one"})
    await storage.delete_bucket("a")
    await put(storage, A)
    assert (await storage.head_bucket("a")).labels == {}
    assert await keys(storage, "a") == ["key"]
    with pytest.raises(BucketAlreadyExists):
        await storage.create_bucket("a", {"owner": "thief"})
    await storage.annotate(Address("a"), {"owner": "two"})
    assert (await storage.head_bucket("a")).labels == {"owner": "two"}


async def test_deleting_one_gives_up_its_uploads_and_no_others(storage):
    mine, other = [await storage.create_upload(at) for at in (A, B)]
    await storage.delete_bucket("a")
    assert [info.upload for info in await uploads(storage, "b")] == [other]
    with pytest.raises(NoSuchUpload):
        await storage.list_parts(mine)


async def test_an_upload_of_one_bucket_is_none_of_another(storage):
    upload = await storage.create_upload(A)
    for foreign in (upload._replace(at=B), upload._replace(at=Address("c", "key"))):
        with pytest.raises(NoSuchUpload):
            await storage.put_part(foreign, 1, body(b"part"))
        with pytest.raises(NoSuchUpload):
            await storage.abort_upload(foreign)
    assert await uploads(storage, "b") == []


async def test_the_note_is_there_for_nobody(storage, memory):
    await storage.create_bucket("a", {"owner": "one"})
    assert await keys(memory, "up") == ["a/.gw/bucket"]
    await put(storage, Address("a", ".gx"), b"")
    for query in (ListQuery(), ListQuery(delimiter="/"), ListQuery(".g"), ListQuery(limit=1), ListQuery(".gw/")):
        expected = [] if query.prefix == ".gw/" else [".gx"]
        assert await keys(storage, "a", query) == expected, query
    assert await keys(storage, "a", ListQuery(delimiter="g")) == [".g"]
    await storage.delete(Address("a", ".gx"))
    assert await keys(storage, "a", ListQuery(delimiter="g")) == []
    note = Address("a", ".gw/bucket")
    for call in (
        storage.head(note),
        read(storage, note),
        put(storage, note),
        storage.delete(note),
        storage.create_upload(note),
        storage.copy(note, A, WriteOptions(), ""),
        storage.copy(A, note, WriteOptions(), ""),
        storage.annotate(note, {}),
    ):
        with pytest.raises(AccessDenied):
            await call
    assert (await storage.head_bucket("a")).labels == {"owner": "one"}


async def test_a_page_is_full_although_notes_of_others_are_hidden_in_it(storage, memory):
    for number in range(5):
        await put(memory, Address("up", f"a/.gw/{number}"))
    for name in ("!", "1", "2", "3"):
        await put(storage, Address("a", name))
    for limit in (1, 2, 3, 1000):
        assert await keys(storage, "a", ListQuery(limit=limit)) == ["!", "1", "2", "3"]


async def test_the_object_that_is_the_prefix_itself_is_not_shown(storage, memory):
    await put(memory, Address("up", "a/"))
    await memory.create_upload(Address("up", "a/"))
    await put(storage, A)
    assert await keys(storage, "a") == await keys(storage, "a", ListQuery(delimiter="/")) == ["key"]
    assert await uploads(storage, "a") == []
    await storage.delete(A)
    await storage.delete_bucket("a")
    assert await keys(memory, "up") == ["a/", "a/.gw/bucket"]


async def test_errors_name_what_was_asked_for(storage, memory):
    for call in (storage.head(A), read(storage, A), storage.delete(A, Conditions(if_match=("x",)))):
        with pytest.raises(NoSuchKey) as caught:
            await call
        assert caught.value.fields == {"Key": "key"}
    with pytest.raises(NoSuchKey) as caught:
        await storage.copy(A, B, WriteOptions(), "")
    assert caught.value.fields == {"Key": "key"}
    with pytest.raises(NoSuchBucket) as caught:
        await storage.head(Address("plain", "key"))
    assert caught.value.fields == {"BucketName": "plain"}


async def test_an_argument_that_is_the_key_is_named_as_it_was_given():
    class Strict(Wrapper):
        async def put(self, at, body, options=WriteOptions()):
            raise InvalidArgument(ArgumentName="Key", ArgumentValue=at.key)

    with pytest.raises(InvalidArgument) as caught:
        await put(Rename(Strict(Memory()), {"a": Place("up", "secret/")}), A)
    assert caught.value.fields == {"ArgumentName": "Key", "ArgumentValue": "key"}


async def test_how_long_a_key_may_be_is_told_without_the_prefix(tmp_path):
    async with open_local("disk", tmp_path / "root", fsync=False) as disk:
        storage = Rename(disk, {"a": Place("up", "prefix/")})
        await storage.create_bucket("a", {})
        await put(storage, Address("a", "k" * 1017))
        with pytest.raises(KeyTooLongError) as caught:
            await put(storage, Address("a", "k" * 1018))
    assert caught.value.fields == {"Size": "1018", "MaxSizeAllowed": "1017"}


async def test_a_copy_between_two_of_them_is_left_to_the_storage(memory):
    class Copying(Wrapper):
        async def get(self, at, options=ReadOptions()):
            raise NotImplementedError

    storage = Rename(Copying(memory), {"a": Place("up", "a/"), "b": Place("up", "b/")})
    there = await put(storage, A, b"data")
    assert (await storage.copy(A, B, WriteOptions(), there.etag)).key == "key"
    upload = await storage.create_upload(B)
    assert (await storage.copy_part(upload, 1, A, ReadOptions(), there.etag)).etag == there.etag
    assert await every_key(memory) == ["a/key", "b/key"]


async def test_what_lies_at_the_backend_under_a_name_is_not_listed_under_that(storage, memory):
    for name in ("other", "a", "free"):
        await memory.create_bucket(name, {})
    assert [info.name for info in await storage.list_buckets()] == ["a", "b", "c", "free", "plain"]


async def test_a_storage_without_conditions_keeps_notes_too(memory):
    class Plain(Wrapper):
        async def put(self, at, body, options=WriteOptions()):
            if options.conditions != Conditions():
                raise NotImplementedByGateway
            return await self.inner.put(at, body, options)

    storage = Rename(Plain(memory), {"a": Place("up", "a/")})
    await storage.create_bucket("a", {"owner": "one"})
    await storage.annotate(Address("a"), {"owner": "two"}, {"owner": "one"})
    assert (await storage.head_bucket("a")).labels == {"owner": "two"}


async def test_of_two_who_create_a_bucket_one_owns_it(memory):
    class Slow(Wrapper):
        """Between the look and the write, another has written."""

        async def list_objects(self, bucket, query):
            page = await self.inner.list_objects(bucket, query)
            await Rename(self.inner, {"a": Place("up", "a/")}).create_bucket("a", {"owner": "first"})
            return page

    with pytest.raises(BucketAlreadyExists):
        await Rename(Slow(memory), {"a": Place("up", "a/")}).create_bucket("a", {"owner": "second"})
    assert (await Rename(memory, {"a": Place("up", "a/")}).head_bucket("a")).labels == {"owner": "first"}


async def test_labels_that_somebody_else_changed_meanwhile_are_not_overwritten(memory):
    places = {"a": Place("up", "a/")}

    class Racing(Wrapper):
        raced = False

        async def put(self, at, body, options=WriteOptions()):
            if not self.raced:
                self.raced = True
                await Rename(self.inner, places).annotate(Address("a"), {"owner": "faster"})
            return await self.inner.put(at, body, options)

    await Rename(memory, places).create_bucket("a", {"owner": "one"})
    with pytest.raises(PreconditionFailed):
        await Rename(Racing(memory), places).annotate(Address("a"), {"owner": "two"}, {"owner": "one"})
    assert (await Rename(memory, places).head_bucket("a")).labels == {"owner": "faster"}


async def test_uploads_are_listed_page_by_page_under_their_own_names(storage):
    begun = [await storage.create_upload(Address("a", key)) for key in ("x/1", "x/1", "x/2", "y")]
    await storage.create_upload(B)
    listed = await uploads(storage, "a", UploadQuery(limit=1))
    assert sorted(info.upload for info in listed) == sorted(begun)
    assert await uploads(storage, "a", UploadQuery(delimiter="/")) != []
    page = await storage.list_uploads("a", UploadQuery(delimiter="/"))
    assert ([info.upload.at.key for info in page.uploads], page.prefixes) == (["y"], ["x/"])
