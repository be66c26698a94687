"""What is promised of buckets."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from gateway.errors import (
    BucketAlreadyExists,
    BucketNotEmpty,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    PreconditionFailed,
)
from gateway.storage import (
    Address,
    Backend,
    Completion,
    ListQuery,
    Part,
    ReadOptions,
    Upload,
    UploadQuery,
    WriteOptions,
)
from tests.backends.given import NOBODY, body, keys, put, read, uploads

NOWHERE = Address(NOBODY, "key")
LOST = Upload(NOWHERE, "0" * 48)


async def _open(storage: Backend, at: Address) -> None:
    async with storage.get(at):
        pass


CALLS = {
    "head_bucket": lambda s: s.head_bucket(NOBODY),
    "delete_bucket": lambda s: s.delete_bucket(NOBODY),
    "head": lambda s: s.head(NOWHERE),
    "get": lambda s: _open(s, NOWHERE),
    "put": lambda s: s.put(NOWHERE, body(b"data")),
    "delete": lambda s: s.delete(NOWHERE),
    "annotate": lambda s: s.annotate(NOWHERE, {}),
    "annotate_bucket": lambda s: s.annotate(Address(NOBODY), {}),
    "list_objects": lambda s: s.list_objects(NOBODY, ListQuery()),
    "list_uploads": lambda s: s.list_uploads(NOBODY, UploadQuery()),
    "create_upload": lambda s: s.create_upload(NOWHERE),
    "put_part": lambda s: s.put_part(LOST, 1, body(b"data")),
    "list_parts": lambda s: s.list_parts(LOST),
    "complete_upload": lambda s: s.complete_upload(LOST, [Part(1, "0" * 32, 1)], Completion()),
    "abort_upload": lambda s: s.abort_upload(LOST),
    "copy": lambda s: s.copy(NOWHERE, NOWHERE, WriteOptions(), "0" * 32),
}


class BucketPromises:
    """Create, look at, label, list, delete."""

    async def test_a_new_bucket_is_known_with_its_labels_and_its_age(self, storage):
        before = datetime.now(UTC) - timedelta(seconds=2)
        await storage.create_bucket("new-bucket", {"owner": "Jürgen ☃", "acl": ""})
        info = await storage.head_bucket("new-bucket")
        assert (info.name, dict(info.labels)) == ("new-bucket", {"owner": "Jürgen ☃", "acl": ""})
        assert before <= info.created <= datetime.now(UTC) + timedelta(seconds=2)
        assert info in await storage.list_buckets()

    async def test_buckets_are_listed_by_name(self, storage):
        for name in ("bbb", "aaa", "ab.c", "a-b", "0-9"):
            await storage.create_bucket(name, {})
        listed = [info.name for info in await storage.list_buckets()]
        assert listed == sorted(listed)
        assert {"bbb", "aaa", "ab.c", "a-b", "0-9"} <= set(listed)

    async def test_every_one_of_many_listings_at_once_is_whole(self, storage):
        for number in range(20):
            await storage.create_bucket(f"one-of-{number:02}", {})
        alone = await storage.list_buckets()
        assert len(alone) >= 20
        for together in await asyncio.gather(*(storage.list_buckets() for _ in range(200))):
            assert together == alone

    async def test_a_bucket_cannot_be_created_twice(self, storage, bucket):
        await storage.annotate(Address(bucket), {"owner": "first"})
        await put(storage, Address(bucket, "key"))
        with pytest.raises(BucketAlreadyExists):
            await storage.create_bucket(bucket, {"owner": "second"})
        assert (await storage.head_bucket(bucket)).labels == {"owner": "first"}
        assert await keys(storage, bucket) == ["key"]

    async def test_labels_of_a_bucket_are_replaced_and_nothing_else(self, storage, bucket):
        before = await storage.head_bucket(bucket)
        await storage.annotate(Address(bucket), {"owner": "one", "acl": "public-read"})
        with pytest.raises(PreconditionFailed):
            await storage.annotate(Address(bucket), {"owner": "three"}, {"owner": "two"})
        await storage.annotate(Address(bucket), {"owner": "two"})
        after = await storage.head_bucket(bucket)
        assert after.labels == {"owner": "two"}
        assert after.created == before.created

    async def test_a_deleted_bucket_is_gone(self, storage, bucket):
        await storage.delete_bucket(bucket)
        assert bucket not in [info.name for info in await storage.list_buckets()]
        with pytest.raises(NoSuchBucket):
            await storage.head_bucket(bucket)
        with pytest.raises(NoSuchBucket):
            await storage.delete_bucket(bucket)

    @pytest.mark.parametrize("key", ["key", "a/b/c", "folder/", ".hidden", "..", "/", "k" * 1024])
    async def test_a_bucket_with_an_object_is_not_deleted(self, storage, bucket, key):
        await put(storage, Address(bucket, key), b"precious")
        with pytest.raises(BucketNotEmpty):
            await storage.delete_bucket(bucket)
        assert await read(storage, Address(bucket, key)) == b"precious"
        await storage.delete(Address(bucket, key))
        await storage.delete_bucket(bucket)

    async def test_open_uploads_go_with_their_bucket(self, storage, bucket):
        upload = await storage.create_upload(Address(bucket, "key"))
        await storage.put_part(upload, 1, body(b"part"))
        await storage.delete_bucket(bucket)
        await storage.create_bucket(bucket, {})
        with pytest.raises(NoSuchUpload):
            await storage.list_parts(upload)
        assert await uploads(storage, bucket) == []

    async def test_a_bucket_created_anew_knows_nothing_of_the_old_one(self, storage, bucket):
        await storage.annotate(Address(bucket), {"owner": "old"})
        await put(storage, Address(bucket, "a/b"))
        await storage.delete(Address(bucket, "a/b"))
        await storage.delete_bucket(bucket)
        await storage.create_bucket(bucket, {})
        assert await keys(storage, bucket) == []
        assert (await storage.head_bucket(bucket)).labels == {}
        with pytest.raises(NoSuchKey):
            await storage.head(Address(bucket, "a/b"))

    @pytest.mark.parametrize("call", list(CALLS))
    async def test_a_missing_bucket_is_named_as_such(self, storage, call):
        with pytest.raises(NoSuchBucket):
            await CALLS[call](storage)
        assert NOBODY not in [info.name for info in await storage.list_buckets()]

    async def test_a_copy_names_the_missing_bucket_at_either_end(self, storage, bucket):
        at = Address(bucket, "key")
        there = await put(storage, at, b"data")
        upload = await storage.create_upload(Address(bucket, "to"))
        with pytest.raises(NoSuchBucket):
            await storage.copy(at, NOWHERE, WriteOptions(), there.etag)
        with pytest.raises(NoSuchBucket):
            await storage.copy(NOWHERE, at, WriteOptions(), there.etag)
        with pytest.raises(NoSuchBucket):
            await storage.copy_part(upload, 1, NOWHERE, ReadOptions(), there.etag)
        with pytest.raises(NoSuchBucket):
            await storage.copy_part(LOST, 1, at, ReadOptions(), there.etag)
        assert (await storage.head(at)).etag == there.etag

    async def test_the_same_key_in_two_buckets_is_two_objects(self, storage, bucket):
        await storage.create_bucket("the-other", {})
        await put(storage, Address(bucket, "key"), b"one")
        await put(storage, Address("the-other", "key"), b"two")
        await storage.delete(Address(bucket, "key"))
        assert await read(storage, Address("the-other", "key")) == b"two"
