"""What is promised of the completion of multipart uploads."""

import asyncio
from dataclasses import replace

import pytest

from gateway.checksums import ALGORITHMS, Checksum, Digest, composite, multipart_etag
from gateway.conditions import Conditions
from gateway.errors import (
    BadDigest,
    EntityTooSmall,
    InvalidArgument,
    InvalidPart,
    InvalidPartNumber,
    InvalidPartOrder,
    InvalidRange,
    InvalidRequest,
    NoSuchKey,
    NoSuchUpload,
    NotImplementedByGateway,
    PreconditionFailed,
)
from gateway.storage import Address, Completion, ListQuery, Part, ReadOptions, WriteOptions
from gateway.transfer import bytes_of
from tests.backends.given import MIB, completed, etag, keys, put, read, some, told, uploaded, uploads

ONE, TWO, THREE = some(5 * MIB), some(5 * MIB + 1, 1), b"the end"
WHOLE = ONE + TWO + THREE
PARTS = [(1, ONE), (2, TWO), (3, THREE)]


def _whole(algorithm: str) -> Checksum:
    digest = Digest()
    digest.want(algorithm)
    digest.update(WHOLE)
    return digest.checksum(algorithm)


WRONG_CLAIMS = {
    "missing": (lambda p: [p[0], p[1], replace(p[2], number=4)], InvalidPart),
    "other_etag": (lambda p: [replace(p[0], etag=etag(b"other")), p[1]], InvalidPart),
    "no_etag": (lambda p: [replace(p[0], etag="")], InvalidPart),
    "other_checksum": (lambda p: [replace(p[0], checksum=p[1].checksum), p[1]], InvalidPart),
    "other_algorithm": (
        lambda p: [replace(p[0], checksum=Checksum("SHA1", "kd1QULa4YCrZ2hSKkkB05MzFXWQ="))],
        InvalidPart,
    ),
    "order": (lambda p: [p[1], p[0]], InvalidPartOrder),
    "twice": (lambda p: [p[0], p[0]], InvalidPartOrder),
    "order_of_last": (lambda p: [p[0], p[2], p[1]], InvalidPartOrder),
    "too_small": (lambda p: [p[2], p[3]], EntityTooSmall),
}


async def accept(download) -> None:
    assert download.stop - download.start == len(WHOLE)


