"""What is promised of objects: what was put is what is got, whole and of one version."""

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from gateway.checksums import ALGORITHMS, Digest
from gateway.errors import BadDigest, EntityTooLarge, IncompleteBody, NoSuchKey, PreconditionFailed
from gateway.storage import PIECE, SMALL, Address, Body, ListQuery, ReadOptions, WriteOptions
from tests.backends.given import (
    MIB,
    NASTY,
    SIZES,
    BrokenOffError,
    Slow,
    body,
    breaking,
    drained,
    etag,
    in_order,
    keys,
    put,
    read,
    some,
)

DRESSED = WriteOptions(
    headers={"content-type": "text/x; charset=utf-8", "cache-control": "no-store", "content-disposition": 'a="b"'},
    metadata={"mtime": "17.5", "with-dash": "grüße, 😀", "empty": "", "long": "x" * 1500},
    labels={"owner": "Jürgen", "acl": "private"},
)


def _refuse() -> None:
    raise BadDigest


def _failing(body: Body) -> Body:
    body.check(_refuse)
    return body


FAILING = {
    "breaks off at once": (lambda: Body(breaking(b"new"), None), BrokenOffError),
    "breaks off later": (lambda: Body(breaking(some(3 * PIECE)), 4 * PIECE), BrokenOffError),
    "is too short": (lambda: body(b"new", size=4), IncompleteBody),
    "is empty but should not be": (lambda: body(b"", size=1), IncompleteBody),
    "is much too short": (lambda: body(some(2 * PIECE), size=MIB), IncompleteBody),
    "is too long": (lambda: body(b"new", size=2), IncompleteBody),
    "is much too long": (lambda: body(some(MIB), size=PIECE), IncompleteBody),
    "is beyond the limit": (lambda: Body(breaking(some(MIB)), None, limit=MIB - 1), EntityTooLarge),
    "fails its check": (lambda: _failing(body(b"new")), BadDigest),
    "is large and fails its check": (lambda: _failing(body(some(MIB + 1))), BadDigest),
    "is empty and fails its check": (lambda: _failing(body(b"")), BadDigest),
}


