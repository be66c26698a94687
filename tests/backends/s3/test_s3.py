"""What the S3 backend does beyond the promises of every backend."""

from dataclasses import replace

import pytest

from gateway.backends.dialects import DIALECTS
from gateway.backends.s3 import copying, writing
from gateway.backends.s3.described import UNKNOWN
from gateway.conditions import Conditions
from gateway.errors import AccessDenied, BadDigest, InvalidArgument, NoSuchVersion, PreconditionFailed
from gateway.storage import PIECE, Address, Body, Completion, ListQuery, ReadOptions, WriteOptions
from tests.backends.given import MIB, BrokenOffError, body, breaking, completed, etag, keys, put, read, some, uploads

LONG = some(5 * MIB) * 4  # more than two parts
OWN = Address("bucket", ".gw/self/bucket")


@pytest.fixture
async def bucket(s3):
    await s3.create_bucket("bucket", {"owner": "me"})
    return "bucket"


async def test_a_long_body_of_unknown_length_becomes_an_object_of_parts(s3, bucket):
    at = Address(bucket, "key")
    options = WriteOptions(metadata={"a": "ä"}, checksum="CRC32")
    info = await s3.put(at, body(LONG, size=None, pieces=MIB), options)
    assert (info.size, info.part_count, info.metadata) == (len(LONG), 3, {"a": "ä"})
    assert await read(s3, at) == LONG
    assert [len(await read(s3, at, ReadOptions(part=n))) for n in (1, 2, 3)] == [8 * MIB, 8 * MIB, 4 * MIB]
    assert info.checksum is not None
    assert (info.checksum.algorithm, info.checksum.composite) == ("CRC32", False)
    assert await uploads(s3, bucket) == []


async def test_a_body_of_unknown_length_that_fits_is_put_at_once(s3, bucket):
    data = LONG[: 8 * MIB]
    info = await s3.put(Address(bucket, "key"), body(data, size=None, pieces=MIB))
    assert (info.etag, info.part_count) == (etag(data), 0)


async def test_a_body_too_large_for_one_request_goes_in_parts(s3, bucket):
    s3._writer._dialect = replace(s3._writer._dialect, largest_put=5 * MIB)
    info = await s3.put(Address(bucket, "key"), body(LONG, pieces=MIB), WriteOptions(checksum="SHA256"))
    assert info.part_count == 3
    assert info.checksum.composite
    assert await read(s3, Address(bucket, "key")) == LONG


async def test_parts_of_a_large_body_are_passed_on_as_they_come(s3, bucket, monkeypatch):
    """However large the parts have to be, no more of them is in memory than a piece."""
    monkeypatch.setattr(writing, "MOST_PARTS", 2)
    s3._writer._dialect = replace(s3._writer._dialect, largest_put=5 * MIB)
    large, begun = body(LONG, pieces=100_000), []
    put_part = s3._uploads.put_part

    async def noted(upload, number, part):
        begun.append((part.size, large.received))
        return await put_part(upload, number, part)

    monkeypatch.setattr(s3._uploads, "put_part", noted)
    await s3.put(Address(bucket, "key"), large)
    assert [size for size, _ in begun] == [10 * MIB, 10 * MIB]
    assert all(read - before <= 2 * PIECE for before, (_, read) in zip((0, 10 * MIB), begun, strict=True))
    assert await read(s3, Address(bucket, "key")) == LONG


def refused(made):
    def check():
        raise BadDigest

    made.check(check)
    return made


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Body(breaking(LONG), None), BrokenOffError),
        (lambda: refused(body(LONG, size=None, pieces=MIB)), BadDigest),
    ],
    ids=["breaks off", "fails its check"],
)
async def test_an_upload_of_ours_is_aborted_when_the_body_fails(s3, bucket, make, error):
    at = Address(bucket, "key")
    await put(s3, at, b"old")
    with pytest.raises(error):
        await s3.put(at, make())
    assert await read(s3, at) == b"old"
    assert await uploads(s3, bucket) == []


async def test_a_condition_holds_for_a_body_that_goes_in_parts(s3, bucket):
    at = Address(bucket, "key")
    await put(s3, at, b"old")
    absent = WriteOptions(conditions=Conditions(if_none_match=("*",)))
    with pytest.raises(PreconditionFailed):
        await s3.put(at, body(LONG, size=None, pieces=MIB), absent)
    assert await read(s3, at) == b"old"
    assert await uploads(s3, bucket) == []


async def test_a_part_of_unknown_length_is_stored(s3, bucket):
    upload = await s3.create_upload(Address(bucket, "key"))
    part = await s3.put_part(upload, 1, body(LONG, size=None, pieces=MIB))
    assert (part.size, part.etag) == (len(LONG), etag(LONG))
    await s3.complete_upload(upload, [part], Completion())
    assert await read(s3, Address(bucket, "key")) == LONG


async def test_an_object_too_large_for_one_copy_is_copied_in_parts(s3, bucket, monkeypatch):
    monkeypatch.setattr(copying, "LARGEST_COPY", 10 * MIB)
    monkeypatch.setattr(copying, "PART", 6 * MIB)
    there = await put(s3, Address(bucket, "key"), LONG)
    to = Address(bucket, "to")
    copied = await s3.copy(Address(bucket, "key"), to, WriteOptions(metadata={"new": "x"}), there.etag)
    assert (copied.size, copied.part_count, copied.metadata) == (len(LONG), 4, {"new": "x"})
    assert await read(s3, to) == LONG


