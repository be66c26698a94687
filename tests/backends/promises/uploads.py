"""What is promised of multipart uploads until they are completed."""

import asyncio

import pytest

from gateway.checksums import ALGORITHMS, Digest
from gateway.conditions import Conditions
from gateway.errors import InvalidRange, NoSuchKey, NoSuchUpload, PreconditionFailed
from gateway.storage import (
    Address,
    Body,
    Completion,
    ListQuery,
    Part,
    ReadOptions,
    Upload,
    UploadInfo,
    UploadQuery,
    WriteOptions,
)
from tests.backends.given import (
    MIB,
    PIECE,
    BrokenOffError,
    Slow,
    body,
    breaking,
    completed,
    etag,
    keys,
    put,
    read,
    some,
    uploaded,
    uploads,
)

OPTIONS = WriteOptions(
    headers={"content-type": "text/x"},
    metadata={"name": "grüße 😀"},
    labels={"owner": "Jürgen"},
    checksum="CRC32C",
    composite=True,
)
ODD_IDS = ("", "unknown", "..", "../..", "a/b", "/", ".", "0" * 48, "x" * 2000, "\0", "%2e%2e", "😀")


async def _every_call(storage, upload, source, source_etag):
    claimed = [Part(1, etag(b"part"), 4)]
    return await asyncio.gather(
        storage.put_part(upload, 1, body(b"part")),
        storage.copy_part(upload, 1, source, ReadOptions(), source_etag),
        storage.list_parts(upload),
        storage.complete_upload(upload, claimed, Completion()),
        storage.abort_upload(upload),
        return_exceptions=True,
    )