class ObjectPromises:
    """Put, get, head, annotate, delete."""

    @pytest.mark.parametrize("size", SIZES)
    async def test_what_was_put_is_what_is_got(self, storage, bucket, size):
        at, data = Address(bucket, "key"), some(size)
        stored = await put(storage, at, data)
        async with storage.get(at) as download:
            assert await drained(download.content, size) == data
        assert (download.start, download.stop) == (0, size)
        head = await storage.head(at)
        for info in (stored, download.info, head):
            assert (info.key, info.size, info.etag, info.part_count) == ("key", size, etag(data), 0)

    async def test_put_get_head_and_list_tell_the_same(self, storage, bucket):
        at = Address(bucket, "key")
        stored = await put(storage, at, b"data", DRESSED)
        async with storage.get(at) as download:
            pass
        assert stored == download.info == await storage.head(at)
        (listed,) = (await storage.list_objects(bucket, ListQuery())).objects
        assert (listed.key, listed.size, listed.etag, listed.modified) == ("key", 4, stored.etag, stored.modified)

    @pytest.mark.parametrize("pieces", [1, 7, 4096, PIECE, PIECE + 1])
    async def test_it_does_not_matter_in_which_pieces_a_body_comes(self, storage, bucket, pieces):
        data = some(min(3 * PIECE, 20_000 * pieces))
        await storage.put(Address(bucket, "key"), body(data, pieces=pieces))
        assert await read(storage, Address(bucket, "key")) == data

    @pytest.mark.parametrize("size", [0, 1, SMALL, PIECE, 2 * PIECE, MIB + 1])
    async def test_a_body_of_unknown_length_is_stored(self, storage, bucket, size):
        info = await storage.put(Address(bucket, "key"), body(some(size), size=None))
        assert info.size == size
        assert await read(storage, Address(bucket, "key")) == some(size)

    async def test_what_stands_beside_the_bytes_comes_back(self, storage, bucket):
        at = Address(bucket, "key")
        await put(storage, at, b"data", DRESSED)
        info = await storage.head(at)
        assert (info.headers, info.metadata, info.labels) == (DRESSED.headers, DRESSED.metadata, DRESSED.labels)

    async def test_the_time_of_an_object_is_that_of_its_writing(self, storage, bucket):
        before = datetime.now(UTC) - timedelta(seconds=2)
        info = await put(storage, Address(bucket, "key"))
        assert before <= info.modified <= datetime.now(UTC) + timedelta(seconds=2)

    @pytest.mark.parametrize("algorithm", list(ALGORITHMS))
    @pytest.mark.parametrize("size", [0, 1000, MIB + 1])
    async def test_the_checksum_asked_for_is_kept(self, storage, bucket, algorithm, size):
        digest = Digest()
        digest.want(algorithm)
        digest.update(some(size))
        stored = await put(storage, Address(bucket, "key"), some(size), WriteOptions(checksum=algorithm))
        assert stored.checksum == digest.checksum(algorithm)
        assert (await storage.head(Address(bucket, "key"))).checksum == stored.checksum

    @pytest.mark.parametrize(("old", "new"), [(10, 0), (0, 10), (MIB, 10), (10, MIB), (MIB, MIB)])
    async def test_an_overwrite_replaces_everything(self, storage, bucket, old, new):
        at = Address(bucket, "key")
        await put(storage, at, some(old), DRESSED)
        await put(storage, at, some(new, 5))
        info = await storage.head(at)
        assert (info.headers, info.metadata, info.labels) == ({}, {}, {})
        assert (info.size, info.etag) == (new, etag(some(new, 5)))
        assert await read(storage, at) == some(new, 5)

    @pytest.mark.parametrize("failure", list(FAILING))
    async def test_the_old_object_stays_when_the_new_body(self, storage, bucket, failure):
        at = Address(bucket, "key")
        old = await put(storage, at, b"old", DRESSED)
        make, error = FAILING[failure]
        with pytest.raises(error):
            await storage.put(at, make())
        assert await storage.head(at) == old
        assert await read(storage, at) == b"old"

    @pytest.mark.parametrize("failure", list(FAILING))
    async def test_nothing_appears_when_a_body(self, storage, bucket, failure):
        make, error = FAILING[failure]
        with pytest.raises(error):
            await storage.put(Address(bucket, "folder/key"), make())
        with pytest.raises(NoSuchKey):
            await storage.head(Address(bucket, "folder/key"))
        assert await keys(storage, bucket) == []
        await storage.delete_bucket(bucket)

    @pytest.mark.parametrize("size", [10, 3 * PIECE])
    async def test_a_cancelled_put_leaves_the_old_object_and_frees_its_sender(self, storage, bucket, size):
        at = Address(bucket, "key")
        old = await put(storage, at, b"old", DRESSED)
        slow = Slow(some(size), b"rest")
        running = asyncio.create_task(storage.put(at, slow.body))
        await slow.reached.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert slow.closed
        assert await storage.head(at) == old
        assert await read(storage, at) == b"old"
        assert await keys(storage, bucket) == ["key"]

    async def test_nothing_is_visible_before_a_put_is_through(self, storage, bucket):
        slow = Slow(some(3 * PIECE), b"rest")
        running = asyncio.create_task(storage.put(Address(bucket, "a/key"), slow.body))
        await slow.reached.wait()
        assert await keys(storage, bucket) == []
        with pytest.raises(NoSuchKey):
            await storage.head(Address(bucket, "a/key"))
        slow.go_on.set()
        await running
        assert await read(storage, Address(bucket, "a/key")) == some(3 * PIECE) + b"rest"

    async def test_a_missing_key_is_named_as_such(self, storage, bucket):
        at = Address(bucket, "key")
        await put(storage, Address(bucket, "key/below"))
        for call in (storage.head(at), read(storage, at), storage.annotate(at, {})):
            with pytest.raises(NoSuchKey):
                await call
        assert await keys(storage, bucket) == ["key/below"]

    @pytest.mark.parametrize("size", [1000, SMALL + 1, MIB + 1])
    @pytest.mark.parametrize("deed", ["overwrite", "delete", "annotate", "overwrite twice"])
    async def test_an_open_object_stays_as_it_was(self, storage, bucket, size, deed):
        at = Address(bucket, "key")
        await put(storage, at, some(size), DRESSED)
        async with storage.get(at) as download:
            if deed == "delete":
                await storage.delete(at)
            elif deed == "annotate":
                await storage.annotate(at, {"acl": "public-read"})
            for seed in range(1, 1 + {"overwrite": 1, "overwrite twice": 2}.get(deed, 0)):
                await put(storage, at, some(size, seed))
            assert await drained(download.content, size) == some(size)
            assert download.info.etag == etag(some(size))
            assert download.info.labels == DRESSED.labels

    async def test_concurrent_reads_and_writes_never_mix_versions(self, storage, bucket):
        at, random = Address(bucket, "key"), Random(1)
        sizes = [random.choice([10, SMALL, PIECE + 1, MIB]) for _ in range(20)]
        await put(storage, at, bytes(5), WriteOptions(metadata={"number": "0"}))

        async def write(number: int) -> None:
            await put(storage, at, bytes([number]) * sizes[number - 1], WriteOptions(metadata={"number": str(number)}))

        async def look() -> None:
            async with storage.get(at) as download:
                data = await drained(download.content, download.info.size)
            assert data == bytes([int(download.info.metadata["number"])]) * download.info.size
            assert download.info.etag == etag(data)

        await asyncio.gather(*(write(number) for number in range(1, 21)), *(look() for _ in range(40)))
        await look()

    async def test_a_download_may_be_left_without_reading_it(self, storage, bucket):
        await put(storage, Address(bucket, "key"), some(5 * MIB))
        for options in (ReadOptions(), ReadOptions(range=slice(1, 2)), ReadOptions(parts=True)):
            async with storage.get(Address(bucket, "key"), options):
                pass
        assert await read(storage, Address(bucket, "key")) == some(5 * MIB)

    async def test_labels_are_replaced_and_nothing_else(self, storage, bucket):
        at = Address(bucket, "key")
        before = await put(storage, at, b"data", DRESSED)
        await storage.annotate(at, {"acl": "public-read"})
        after = await storage.head(at)
        assert after.labels == {"acl": "public-read"}
        assert (after.etag, after.modified, after.checksum) == (before.etag, before.modified, before.checksum)
        assert (after.headers, after.metadata) == (DRESSED.headers, DRESSED.metadata)
        assert await read(storage, at) == b"data"

    async def test_labels_are_replaced_only_if_they_are_what_they_were(self, storage, bucket):
        at = Address(bucket, "key")
        await put(storage, at, b"data", WriteOptions(labels={"owner": "bob"}))
        for was in ({}, {"owner": "alice"}, {"owner": "bob", "acl": "private"}):
            with pytest.raises(PreconditionFailed):
                await storage.annotate(at, {"owner": "alice"}, was)
        assert (await storage.head(at)).labels == {"owner": "bob"}
        await storage.annotate(at, {"owner": "bob", "acl": "private"}, {"owner": "bob"})
        assert (await storage.head(at)).labels == {"owner": "bob", "acl": "private"}

    async def test_a_deleted_object_is_gone_and_may_come_again(self, storage, bucket):
        at = Address(bucket, "a/key")
        await put(storage, at, b"old", DRESSED)
        await storage.delete(at)
        with pytest.raises(NoSuchKey):
            await storage.head(at)
        assert await keys(storage, bucket) == []
        await put(storage, at, b"new")
        assert (await storage.head(at)).metadata == {}

    async def test_deleting_what_is_not_there_is_no_error(self, storage, bucket):
        await put(storage, Address(bucket, "a/b"), b"data")
        for key in ("a", "a/", "a/b/", "a/b/c", "b", "a/c", ".."):
            await storage.delete(Address(bucket, key))
        assert await read(storage, Address(bucket, "a/b")) == b"data"

    async def test_every_key_is_an_object_of_its_own(self, storage, bucket):
        names = Random(2).sample(NASTY, len(NASTY))
        for name in names:
            await put(storage, Address(bucket, name), name.encode())
        assert await keys(storage, bucket) == in_order(NASTY)
        for name in names:
            assert await read(storage, Address(bucket, name)) == name.encode()
            assert (await storage.head(Address(bucket, name))).key == name
        for position, name in enumerate(names):
            await storage.delete(Address(bucket, name))
            if position % 10 == 0:
                assert await keys(storage, bucket) == in_order(names[position + 1 :])
        await storage.delete_bucket(bucket)

    async def test_keys_may_come_and_go_at_the_same_time(self, storage, bucket):
        names = ["a", "a/", "a/b", "a/b/c", "a/b/d", "e/f/g"]

        async def come_and_go(name: str) -> None:
            for round_ in range(5):
                await put(storage, Address(bucket, name), f"{name}{round_}".encode())
                assert await read(storage, Address(bucket, name)) == f"{name}{round_}".encode()
                await storage.delete(Address(bucket, name))

        await asyncio.gather(*map(come_and_go, names))
        assert await keys(storage, bucket) == []
        await storage.delete_bucket(bucket)
