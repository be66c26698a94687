"""What is promised of copies."""

import asyncio

import pytest

from gateway.checksums import ALGORITHMS, Digest
from gateway.conditions import Conditions
from gateway.errors import NoSuchKey, PreconditionFailed
from gateway.storage import SMALL, Address, WriteOptions
from tests.backends.given import MIB, completed, etag, put, read, some

OPTIONS = WriteOptions(headers={"content-type": "text/new"}, metadata={"new": "ä"}, labels={"owner": "new"})


class CopyPromises:
    """The bytes of an object at another place."""

    @pytest.mark.parametrize("size", [0, 10, SMALL + 1, MIB + 1])
    async def test_a_copy_has_the_bytes_of_its_source_and_what_was_said_beside_them(self, storage, bucket, size):
        source, to = Address(bucket, "source"), Address(bucket, "a/to")
        there = await put(storage, source, some(size), WriteOptions(metadata={"old": "x"}, labels={"owner": "old"}))
        copied = await storage.copy(source, to, OPTIONS, there.etag)
        assert copied == await storage.head(to)
        assert (copied.key, copied.size, copied.etag) == ("a/to", size, etag(some(size)))
        assert (copied.headers, copied.metadata, copied.labels) == (OPTIONS.headers, OPTIONS.metadata, OPTIONS.labels)
        assert await read(storage, to) == some(size)
        assert await storage.head(source) == there

    @pytest.mark.parametrize("size", [0, 10, MIB + 1])
    async def test_a_copy_onto_itself_changes_only_what_stands_beside_the_bytes(self, storage, bucket, size):
        at = Address(bucket, "key")
        there = await put(storage, at, some(size), WriteOptions(metadata={"old": "x"}))
        copied = await storage.copy(at, at, OPTIONS, there.etag)
        assert (copied.etag, copied.metadata, copied.labels) == (there.etag, OPTIONS.metadata, OPTIONS.labels)
        assert copied.modified >= there.modified
        assert await storage.head(at) == copied
        assert await read(storage, at) == some(size)

    async def test_a_copy_replaces_what_was_there(self, storage, bucket):
        there = await put(storage, Address(bucket, "source"), b"new")
        await put(storage, Address(bucket, "to"), some(MIB), WriteOptions(metadata={"old": "x"}))
        await storage.copy(Address(bucket, "source"), Address(bucket, "to"), WriteOptions(), there.etag)
        assert await read(storage, Address(bucket, "to")) == b"new"
        assert (await storage.head(Address(bucket, "to"))).metadata == {}

    @pytest.mark.parametrize("size", [10, MIB + 1])
    async def test_a_copy_goes_to_another_bucket(self, storage, bucket, size):
        await storage.create_bucket("elsewhere", {})
        there = await put(storage, Address(bucket, "key"), some(size))
        await storage.copy(Address(bucket, "key"), Address("elsewhere", "key"), OPTIONS, there.etag)
        await storage.delete(Address(bucket, "key"))
        assert await read(storage, Address("elsewhere", "key")) == some(size)

    async def test_a_copy_and_its_source_live_apart(self, storage, bucket):
        source, to = Address(bucket, "source"), Address(bucket, "to")
        there = await put(storage, source, some(MIB))
        await storage.copy(source, to, WriteOptions(), there.etag)
        await put(storage, source, b"changed")
        assert await read(storage, to) == some(MIB)
        await storage.delete(to)
        assert await read(storage, source) == b"changed"

    @pytest.mark.parametrize("algorithm", list(ALGORITHMS))
    async def test_a_copy_has_the_checksum_asked_for(self, storage, bucket, algorithm):
        there = await put(storage, Address(bucket, "source"), b"data", WriteOptions(checksum="SHA1"))
        digest = Digest()
        digest.want(algorithm)
        digest.update(b"data")
        to = Address(bucket, "to")
        copied = await storage.copy(Address(bucket, "source"), to, WriteOptions(checksum=algorithm), there.etag)
        assert copied.checksum == digest.checksum(algorithm)

    async def test_a_copy_is_of_the_version_that_was_meant(self, storage, bucket):
        source, to = Address(bucket, "source"), Address(bucket, "to")
        old = await put(storage, source, b"old")
        await put(storage, source, b"new")
        await put(storage, to, b"kept")
        with pytest.raises(PreconditionFailed):
            await storage.copy(source, to, WriteOptions(), old.etag)
        assert await read(storage, to) == b"kept"

    async def test_a_copy_of_nothing_names_the_key(self, storage, bucket):
        to = Address(bucket, "to")
        await put(storage, to, b"kept")
        with pytest.raises(NoSuchKey):
            await storage.copy(Address(bucket, "source"), to, WriteOptions(), etag(b""))
        assert await read(storage, to) == b"kept"

    @pytest.mark.parametrize(
        ("conditions", "error"),
        [
            (Conditions(if_none_match=("*",)), PreconditionFailed),
            (Conditions(if_match=(etag(b"other"),)), PreconditionFailed),
            (Conditions(if_match=(etag(b"kept"),)), None),
        ],
    )
    async def test_a_copy_happens_only_under_its_conditions(self, storage, bucket, conditions, error):
        source, to = Address(bucket, "source"), Address(bucket, "to")
        there = await put(storage, source, b"new")
        await put(storage, to, b"kept")
        copying = storage.copy(source, to, WriteOptions(conditions=conditions), there.etag)
        if error is None:
            await copying
            assert await read(storage, to) == b"new"
            return
        with pytest.raises(error):
            await copying
        assert await read(storage, to) == b"kept"

    async def test_a_copy_may_ask_that_nothing_be_there(self, storage, bucket):
        there = await put(storage, Address(bucket, "source"), b"new")
        copies = (
            storage.copy(
                Address(bucket, "source"),
                Address(bucket, "to"),
                WriteOptions(metadata={"number": str(number)}, conditions=Conditions(if_none_match=("*",))),
                there.etag,
            )
            for number in range(10)
        )
        results = await asyncio.gather(*copies, return_exceptions=True)
        winners = [str(number) for number, result in enumerate(results) if not isinstance(result, BaseException)]
        assert len(winners) == 1
        assert (await storage.head(Address(bucket, "to"))).metadata == {"number": winners[0]}

    async def test_an_object_made_of_parts_can_be_copied(self, storage, bucket):
        source, to = Address(bucket, "source"), Address(bucket, "to")
        there = await completed(storage, source, [(1, some(5 * MIB)), (2, b"end")])
        copied = await storage.copy(source, to, OPTIONS, there.etag)
        assert (copied.size, copied.metadata) == (5 * MIB + 3, OPTIONS.metadata)
        assert await read(storage, to) == some(5 * MIB) + b"end"
        again = await storage.copy(source, source, OPTIONS, there.etag)
        assert await storage.head(source) == again
        assert await read(storage, source) == some(5 * MIB) + b"end"