async def test_what_is_our_own_is_listed_for_nobody(s3, bucket):
    assert (await s3.head_bucket(bucket)).labels == {"owner": "me"}
    for delimiter in ("", "/", ".", "g", "w", "gw/", "bucket"):
        for limit in (1, 2, 1000):
            assert await keys(s3, bucket, ListQuery(delimiter=delimiter, limit=limit)) == []
    assert await keys(s3, bucket, ListQuery(".gw/self/")) == []
    assert await keys(s3, bucket, ListQuery(".gw/self/", "/")) == []


async def test_what_stands_beside_our_own_is_listed(s3, bucket):
    names = [".a", ".gw", ".gwen", ".gw0", "z"]
    for name in names:
        await put(s3, Address(bucket, name))
    for limit in (1, 2, 3, 4, 5, 1000):
        assert await keys(s3, bucket, ListQuery(limit=limit)) == sorted(names)
        assert await keys(s3, bucket, ListQuery(".gw", limit=limit)) == [".gw", ".gw0", ".gwen"]
        assert await keys(s3, bucket, ListQuery(delimiter="w", limit=limit)) == [".a", ".gw", "z"]
        assert await keys(s3, bucket, ListQuery(delimiter=".", limit=limit)) == [".", "z"]


async def test_what_is_our_own_is_denied_to_everybody(s3, bucket):
    other = await put(s3, Address(bucket, "key"), b"data")
    for call in (
        s3.head(OWN),
        read(s3, OWN),
        put(s3, OWN, b"{}"),
        s3.delete(OWN),
        s3.copy(OWN, Address(bucket, "key"), WriteOptions(), "x"),
        s3.copy(Address(bucket, "key"), OWN, WriteOptions(), other.etag),
        s3.create_upload(OWN),
        s3.annotate(OWN, {}),
    ):
        with pytest.raises(AccessDenied):
            await call
    assert (await s3.head_bucket(bucket)).labels == {"owner": "me"}


@pytest.mark.parametrize("name", ["gw-labels", "gw-checksum", "gw-modified"])
async def test_metadata_under_our_own_names_is_refused(s3, bucket, name):
    with pytest.raises(InvalidArgument):
        await put(s3, Address(bucket, "key"), b"", WriteOptions(metadata={name: "eyJvd25lciI6ICJtZSJ9"}))
    assert await keys(s3, bucket) == []


async def test_objects_and_metadata_are_native_on_the_server(s3, bucket, upstream):
    """Nothing but the labels is there beside what the client said, under the names that it gave."""
    options = WriteOptions({"content-type": "text/x"}, {"name": "ä", "plain": "b"}, {"acl": "private"})
    await put(s3, Address(bucket, "a/key"), b"data", options)
    there = await upstream.storage.head(Address(bucket, "a/key"))
    assert (there.headers, there.metadata["plain"]) == ({"content-type": "text/x"}, "b")
    assert there.metadata["name"] == "=?UTF-8?B?w6Q=?="
    assert set(there.metadata) == {"name", "plain", "gw-labels"}
    await put(s3, Address(bucket, "bare"), b"data")
    assert (await upstream.storage.head(Address(bucket, "bare"))).metadata == {}


async def test_a_version_that_never_was_is_not_answered_with_another(s3, bucket):
    await put(s3, Address(bucket, "key"))
    assert (await s3.head(Address(bucket, "key", "null"))).size == 0
    with pytest.raises(NoSuchVersion):
        await s3.head(Address(bucket, "key", "other"))


async def test_a_bucket_keeps_its_labels_when_it_cannot_be_deleted(s3, bucket, monkeypatch, upstream):
    """An object may come between the look and the deletion."""
    listed = s3._buckets._lister.list_objects

    async def late(*args):
        page = await listed(*args)
        await put(upstream.storage, Address(bucket, "late"), b"data")
        return page

    monkeypatch.setattr(s3._buckets._lister, "list_objects", late)
    with pytest.raises(Exception, match="not empty"):
        await s3.delete_bucket(bucket)
    assert (await s3.head_bucket(bucket)).labels == {"owner": "me"}


@pytest.mark.parametrize(("algorithm", "is_composite"), [("SHA256", True), ("CRC32C", True), ("CRC32C", False)])
async def test_with_a_part_that_is_read_the_checksum_of_the_whole_is_known(s3, bucket, algorithm, is_composite):
    """S3 tells that of the part then, and only the type of the whole."""
    at = Address(bucket, "key")
    options = WriteOptions(checksum=algorithm, composite=is_composite)
    made = await completed(s3, at, [(1, LONG[: 5 * MIB]), (2, b"end")], options)
    assert made.checksum.composite is is_composite
    read = await s3.head(at, ReadOptions(part=1, parts=True))
    assert read.checksum == made.checksum
    assert [part.checksum.composite for part in read.parts] == [False, False]


async def test_a_copy_that_is_read_and_written_tells_the_time_that_is_stored(s3, bucket, monkeypatch):
    s3._copier._dialect = DIALECTS["generic"]
    there = await put(s3, Address(bucket, "key"), b"data")
    monkeypatch.setattr(writing, "modified", lambda headers, name: UNKNOWN)
    to = Address(bucket, "to")
    copied = await s3.copy(Address(bucket, "key"), to, WriteOptions(), there.etag)
    assert copied.modified == (await s3.head(to)).modified