class CompletionPromises:
    """Parts become an object, at once and whole, or nothing happens."""

    async def test_parts_become_one_object(self, storage, bucket):
        at = Address(bucket, "a/key")
        options = WriteOptions(headers={"content-type": "a/b"}, metadata={"a": "ä"}, labels={"owner": "x"})
        info = await completed(storage, at, PARTS, options)
        assert info == await storage.head(at)
        assert (info.size, info.part_count, info.etag) == (len(WHOLE), 3, multipart_etag([etag(d) for _, d in PARTS]))
        assert (info.headers, info.metadata, info.labels) == (options.headers, options.metadata, options.labels)
        assert await read(storage, at) == WHOLE
        (listed,) = (await storage.list_objects(bucket, ListQuery())).objects
        assert (listed.key, listed.size, listed.etag) == ("a/key", len(WHOLE), info.etag)

    async def test_parts_may_come_in_any_order_and_with_gaps(self, storage, bucket):
        upload = await storage.create_upload(Address(bucket, "key"))
        third, second, first = await uploaded(storage, upload, [(10000, THREE), (70, TWO), (3, ONE)])
        await storage.complete_upload(upload, [first, second, third], Completion())
        assert await read(storage, Address(bucket, "key")) == WHOLE
        for number, data in enumerate((ONE, TWO, THREE), start=1):
            assert await read(storage, Address(bucket, "key"), ReadOptions(part=number)) == data
        head = await storage.head(Address(bucket, "key"), ReadOptions(parts=True))
        assert [part.number for part in head.parts] == [1, 2, 3]

    async def test_parts_that_are_not_named_are_left_out(self, storage, bucket):
        upload = await storage.create_upload(Address(bucket, "key"))
        one, _, three = await uploaded(storage, upload, PARTS)
        info = await storage.complete_upload(upload, [one, three], Completion())
        assert await read(storage, Address(bucket, "key")) == ONE + THREE
        assert info.part_count == 2

    async def test_a_single_small_part_is_an_object_of_one_part(self, storage, bucket):
        info = await completed(storage, Address(bucket, "key"), [(5, b"small")])
        assert (info.etag, info.part_count) == (multipart_etag([etag(b"small")]), 1)
        assert await read(storage, Address(bucket, "key"), ReadOptions(part=1)) == b"small"

    async def test_a_single_empty_part_is_an_empty_object(self, storage, bucket):
        info = await completed(storage, Address(bucket, "key"), [(1, b"")])
        assert (info.size, info.etag) == (0, multipart_etag([etag(b"")]))
        assert await read(storage, Address(bucket, "key")) == b""

    async def test_each_part_can_be_read(self, storage, bucket):
        at, start = Address(bucket, "key"), 0
        await completed(storage, at, PARTS)
        for number, data in PARTS:
            async with storage.get(at, ReadOptions(part=number)) as download:
                assert (download.start, download.stop) == (start, start + len(data))
                assert (download.info.size, download.info.part_count) == (len(WHOLE), 3)
            assert await read(storage, at, ReadOptions(part=number)) == data
            assert (await storage.head(at, ReadOptions(part=number))).part_count == 3
            start += len(data)
        for call in (storage.head(at, ReadOptions(part=4)), read(storage, at, ReadOptions(part=10000))):
            with pytest.raises(InvalidPartNumber):
                await call

    async def test_a_range_may_cross_parts(self, storage, bucket):
        at = Address(bucket, "key")
        await completed(storage, at, PARTS)
        for wanted in (slice(5 * MIB - 1, 5 * MIB + 1), slice(-8, None), slice(1, None), slice(0, 1)):
            assert await read(storage, at, ReadOptions(range=wanted)) == WHOLE[wanted]
        with pytest.raises(InvalidRange):
            await read(storage, at, ReadOptions(range=slice(len(WHOLE), None)))

    async def test_parts_are_told_only_where_they_are_asked_for(self, storage, bucket):
        at = Address(bucket, "key")
        await completed(storage, at, PARTS, WriteOptions(checksum="SHA256", composite=True))
        assert list((await storage.head(at)).parts) == []
        async with storage.get(at, ReadOptions(parts=True)) as download:
            got = download.info.parts
        for parts in (got, (await storage.head(at, ReadOptions(parts=True))).parts):
            assert [(p.number, p.size) for p in parts] == [(n, len(d)) for n, d in PARTS]
            for part, (_, data) in zip(parts, PARTS, strict=True):
                digest = Digest()
                digest.want("SHA256")
                digest.update(data)
                assert part.checksum == digest.checksum("SHA256")

    @pytest.mark.parametrize("algorithm", list(ALGORITHMS))
    @pytest.mark.parametrize("is_composite", [False, True])
    async def test_the_checksum_is_of_the_type_that_was_asked_for(self, storage, bucket, algorithm, is_composite):
        options = WriteOptions(checksum=algorithm, composite=is_composite)
        upload = await storage.create_upload(Address(bucket, "key"), options)
        parts = await uploaded(storage, upload, PARTS)
        can_be_whole = ALGORITHMS[algorithm].combine is not None
        of_whole = can_be_whole and not (is_composite and ALGORITHMS[algorithm].composite)
        expected = _whole(algorithm) if of_whole else composite([part.checksum for part in parts])
        info = await storage.complete_upload(upload, parts, Completion(size=len(WHOLE), checksum=expected))
        assert info.checksum == expected
        assert (await storage.head(Address(bucket, "key"))).checksum == expected

    async def test_a_composite_checksum_may_come_without_the_number_of_parts(self, storage, bucket):
        """MinIO's clients send it so, and AWS takes it."""
        options = WriteOptions(checksum="CRC32C", composite=True)
        upload = await storage.create_upload(Address(bucket, "key"), options)
        parts = await uploaded(storage, upload, PARTS)
        whole = composite([part.checksum for part in parts])
        bare = Checksum("CRC32C", whole.value.partition("-")[0])
        info = await storage.complete_upload(upload, parts, Completion(checksum=bare))
        assert info.checksum == whole

    @pytest.mark.parametrize("wrong", list(WRONG_CLAIMS))
    async def test_after_a_wrong_claim_everything_is_as_before(self, storage, bucket, wrong):
        (claim, error), at = WRONG_CLAIMS[wrong], Address(bucket, "key")
        await put(storage, at, b"old")
        upload = await storage.create_upload(at)
        parts = await uploaded(storage, upload, [*PARTS, (9, b"more")])
        with pytest.raises(error):
            await storage.complete_upload(upload, claim(parts), Completion())
        assert await read(storage, at) == b"old"
        assert told((await storage.list_parts(upload)).parts) == told(parts)
        await storage.complete_upload(upload, parts[:3], Completion())
        assert await read(storage, at) == WHOLE

    @pytest.mark.parametrize(
        ("completion", "error"),
        [
            (Completion(size=len(WHOLE) - 1), InvalidRequest),
            (Completion(size=0), InvalidRequest),
            (Completion(checksum=Checksum("CRC64NVME", "AAAAAAAAAAA=")), BadDigest),
            (Completion(checksum=Checksum("CRC32", "AAAAAA==")), InvalidRequest),
            (Completion(checksum=Checksum("CRC64NVME", "AAAAAAAAAAA=-3", composite=True)), InvalidRequest),
            (Completion(conditions=Conditions(if_none_match=("*",))), PreconditionFailed),
            (Completion(conditions=Conditions(if_match=(etag(b"other"),))), PreconditionFailed),
        ],
        ids=["size", "nothing", "checksum", "algorithm", "type", "none_match", "match"],
    )
    async def test_after_a_failed_completion_everything_is_as_before(self, storage, bucket, completion, error):
        at = Address(bucket, "key")
        await put(storage, at, b"old")
        upload = await storage.create_upload(at)
        parts = await uploaded(storage, upload, PARTS)
        with pytest.raises(error):
            await storage.complete_upload(upload, parts, completion)
        assert await read(storage, at) == b"old"
        assert [info.upload for info in await uploads(storage, bucket)] == [upload]
        assert told((await storage.list_parts(upload)).parts) == told(parts)
        right = Completion(Conditions(if_match=(etag(b"old"),)), len(WHOLE), _whole("CRC64NVME"))
        await storage.complete_upload(upload, parts, right)
        assert await read(storage, at) == WHOLE

    async def test_what_an_upload_becomes_is_looked_at_before_anybody_sees_it(self, storage, bucket):
        """S3 shows nobody what is in an upload; where it is so the check is refused before anything is done."""
        at, looked = Address(bucket, "key"), []
        await put(storage, at, b"old")
        upload = await storage.create_upload(at)
        *parts, _ = await uploaded(storage, upload, [*PARTS, (9, b"more")])

        async def refuse(download):
            looked.append((await bytes_of(download), await read(storage, at)))
            raise InvalidArgument

        with pytest.raises((InvalidArgument, NotImplementedByGateway)) as refused:
            await storage.complete_upload(upload, parts, Completion(check=refuse))
        assert looked == ([(WHOLE, b"old")] if refused.type is InvalidArgument else [])
        assert await read(storage, at) == b"old"
        assert told((await storage.list_parts(upload)).parts)[:3] == told(parts)
        if looked:
            await storage.complete_upload(upload, parts, Completion(check=accept))
        else:
            await storage.complete_upload(upload, parts, Completion())
        assert await read(storage, at) == WHOLE

    async def test_a_match_of_a_missing_key_names_it_at_completion(self, storage, bucket):
        upload = await storage.create_upload(Address(bucket, "key"))
        parts = await uploaded(storage, upload, [(1, b"part")])
        with pytest.raises(NoSuchKey):
            await storage.complete_upload(upload, parts, Completion(Conditions(if_match=("*",))))
        await storage.complete_upload(upload, parts, Completion(Conditions(if_none_match=("*",))))

    async def test_only_number_and_etag_of_a_part_must_be_claimed(self, storage, bucket):
        upload = await storage.create_upload(Address(bucket, "key"), WriteOptions(checksum="CRC32"))
        await uploaded(storage, upload, PARTS)
        claimed = [Part(number, etag(data), 0) for number, data in PARTS]
        assert (await storage.complete_upload(upload, claimed, Completion())).size == len(WHOLE)

    async def test_a_composite_checksum_takes_the_checksum_of_each_part(self, storage, bucket):
        upload = await storage.create_upload(Address(bucket, "key"), WriteOptions(checksum="SHA256", composite=True))
        first, *others = await uploaded(storage, upload, PARTS)
        with pytest.raises(InvalidRequest):
            await storage.complete_upload(upload, [replace(first, checksum=None), *others], Completion())
        assert (await storage.complete_upload(upload, [first, *others], Completion())).size == len(WHOLE)

    async def test_of_many_uploads_that_want_the_key_absent_exactly_one_completes(self, storage, bucket):
        at = Address(bucket, "key")
        begun = [await storage.create_upload(at) for _ in range(5)]
        parts = [await uploaded(storage, upload, [(1, b"%d" % n)]) for n, upload in enumerate(begun)]
        absent = Completion(Conditions(if_none_match=("*",)))
        results = await asyncio.gather(
            *(storage.complete_upload(u, p, absent) for u, p in zip(begun, parts, strict=True)),
            return_exceptions=True,
        )
        winners = [n for n, result in enumerate(results) if not isinstance(result, BaseException)]
        assert len(winners) == 1
        assert all(isinstance(r, PreconditionFailed) for n, r in enumerate(results) if n not in winners)
        assert await read(storage, at) == b"%d" % winners[0]
        left = [info.upload for info in await uploads(storage, bucket)]
        assert left == [upload for n, upload in enumerate(begun) if n not in winners]

    async def test_an_upload_completes_once(self, storage, bucket):
        upload = await storage.create_upload(Address(bucket, "key"))
        parts = await uploaded(storage, upload, PARTS)
        results = await asyncio.gather(
            *(storage.complete_upload(upload, parts, Completion()) for _ in range(5)), return_exceptions=True
        )
        assert sum(not isinstance(result, BaseException) for result in results) == 1
        assert sum(isinstance(result, NoSuchUpload) for result in results) == 4
        assert await read(storage, Address(bucket, "key")) == WHOLE

    async def test_of_completion_and_abortion_one_wins(self, storage, bucket):
        for number in range(10):
            at = Address(bucket, f"key{number}")
            upload = await storage.create_upload(at)
            parts = await uploaded(storage, upload, [(1, b"part")])
            done, aborted = await asyncio.gather(
                storage.complete_upload(upload, parts, Completion()),
                storage.abort_upload(upload),
                return_exceptions=True,
            )
            assert isinstance(done, NoSuchUpload) != isinstance(aborted, NoSuchUpload)
            assert (at.key in await keys(storage, bucket)) == (aborted is not None)
        assert await uploads(storage, bucket) == []

    async def test_an_object_of_parts_can_be_replaced_labelled_and_deleted(self, storage, bucket):
        at = Address(bucket, "key")
        info = await completed(storage, at, PARTS)
        await storage.annotate(at, {"acl": "public-read"})
        head = await storage.head(at, ReadOptions(parts=True))
        assert (head.etag, head.labels, len(head.parts)) == (info.etag, {"acl": "public-read"}, 3)
        async with storage.get(at) as download:
            await put(storage, at, b"plain")
            assert download.info.part_count == 3
        assert (await storage.head(at)).part_count == 0
        with pytest.raises(InvalidPartNumber):
            await storage.head(at, ReadOptions(part=2))
        await storage.delete(at)
        await storage.delete_bucket(bucket)
