"""What stands beside the bytes, and objects that others wrote."""

import gzip
import json
from hashlib import md5

import pytest

from gateway.backends.gcs.resources import labels_written
from gateway.checksums import Checksum
from gateway.errors import AccessDenied, InternalError, MetadataTooLarge, NoSuchKey, NoSuchVersion, PreconditionFailed
from gateway.storage import Address, ListQuery, ReadOptions, WriteOptions
from tests.backends.given import MIB, body, etag, put, read, some
from tests.doubles.gcs import crc32c

HEADERS = {
    "content-type": "text/x; charset=utf-8",
    "cache-control": "no-store",
    "content-disposition": 'attachment; filename="ä.txt"',
    "content-encoding": "br",
    "content-language": "de",
    "expires": "Thu, 01 Jan 2099 00:00:00 GMT",
    "x-amz-website-redirect-location": "/other",
}
ODD = {"name": "grüße, 😀", "gw-labels": "mine", "gw-meta-x": "y", "gw-": "z", "empty": ""}


@pytest.mark.parametrize("size", [10, MIB])
async def test_all_that_can_stand_beside_the_bytes_comes_back(storage, bucket, size):
    at, options = Address(bucket, "key"), WriteOptions(headers=HEADERS, metadata=ODD, labels={"owner": "Jürgen"})
    await put(storage, at, some(size), options)
    info = await storage.head(at)
    assert (info.headers, info.metadata, info.labels) == (HEADERS, ODD, {"owner": "Jürgen"})


async def test_other_programs_find_what_the_storage_has_a_place_for_in_its_place(fake, storage, bucket):
    await put(storage, Address(bucket, "a/key"), b"data", WriteOptions(headers=HEADERS, metadata={"name": "grüße"}))
    resource = fake.blob(bucket, "a/key").told()
    assert resource["contentType"] == "text/x; charset=utf-8"
    assert resource["contentEncoding"] == "br"
    assert resource["metadata"]["name"] == "grüße"
    assert resource["md5Hash"]


async def test_metadata_that_the_storage_would_refuse_is_refused_before_the_body(fake, storage, bucket):
    upload = body(b"data")
    with pytest.raises(MetadataTooLarge):
        await storage.put(Address(bucket, "key"), upload, WriteOptions(metadata={"large": "x" * 8200}))
    assert not upload.started


async def test_a_small_object_costs_one_request_and_a_large_one_two(fake, storage, bucket):
    for size, checksum, requests in ((10, "SHA256", 1), (MIB, "SHA256", 2), (MIB, "CRC32C", 1)):
        fake.requests.clear()
        await put(storage, Address(bucket, "key"), some(size), WriteOptions(checksum=checksum))
        assert len(fake.requests) == requests


async def test_an_object_of_another_program_is_told_as_s3_would(fake, storage, bucket):
    fake.write(bucket, "theirs", b"data", contentType="text/plain", metadata={"Mixed-Case": "Ä"})
    info = await storage.head(Address(bucket, "theirs"))
    assert (info.etag, info.size) == (etag(b"data"), 4)
    assert info.checksum == Checksum("CRC32C", crc32c(b"data"))
    assert (info.headers, info.metadata) == ({"content-type": "text/plain"}, {"mixed-case": "Ä"})
    (listed,) = (await storage.list_objects(bucket, ListQuery())).objects
    assert listed.etag == info.etag


async def test_an_object_without_an_md5_has_an_etag_of_its_version(fake, storage, bucket):
    at = Address(bucket, "composed")
    fake.write(bucket, "composed", b"data").components = 2
    first = await storage.head(at)
    assert first.etag.endswith("-1")
    assert first.part_count == 0
    assert await storage.head(at) == first
    (listed,) = (await storage.list_objects(bucket, ListQuery())).objects
    assert listed.etag == first.etag
    fake.write(bucket, "composed", b"data").components = 2
    assert (await storage.head(at)).etag != first.etag
    with pytest.raises(PreconditionFailed):
        await storage.copy(at, Address(bucket, "to"), WriteOptions(), first.etag)


async def test_a_copy_of_an_object_without_an_md5_keeps_its_etag(fake, storage, bucket):
    fake.write(bucket, "composed", some(5 * MIB)).components = 2
    source, to = Address(bucket, "composed"), Address(bucket, "to")
    there = await storage.head(source)
    fake.requests.clear()
    copied = await storage.copy(source, to, WriteOptions(checksum="CRC32C"), there.etag)
    assert copied.etag == there.etag == (await storage.head(to)).etag
    assert sum("rewriteTo" in request for request in fake.requests) == 3
    assert not any("alt=media" in request for request in fake.requests)


