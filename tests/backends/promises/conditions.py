"""What is promised of conditions and of the bytes asked for."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from gateway.conditions import Conditions
from gateway.errors import InvalidPartNumber, InvalidRange, NoSuchKey, NotModified, PreconditionFailed
from gateway.storage import SMALL, Address, ReadOptions, WriteOptions
from tests.backends.given import MIB, PIECE, Slow, drained, etag, put, read, some

DATA = b"0123456789"
IS, OTHER = etag(DATA), etag(b"other")
PAST = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
FUTURE = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
ABSENT, PRESENT = Conditions(if_none_match=("*",)), Conditions(if_match=("*",))

READS = [
    (Conditions(if_match=(IS,)), None),
    (Conditions(if_match=("*",)), None),
    (Conditions(if_match=(OTHER, IS)), None),
    (Conditions(if_match=(OTHER,)), PreconditionFailed),
    (Conditions(if_none_match=(OTHER,)), None),
    (Conditions(if_none_match=(IS,)), NotModified),
    (Conditions(if_none_match=("*",)), NotModified),
    (Conditions(if_modified_since=PAST), None),
    (Conditions(if_modified_since=FUTURE), NotModified),
    (Conditions(if_unmodified_since=FUTURE), None),
    (Conditions(if_unmodified_since=PAST), PreconditionFailed),
    (Conditions(if_match=(IS,), if_unmodified_since=PAST), None),
    (Conditions(if_none_match=(OTHER,), if_modified_since=FUTURE), None),
    (Conditions(if_none_match=(IS,), if_modified_since=PAST), NotModified),
    (Conditions(if_match=(OTHER,), if_none_match=(IS,)), PreconditionFailed),
]

RANGES = [
    (slice(0, 10), 0, 10),
    (slice(0, 1), 0, 1),
    (slice(9, 10), 9, 10),
    (slice(3, 7), 3, 7),
    (slice(3, None), 3, 10),
    (slice(3, 1000), 3, 10),
    (slice(-3, None), 7, 10),
    (slice(-1000, None), 0, 10),
]


class ReadConditionPromises:
    """If-Match and its kin, ranges and parts of reads."""

    @pytest.mark.parametrize(("conditions", "error"), READS)
    async def test_a_read_happens_only_under_its_conditions(self, storage, bucket, conditions, error):
        at, options = Address(bucket, "key"), ReadOptions(conditions=conditions)
        await put(storage, at, DATA)
        if error is None:
            assert await read(storage, at, options) == DATA
            assert (await storage.head(at, options)).etag == IS
            return
        for call in (read(storage, at, options), storage.head(at, options)):
            with pytest.raises(error):
                await call

    async def test_an_object_was_not_modified_since_its_own_date(self, storage, bucket):
        at = Address(bucket, "key")
        modified = (await put(storage, at, DATA)).modified.replace(microsecond=0)
        await storage.head(at, ReadOptions(conditions=Conditions(if_unmodified_since=modified)))
        with pytest.raises(NotModified) as caught:
            await storage.head(at, ReadOptions(conditions=Conditions(if_modified_since=modified)))
        assert caught.value.headers["ETag"] == f'"{IS}"'

    @pytest.mark.parametrize("conditions", [ABSENT, PRESENT, Conditions(if_modified_since=PAST)])
    async def test_a_missing_key_is_missing_under_any_condition(self, storage, bucket, conditions):
        with pytest.raises(NoSuchKey):
            await storage.head(Address(bucket, "key"), ReadOptions(conditions=conditions))
        with pytest.raises(NoSuchKey):
            await read(storage, Address(bucket, "key"), ReadOptions(conditions=conditions))

    @pytest.mark.parametrize(("wanted", "start", "stop"), RANGES)
    async def test_a_range_gives_its_bytes(self, storage, bucket, wanted, start, stop):
        at, options = Address(bucket, "key"), ReadOptions(range=wanted)
        await put(storage, at, DATA)
        async with storage.get(at, options) as download:
            assert (download.start, download.stop, download.info.size) == (start, stop, 10)
            assert await drained(download.content, stop - start) == DATA[start:stop]

    @pytest.mark.parametrize(
        "wanted",
        [slice(0, SMALL), slice(5, SMALL + 5), slice(1, None), slice(-SMALL - 1, None), slice(MIB, MIB + 1)],
    )
    async def test_a_range_of_a_large_object_gives_its_bytes(self, storage, bucket, wanted):
        await put(storage, Address(bucket, "key"), some(MIB + 1))
        assert await read(storage, Address(bucket, "key"), ReadOptions(range=wanted)) == some(MIB + 1)[wanted]

    @pytest.mark.parametrize(
        ("size", "wanted"),
        [
            (10, slice(10, None)),
            (10, slice(10, 11)),
            (10, slice(11, 20)),
            (0, slice(0, 1)),
            (0, slice(0, None)),
            (0, slice(0, 0)),
            (MIB, slice(MIB, None)),
        ],
    )
    async def test_a_range_without_a_byte_is_invalid(self, storage, bucket, size, wanted):
        at = Address(bucket, "key")
        await put(storage, at, some(size))
        with pytest.raises(InvalidRange) as caught:
            await read(storage, at, ReadOptions(range=wanted))
        assert caught.value.headers["Content-Range"] == f"bytes */{size}"

    async def test_the_last_bytes_of_an_empty_object_are_all_of_it(self, storage, bucket):
        at = Address(bucket, "key")
        await put(storage, at, b"")
        async with storage.get(at, ReadOptions(range=slice(-7, None))) as download:
            assert (download.info.size, download.start, download.stop) == (0, 0, 0)
            assert await drained(download.content, 0) == b""

    async def test_conditions_come_before_ranges(self, storage, bucket):
        at = Address(bucket, "key")
        await put(storage, at, DATA)
        with pytest.raises(NotModified):
            await read(storage, at, ReadOptions(range=slice(99, None), conditions=Conditions(if_none_match=(IS,))))
        with pytest.raises(PreconditionFailed):
            await read(storage, at, ReadOptions(range=slice(0, 1), conditions=Conditions(if_match=(OTHER,))))

    async def test_head_ignores_a_range(self, storage, bucket):
        await put(storage, Address(bucket, "key"), DATA)
        for wanted in (slice(2, 3), slice(99, None)):
            assert (await storage.head(Address(bucket, "key"), ReadOptions(range=wanted))).size == 10

    @pytest.mark.parametrize("size", [0, 10, MIB])
    async def test_the_first_part_of_a_plain_object_is_all_of_it(self, storage, bucket, size):
        at = Address(bucket, "key")
        await put(storage, at, some(size))
        assert await read(storage, at, ReadOptions(part=1)) == some(size)
        assert list((await storage.head(at, ReadOptions(part=1, parts=True))).parts) == []
        for call in (read(storage, at, ReadOptions(part=2)), storage.head(at, ReadOptions(part=2))):
            with pytest.raises(InvalidPartNumber):
                await call


class WriteConditionPromises:
    """If-Match and If-None-Match of writes and deletions, also when many come at once."""

    @pytest.mark.parametrize("conditions", [ABSENT, Conditions(if_match=(OTHER,)), Conditions(if_none_match=(IS,))])
    async def test_a_write_under_a_false_condition_changes_nothing(self, storage, bucket, conditions):
        at = Address(bucket, "key")
        old = await put(storage, at, DATA, WriteOptions(metadata={"a": "b"}))
        with pytest.raises(PreconditionFailed):
            await put(storage, at, some(2 * PIECE), WriteOptions(conditions=conditions))
        assert await storage.head(at) == old
        assert await read(storage, at) == DATA

    @pytest.mark.parametrize(
        "conditions",
        [PRESENT, Conditions(if_match=(IS,)), Conditions(if_match=(OTHER, IS)), Conditions(if_none_match=(OTHER,))],
    )
    async def test_a_write_under_a_true_condition_happens(self, storage, bucket, conditions):
        at = Address(bucket, "key")
        await put(storage, at, DATA)
        await put(storage, at, b"new", WriteOptions(conditions=conditions))
        assert await read(storage, at) == b"new"

    async def test_a_key_may_be_asked_to_be_absent(self, storage, bucket):
        await put(storage, Address(bucket, "key"), DATA, WriteOptions(conditions=ABSENT))
        assert await read(storage, Address(bucket, "key")) == DATA

    @pytest.mark.parametrize("conditions", [PRESENT, Conditions(if_match=(IS,))])
    async def test_a_match_of_a_missing_key_names_it(self, storage, bucket, conditions):
        at = Address(bucket, "key")
        with pytest.raises(NoSuchKey):
            await put(storage, at, DATA, WriteOptions(conditions=conditions))
        with pytest.raises(NoSuchKey):
            await storage.head(at)

    @pytest.mark.parametrize("size", [10, SMALL + 1])
    async def test_of_many_who_create_at_once_exactly_one_wins(self, storage, bucket, size):
        at = Address(bucket, "a/key")
        writes = (put(storage, at, some(size, n), WriteOptions(conditions=ABSENT)) for n in range(20))
        results = await asyncio.gather(*writes, return_exceptions=True)
        winners = [number for number, result in enumerate(results) if not isinstance(result, BaseException)]
        assert len(winners) == 1
        assert all(isinstance(r, PreconditionFailed) for number, r in enumerate(results) if number not in winners)
        assert await read(storage, at) == some(size, winners[0])

    async def test_of_many_who_replace_one_version_exactly_one_wins(self, storage, bucket):
        at = Address(bucket, "key")
        await put(storage, at, DATA)
        options = WriteOptions(conditions=Conditions(if_match=(IS,)))
        results = await asyncio.gather(
            *(put(storage, at, b"%d" % number, options) for number in range(20)), return_exceptions=True
        )
        winners = [number for number, result in enumerate(results) if not isinstance(result, BaseException)]
        assert len(winners) == 1
        assert all(isinstance(r, PreconditionFailed) for number, r in enumerate(results) if number not in winners)
        assert await read(storage, at) == b"%d" % winners[0]

    @pytest.mark.parametrize("size", [10, 2 * PIECE])
    async def test_a_condition_is_decided_when_the_object_becomes_visible(self, storage, bucket, size):
        at, slow = Address(bucket, "key"), Slow(some(size), b"rest")
        running = asyncio.create_task(storage.put(at, slow.body, WriteOptions(conditions=ABSENT)))
        await slow.reached.wait()
        await put(storage, at, b"faster")
        slow.go_on.set()
        with pytest.raises(PreconditionFailed):
            await running
        assert await read(storage, at) == b"faster"

    async def test_a_match_fails_when_the_object_is_deleted_meanwhile(self, storage, bucket):
        at, slow = Address(bucket, "key"), Slow(b"new", b"rest")
        await put(storage, at, DATA)
        running = asyncio.create_task(storage.put(at, slow.body, WriteOptions(conditions=PRESENT)))
        await slow.reached.wait()
        await storage.delete(at)
        slow.go_on.set()
        with pytest.raises(NoSuchKey):
            await running
        with pytest.raises(NoSuchKey):
            await storage.head(at)

    async def test_a_deletion_happens_only_under_its_condition(self, storage, bucket):
        at = Address(bucket, "key")
        for conditions in (PRESENT, Conditions(if_match=(IS,))):
            await put(storage, at, DATA)
            with pytest.raises(PreconditionFailed):
                await storage.delete(at, Conditions(if_match=(OTHER,)))
            assert await read(storage, at) == DATA
            await storage.delete(at, conditions)
            with pytest.raises(NoSuchKey):
                await storage.head(at)

    @pytest.mark.parametrize("conditions", [PRESENT, Conditions(if_match=(IS,))])
    async def test_a_deletion_that_must_match_names_a_missing_key(self, storage, bucket, conditions):
        with pytest.raises(NoSuchKey):
            await storage.delete(Address(bucket, "key"), conditions)

    async def test_of_a_deletion_and_a_replacement_of_one_version_one_wins(self, storage, bucket):
        at, of_this = Address(bucket, "key"), Conditions(if_match=(IS,))
        for _ in range(10):
            await put(storage, at, DATA)
            replaced, deleted = await asyncio.gather(
                put(storage, at, b"new", WriteOptions(conditions=of_this)),
                storage.delete(at, of_this),
                return_exceptions=True,
            )
            if isinstance(replaced, BaseException):
                assert isinstance(replaced, NoSuchKey)
                assert deleted is None
            else:
                assert isinstance(deleted, PreconditionFailed)
                assert await read(storage, at) == b"new"
