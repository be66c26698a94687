"""Multipart uploads made of objects."""

import pytest

from gateway.backends.gcs import tables
from gateway.checksums import multipart_etag
from gateway.conditions import Conditions
from gateway.errors import BucketNotEmpty, NoSuchUpload, PreconditionFailed
from gateway.storage import PIECE, Address, Completion, ReadOptions, WriteOptions
from tests.backends.given import MIB, body, completed, etag, read, some, uploaded, uploads
from tests.doubles.gcs import Fault


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr("gateway.backends.assembly.SMALLEST_PART", 1)


def ours(fake, bucket):
    return [name for name in fake.buckets[bucket].blobs if name.startswith(".gw/self/")]


@pytest.mark.parametrize("count", [31, 32, 33, 1100])
async def test_more_parts_than_one_step_takes_become_one_object(fake, storage, bucket, small_parts, count):
    at, data = Address(bucket, "key"), [b"%d " % number for number in range(count)]
    info = await completed(storage, at, list(enumerate(data, start=1)))
    assert (info.etag, info.part_count) == (multipart_etag([etag(d) for d in data]), count)
    assert await storage.head(at) == info
    assert await read(storage, at) == b"".join(data)
    assert await read(storage, at, ReadOptions(part=count)) == data[-1]
    assert ours(fake, bucket) == ([f".gw/self/tables/{t}"] if (t := told_in_a_table(fake, bucket)) else [])


def told_in_a_table(fake, bucket):
    said = fake.blob(bucket, "key").resource["metadata"]["gw-identity"]
    return said.split('"upload":"')[1].split('"')[0] if '"table"' in said else ""


async def test_parts_that_do_not_fit_beside_the_bytes_are_told_all_the_same(
    fake, storage, bucket, small_parts, monkeypatch
):
    monkeypatch.setattr(tables, "ROOM", 100)
    at, data = Address(bucket, "key"), [b"one", b"three", b"two"]
    options = WriteOptions(checksum="SHA256", composite=True)
    await completed(storage, at, list(enumerate(data, start=1)), options)
    info = await storage.head(at, ReadOptions(parts=True))
    assert [part.size for part in info.parts] == [3, 5, 3]
    assert all(part.checksum for part in info.parts)
    assert await read(storage, at, ReadOptions(part=2)) == b"three"
    (table,) = ours(fake, bucket)
    del fake.buckets[bucket].blobs[table]
    assert list((await storage.head(at, ReadOptions(parts=True))).parts) == []
    assert await read(storage, at) == b"onethreetwo"


async def test_an_upload_leaves_nothing_behind(fake, storage, bucket, small_parts):
    for number in range(3):
        upload = await storage.create_upload(Address(bucket, "key"))
        parts = await uploaded(storage, upload, [(n, b"x") for n in range(1, 40)] + [(7, b"again")])
        if number == 0:
            await storage.abort_upload(upload)
        else:
            await storage.complete_upload(upload, [*parts[:6], parts[-1], *parts[7:-1]], Completion())
    assert ours(fake, bucket) == []


async def test_a_part_counts_when_its_checksum_is_known(fake, storage, bucket):
    upload = await storage.create_upload(Address(bucket, "key"))
    first = await storage.put_part(upload, 1, body(some(2 * PIECE)))
    fake.faults.append(Fault("PATCH", status=500, times=3))
    with pytest.raises(Exception, match="Service"):
        await storage.put_part(upload, 1, body(some(2 * PIECE, 1)))
    assert [part.etag for part in (await storage.list_parts(upload)).parts] == [first.etag]
    await storage.complete_upload(upload, [first], Completion())
    assert await read(storage, Address(bucket, "key")) == some(2 * PIECE)
    assert ours(fake, bucket) == []


@pytest.mark.parametrize("size", [10, 2 * PIECE])
async def test_a_part_is_hashed_by_no_other_algorithm_than_that_of_its_upload(storage, bucket, size):
    upload = await storage.create_upload(Address(bucket, "key"), WriteOptions(checksum="SHA1"))
    sent = body(some(size))
    await storage.put_part(upload, 1, sent)
    assert sent.digest.algorithms == ("SHA1",)


async def test_an_upload_that_was_completed_elsewhere_meanwhile_is_not_made_again(fake, storage, bucket):
    at = Address(bucket, "key")
    upload = await storage.create_upload(at)
    parts = await uploaded(storage, upload, [(1, some(5 * MIB)), (2, b"end")])
    compose, first = fake._compose, [True]

    async def too_late(*asked):
        if first:
            first.clear()
            await storage.complete_upload(upload, parts, Completion())
        return await compose(*asked)

    fake._compose = too_late
    with pytest.raises(NoSuchUpload):
        await storage.complete_upload(upload, parts, Completion())
    assert await read(storage, at) == some(5 * MIB) + b"end"
    assert await uploads(storage, bucket) == []


async def test_a_completion_under_a_condition_does_not_replace_what_came_meanwhile(fake, storage, bucket):
    at = Address(bucket, "key")
    upload = await storage.create_upload(at)
    parts = await uploaded(storage, upload, [(1, b"part")])
    compose = fake._compose

    async def too_late(*asked):
        fake.write(bucket, "key", b"faster")
        return await compose(*asked)

    fake._compose = too_late
    with pytest.raises(PreconditionFailed):
        await storage.complete_upload(upload, parts, Completion(Conditions(if_none_match=("*",))))
    assert await read(storage, at) == b"faster"


async def test_labels_come_back_when_a_bucket_turns_out_not_to_be_empty(fake, storage, bucket):
    await storage.annotate(Address(bucket), {"owner": "x"})
    delete = fake._delete_bucket

    async def too_late(request, name):
        fake.write(name, "late", b"data")
        return await delete(request, name)

    fake._delete_bucket = too_late
    with pytest.raises(BucketNotEmpty):
        await storage.delete_bucket(bucket)
    assert (await storage.head_bucket(bucket)).labels == {"owner": "x"}