class UploadPromises:
    """Create, put and copy parts, list, abort."""

    async def test_an_upload_keeps_what_was_said_at_its_beginning(self, storage, bucket):
        at = Address(bucket, "a/key")
        upload = await storage.create_upload(at, OPTIONS)
        assert upload.at == at
        info = (await storage.list_parts(upload)).info
        assert info.upload == upload
        assert (info.options.headers, info.options.metadata) == (OPTIONS.headers, OPTIONS.metadata)
        assert (info.options.labels, info.options.checksum, info.options.composite) == (
            OPTIONS.labels,
            "CRC32C",
            True,
        )

    async def test_an_open_upload_is_no_object(self, storage, bucket):
        upload = await storage.create_upload(Address(bucket, "a/key"))
        await storage.put_part(upload, 1, body(b"part"))
        assert await keys(storage, bucket) == []
        assert await keys(storage, bucket, ListQuery(delimiter="/")) == []
        with pytest.raises(NoSuchKey):
            await storage.head(Address(bucket, "a/key"))

    async def test_conditions_are_not_looked_at_when_an_upload_begins(self, storage, bucket):
        await put(storage, Address(bucket, "key"))
        await storage.create_upload(Address(bucket, "key"), WriteOptions(conditions=Conditions(if_none_match=("*",))))

    @pytest.mark.parametrize("size", [0, 1, PIECE, 5 * MIB + 1])
    async def test_a_part_is_told_as_it_was_stored(self, storage, bucket, size):
        upload = await storage.create_upload(Address(bucket, "key"))
        part = await storage.put_part(upload, 7, body(some(size), pieces=MIB))
        assert (part.number, part.etag, part.size) == (7, etag(some(size)), size)
        (listed,) = (await storage.list_parts(upload)).parts
        assert (listed.number, listed.etag, listed.size) == (7, etag(some(size)), size)
        assert listed.checksum == part.checksum
        assert listed.modified is not None

    @pytest.mark.parametrize("algorithm", list(ALGORITHMS))
    async def test_parts_have_the_checksum_of_their_upload(self, storage, bucket, algorithm):
        upload = await storage.create_upload(Address(bucket, "key"), WriteOptions(checksum=algorithm))
        digest = Digest()
        digest.want(algorithm)
        digest.update(b"part")
        source = await put(storage, Address(bucket, "source"), b"part", WriteOptions(checksum="SHA1"))
        stored = await storage.put_part(upload, 1, sent := body(b"part"))
        assert sent.kept == algorithm
        copied = await storage.copy_part(upload, 2, Address(bucket, "source"), ReadOptions(), source.etag)
        assert stored.checksum == copied.checksum == digest.checksum(algorithm)
        listed = (await storage.list_parts(upload)).parts
        assert [part.checksum for part in listed] == [digest.checksum(algorithm)] * 2

    async def test_a_part_replaces_an_earlier_one_of_its_number(self, storage, bucket):
        upload = await storage.create_upload(Address(bucket, "key"))
        for data in (b"first", some(MIB), b"last"):
            await storage.put_part(upload, 1, body(data))
        (listed,) = (await storage.list_parts(upload)).parts
        assert (listed.etag, listed.size) == (etag(b"last"), 4)
        await storage.complete_upload(upload, [listed], Completion())
        assert await read(storage, Address(bucket, "key")) == b"last"

    async def test_the_earlier_part_stays_when_a_later_one_fails(self, storage, bucket):
        upload = await storage.create_upload(Address(bucket, "key"))
        part = await storage.put_part(upload, 1, body(b"part"))
        with pytest.raises(BrokenOffError):
            await storage.put_part(upload, 1, Body(breaking(some(3 * PIECE)), None))
        slow = Slow(some(3 * PIECE), b"rest")
        running = asyncio.create_task(storage.put_part(upload, 1, slow.body))
        await slow.reached.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert slow.closed
        assert [p.etag for p in (await storage.list_parts(upload)).parts] == [part.etag]
        await storage.complete_upload(upload, [part], Completion())
        assert await read(storage, Address(bucket, "key")) == b"part"

    async def test_a_part_that_failed_does_not_appear(self, storage, bucket):
        upload = await storage.create_upload(Address(bucket, "key"))
        with pytest.raises(BrokenOffError):
            await storage.put_part(upload, 1, Body(breaking(b"part"), None))
        assert list((await storage.list_parts(upload)).parts) == []

    async def test_concurrent_parts_of_one_number_leave_one_of_them_whole(self, storage, bucket):
        upload = await storage.create_upload(Address(bucket, "key"))
        await asyncio.gather(*(storage.put_part(upload, 1, body(some(PIECE + n, n))) for n in range(8)))
        (part,) = (await storage.list_parts(upload)).parts
        await storage.complete_upload(upload, [part], Completion())
        data = await read(storage, Address(bucket, "key"))
        assert etag(data) == part.etag
        assert data in [some(PIECE + n, n) for n in range(8)]

    async def test_parts_are_listed_page_by_page(self, storage, bucket):
        upload = await storage.create_upload(Address(bucket, "key"))
        numbers = [10000, 3, 1, 20, 100, 9999, 2]
        await uploaded(storage, upload, [(number, b"%d" % number) for number in numbers])
        for limit in (1, 2, 6, 7, 1000):
            found, after = [], 0
            while True:
                page = await storage.list_parts(upload, after, limit)
                assert len(page.parts) <= limit
                found += [(part.number, part.etag) for part in page.parts]
                after = page.last
                if not after:
                    break
                assert after == found[-1][0]
            assert found == [(number, etag(b"%d" % number)) for number in sorted(numbers)]
        assert [part.number for part in (await storage.list_parts(upload, 50)).parts] == [100, 9999, 10000]
        assert list((await storage.list_parts(upload, 10000)).parts) == []
        page = await storage.list_parts(upload, 0, 0)
        assert (list(page.parts), page.last) == ([], 0)

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            (None, slice(None)),
            (slice(0, 1), slice(0, 1)),
            (slice(5, 70_000), slice(5, 70_000)),
            (slice(MIB, None), slice(MIB, None)),
            (slice(-9, None), slice(-9, None)),
            (slice(0, 9 * MIB), slice(None)),
        ],
    )
    async def test_a_part_can_be_copied(self, storage, bucket, wanted, expected):
        await storage.create_bucket("elsewhere", {})
        source = Address("elsewhere", "a/source")
        there = await put(storage, source, some(MIB + 1))
        upload = await storage.create_upload(Address(bucket, "key"))
        part = await storage.copy_part(upload, 3, source, ReadOptions(range=wanted), there.etag)
        data = some(MIB + 1)[expected]
        assert (part.number, part.etag, part.size) == (3, etag(data), len(data))
        await storage.complete_upload(upload, [part], Completion())
        assert await read(storage, Address(bucket, "key")) == data

    async def test_a_part_can_be_copied_from_an_object_of_parts(self, storage, bucket):
        source = Address(bucket, "source")
        there = await completed(storage, source, [(1, some(5 * MIB)), (2, b"end")])
        upload = await storage.create_upload(Address(bucket, "key"))
        wanted = ReadOptions(range=slice(5 * MIB - 2, 5 * MIB + 2))
        part = await storage.copy_part(upload, 1, source, wanted, there.etag)
        assert part.etag == etag(some(5 * MIB)[-2:] + b"en")

    async def test_a_part_is_copied_of_the_version_that_was_meant(self, storage, bucket):
        source = Address(bucket, "source")
        old = await put(storage, source, b"old")
        await put(storage, source, b"new")
        upload = await storage.create_upload(Address(bucket, "key"))
        with pytest.raises(PreconditionFailed):
            await storage.copy_part(upload, 1, source, ReadOptions(), old.etag)
        assert list((await storage.list_parts(upload)).parts) == []

    async def test_a_part_cannot_be_copied_from_nothing(self, storage, bucket):
        there = await put(storage, Address(bucket, "source"), b"data")
        upload = await storage.create_upload(Address(bucket, "key"))
        part = await storage.put_part(upload, 1, body(b"part"))
        with pytest.raises(NoSuchKey):
            await storage.copy_part(upload, 1, Address(bucket, "nothing"), ReadOptions(), there.etag)
        with pytest.raises(InvalidRange):
            await storage.copy_part(upload, 1, Address(bucket, "source"), ReadOptions(range=slice(4, None)), there.etag)
        assert [p.etag for p in (await storage.list_parts(upload)).parts] == [part.etag]

    async def test_an_aborted_upload_is_gone(self, storage, bucket):
        upload = await storage.create_upload(Address(bucket, "key"))
        other = await storage.create_upload(Address(bucket, "key"))
        await uploaded(storage, upload, [(1, b"part"), (2, b"part")])
        await storage.abort_upload(upload)
        assert [info.upload for info in await uploads(storage, bucket)] == [other]
        source = await put(storage, Address(bucket, "source"), b"part")
        for result in await _every_call(storage, upload, Address(bucket, "source"), source.etag):
            assert isinstance(result, NoSuchUpload)
        assert await keys(storage, bucket) == ["source"]

    async def test_a_completed_upload_is_gone(self, storage, bucket):
        upload = await storage.create_upload(Address(bucket, "key"))
        await storage.complete_upload(upload, await uploaded(storage, upload, [(1, b"part")]), Completion())
        assert await uploads(storage, bucket) == []
        there = await storage.head(Address(bucket, "key"))
        for result in await _every_call(storage, upload, Address(bucket, "key"), there.etag):
            assert isinstance(result, NoSuchUpload)
        assert await storage.head(Address(bucket, "key")) == there

    @pytest.mark.parametrize("upload_id", ODD_IDS, ids=ascii)
    async def test_an_unknown_upload_is_named_as_such(self, storage, bucket, upload_id):
        there = await put(storage, Address(bucket, "key"), b"part")
        upload = Upload(Address(bucket, "key"), upload_id)
        for result in await _every_call(storage, upload, Address(bucket, "key"), there.etag):
            assert isinstance(result, NoSuchUpload)
        assert await keys(storage, bucket) == ["key"]

    async def test_an_upload_belongs_to_its_key_and_bucket(self, storage, bucket):
        await storage.create_bucket("elsewhere", {})
        source = await put(storage, Address(bucket, "source"), b"part")
        upload = await storage.create_upload(Address(bucket, "key"))
        part = await storage.put_part(upload, 1, body(b"part"))
        for at in (Address(bucket, "other"), Address("elsewhere", "key")):
            wrong = Upload(at, upload.id)
            for result in await _every_call(storage, wrong, Address(bucket, "source"), source.etag):
                assert isinstance(result, NoSuchUpload)
        assert [p.etag for p in (await storage.list_parts(upload)).parts] == [part.etag]

    async def test_a_part_that_comes_after_the_abortion_is_refused(self, storage, bucket):
        upload, slow = await storage.create_upload(Address(bucket, "key")), Slow(some(2 * PIECE), b"rest")
        running = asyncio.create_task(storage.put_part(upload, 1, slow.body))
        await slow.reached.wait()
        await storage.abort_upload(upload)
        slow.go_on.set()
        with pytest.raises(NoSuchUpload):
            await running
        assert await uploads(storage, bucket) == []

    async def test_uploads_are_listed_by_key_and_age_page_by_page(self, storage, bucket):
        begun = [await storage.create_upload(Address(bucket, key)) for key in ("b", "a", "c/d", "a", "a-b", "a", "c/e")]
        expected = sorted(begun, key=lambda upload: (upload.at.key, begun.index(upload)))
        for limit in (1, 2, 3, 7, 1000):
            listed = await uploads(storage, bucket, UploadQuery(limit=limit))
            assert [info.upload for info in listed] == expected
        assert (await storage.list_uploads(bucket, UploadQuery(limit=7))).last == ""

    async def test_listed_uploads_tell_when_they_began_and_whose_they_are(self, storage, bucket):
        upload = await storage.create_upload(Address(bucket, "key"), OPTIONS)
        (info,) = await uploads(storage, bucket)
        assert isinstance(info, UploadInfo)
        assert info.upload == upload
        assert info.initiated == (await storage.list_parts(upload)).info.initiated
        assert info.options.labels == OPTIONS.labels
        assert info.options.checksum == OPTIONS.checksum

    @pytest.mark.parametrize("limit", [1, 2, 1000])
    async def test_uploads_are_folded_into_prefixes(self, storage, bucket, limit):
        begun = {}
        for key in ("a", "b/c", "b/c", "b/d", "b/e/f", "b/e/g", "d/😀", "é"):
            begun.setdefault(key, []).append(await storage.create_upload(Address(bucket, key)))
        found = await uploads(storage, bucket, UploadQuery(delimiter="/", limit=limit))
        assert [i for i in found if isinstance(i, str)] == ["b/", "d/"]
        assert [i.upload for i in found if not isinstance(i, str)] == [*begun["a"], *begun["é"]]
        found = await uploads(storage, bucket, UploadQuery("b/", "/", limit=limit))
        assert [i.upload for i in found if not isinstance(i, str)] == [*begun["b/c"], *begun["b/d"]]
        assert [i for i in found if isinstance(i, str)] == ["b/e/"]

    async def test_uploads_may_be_listed_after_a_key_or_one_of_its_uploads(self, storage, bucket):
        first, second, third = [await storage.create_upload(Address(bucket, "a")) for _ in range(3)]
        other = await storage.create_upload(Address(bucket, "b"))

        async def after(key, upload_id=""):
            return [i.upload for i in await uploads(storage, bucket, UploadQuery(after=key, after_id=upload_id))]

        assert await after("a") == [other]
        assert await after("a", first.id) == [second, third, other]
        assert await after("a", third.id) == [other]
        assert await after("0") == [first, second, third, other]
        assert await after("b") == []
        page = await storage.list_uploads(bucket, UploadQuery(limit=0))
        assert (list(page.uploads), list(page.prefixes), page.last, page.last_id) == ([], [], "", "")

    async def test_a_listing_goes_on_behind_an_upload_that_is_gone(self, storage, bucket):
        begun = [await storage.create_upload(Address(bucket, "a")) for _ in range(4)]
        page = await storage.list_uploads(bucket, UploadQuery(limit=2))
        await storage.abort_upload(begun[1])
        rest = await storage.list_uploads(bucket, UploadQuery(after=page.last, after_id=page.last_id))
        assert [info.upload for info in rest.uploads] == begun[2:]