async def test_an_identity_that_was_carried_over_to_other_bytes_does_not_count(fake, storage, bucket):
    await put(storage, Address(bucket, "key"), b"data", WriteOptions(checksum="SHA256"))
    fake.write(bucket, "key", b"other", **fake.blob(bucket, "key").resource)
    info = await storage.head(Address(bucket, "key"))
    assert info.etag == etag(b"other")
    assert info.checksum == Checksum("CRC32C", crc32c(b"other"))


@pytest.mark.parametrize(
    "said",
    [
        "{",
        "[]",
        "7",
        "null",
        json.dumps({"crc32c": crc32c(b"data"), "checksum": "x"}),
        json.dumps({"crc32c": crc32c(b"data"), "checksum": "x", "algorithm": "none"}),
        json.dumps({"crc32c": crc32c(b"data"), "parts": "x"}),
        json.dumps({"crc32c": crc32c(b"data"), "parts": 1, "upload": "a", "sizes": [[1]]}),
        json.dumps({"crc32c": crc32c(b"data"), "parts": 1, "upload": "a", "sizes": 4}),
        json.dumps({"crc32c": crc32c(b"data"), "parts": 1, "upload": "a", "table": True}),
    ],
)
async def test_nonsense_in_our_metadata_harms_nobody(fake, storage, bucket, said):
    metadata = {"gw-identity": said, "gw-labels": said, "gw-headers": said}
    fake.write(bucket, "key", b"data", metadata=metadata)
    info = await storage.head(Address(bucket, "key"), ReadOptions(parts=True))
    assert (info.etag, info.labels, info.metadata, list(info.parts)) == (etag(b"data"), {}, {}, [])
    assert await read(storage, Address(bucket, "key"), ReadOptions(part=1)) == b"data"


async def test_labels_are_kept_as_other_backends_keep_them(fake, storage, bucket):
    await put(storage, Address(bucket, "key"), b"", WriteOptions(labels={"acl": "private"}))
    assert fake.blob(bucket, "key").resource["metadata"]["gw-labels"] == labels_written({"acl": "private"})
    await storage.annotate(Address(bucket, "key"), {})
    assert "gw-labels" not in fake.blob(bucket, "key").resource["metadata"]


async def test_what_is_stored_packed_comes_packed(fake, storage, bucket):
    packed = gzip.compress(some(MIB))
    options = WriteOptions(headers={"content-encoding": "gzip", "content-type": "a/b"})
    info = await put(storage, Address(bucket, "key"), packed, options)
    assert info.etag == md5(packed).hexdigest()
    assert await read(storage, Address(bucket, "key")) == packed
    assert await read(storage, Address(bucket, "key"), ReadOptions(range=slice(5, 99))) == packed[5:99]


async def test_bytes_that_arrive_as_others_are_taken_back(fake, storage, bucket, monkeypatch):
    at = Address(bucket, "key")
    right = fake._store
    monkeypatch.setattr(fake, "_store", lambda b, r, data, q: right(b, r, data[:-1] + b"?", q))
    with pytest.raises(InternalError):
        await put(storage, at, some(MIB))
    with pytest.raises(NoSuchKey):
        await storage.head(at)


@pytest.mark.parametrize("algorithm", ["MD5", "CRC32C"])
async def test_bytes_whose_hash_was_declared_are_checked_by_the_storage_as_well(fake, storage, bucket, algorithm):
    at = Address(bucket, "key")
    await put(storage, at, b"old")
    upload = body(some(MIB))
    upload.declared[algorithm] = bytes(16 if algorithm == "MD5" else 4)
    with pytest.raises(InternalError):
        await storage.put(at, upload)
    assert await read(storage, at) == b"old"


async def test_our_corner_is_nobodys(storage, bucket):
    await storage.annotate(Address(bucket), {"owner": "x"})
    at = Address(bucket, ".gw/self/bucket")
    there = await put(storage, Address(bucket, "key"), b"data")
    for call in (
        storage.head(at),
        read(storage, at),
        put(storage, at, b"mine"),
        storage.delete(at),
        storage.annotate(at, {}),
        storage.create_upload(at),
        storage.copy(at, Address(bucket, "to"), WriteOptions(), there.etag),
        storage.copy(Address(bucket, "key"), at, WriteOptions(), there.etag),
    ):
        with pytest.raises(AccessDenied):
            await call
    assert (await storage.head_bucket(bucket)).labels == {"owner": "x"}


async def test_a_version_that_never_was_is_not_answered_with_another(storage, bucket):
    await put(storage, Address(bucket, "key"))
    assert (await storage.head(Address(bucket, "key", "null"))).size == 0
    with pytest.raises(NoSuchVersion):
        await storage.head(Address(bucket, "key", "other"))
