"""Promises with moto as the server, another hand's understanding of S3, in the dialect that every server speaks."""

from dataclasses import replace

import pytest

from gateway.backends.s3.backend import open_s3
from gateway.checksums import Digest, composite
from gateway.errors import BadDigest, NoSuchUpload, NotImplementedByGateway
from gateway.storage import Address, Completion, ListQuery, WriteOptions
from tests.backends.given import MIB, completed, folded, keys, put, read, some, uploaded
from tests.backends.promises.buckets import BucketPromises
from tests.backends.promises.conditions import ABSENT, ReadConditionPromises
from tests.backends.promises.copies import CopyPromises
from tests.backends.promises.listings import TREE
from tests.backends.promises.objects import ObjectPromises
from tests.backends.s3.promised import Settled, unpromised
from tests.doubles.moto import reset

CONDITIONS = "writes under conditions are refused where nothing is known of the server"
CHECKSUMS = "a checksum is kept only if it was known before the body, and none of parts"
MOTO_STAR = "moto does not know * in conditions of reads, nor two of them at once"
MOTO_XML = "moto lists keys that XML cannot hold as they are"
MOTO_RACE = "moto answers 500 where one key is read while it is written"
MOTO_UPLOADS = "moto lists uploads without pages, and fails where one is unknown"


@pytest.fixture
async def storage(moto):
    keys = {"access_key": "TESTKEY", "secret_key": "test-secret-key"}
    async with open_s3("moto", endpoint=f"http://127.0.0.1:{moto}", dialect="generic", **keys) as storage:
        yield Settled(storage)
    reset(moto)


@pytest.fixture
async def bucket(storage):
    await storage.create_bucket("promises", {})
    return "promises"


class TestOverMoto(BucketPromises, ObjectPromises, ReadConditionPromises, CopyPromises):
    """With `storage` from this module."""

    test_the_checksum_asked_for_is_kept = unpromised(CHECKSUMS)
    test_every_key_is_an_object_of_its_own = unpromised(MOTO_XML)
    test_a_read_happens_only_under_its_conditions = unpromised(MOTO_STAR)
    test_concurrent_reads_and_writes_never_mix_versions = unpromised(MOTO_RACE)
    test_a_missing_bucket_is_named_as_such = unpromised(MOTO_UPLOADS)
    test_a_copy_names_the_missing_bucket_at_either_end = unpromised(MOTO_UPLOADS)
    test_open_uploads_go_with_their_bucket = unpromised(MOTO_UPLOADS)
    test_a_copy_happens_only_under_its_conditions = unpromised(CONDITIONS)
    test_a_copy_may_ask_that_nothing_be_there = unpromised(CONDITIONS)


async def test_what_is_not_known_of_a_server_is_refused_and_nothing_is_written(storage, bucket):
    with pytest.raises(NotImplementedByGateway):
        await put(storage, Address(bucket, "key"), b"data", WriteOptions(conditions=ABSENT))
    assert await keys(storage, bucket) == []


async def test_parts_become_an_object(storage, bucket):
    at, options = Address(bucket, "key"), WriteOptions(metadata={"a": "ä"})
    made = await completed(storage, at, [(1, some(5 * MIB)), (2, some(5 * MIB, 1)), (7, b"end")], options)
    assert (made.size, made.part_count, made.metadata) == (10 * MIB + 3, 3, {"a": "ä"})
    assert await read(storage, at) == some(5 * MIB) + some(5 * MIB, 1) + b"end"


async def test_the_size_of_the_whole_is_compared_here_where_the_server_does_not(storage, bucket):
    upload = await storage.create_upload(Address(bucket, "key"))
    parts = await uploaded(storage, upload, [(1, b"part")])
    with pytest.raises(Exception, match="4 bytes together, not 5"):
        await storage.complete_upload(upload, parts, Completion(size=5))
    assert (await storage.complete_upload(upload, parts, Completion(size=4))).size == 4


@pytest.mark.parametrize("algorithm", ["CRC32C", "SHA256"])
async def test_the_checksum_of_the_whole_is_compared_with_those_of_its_parts_where_the_server_does_not(
    storage, bucket, algorithm
):
    pieces = [some(5 * MIB), b"end"]
    checksums = [_checksum(algorithm, piece) for piece in pieces]
    whole = composite(checksums) if algorithm == "SHA256" else _checksum(algorithm, b"".join(pieces))
    at = Address(bucket, "key")
    for declared in (replace(whole, value=whole.value[::-1]), whole):
        upload = await storage.create_upload(at, WriteOptions(checksum=algorithm))
        parts = await uploaded(storage, upload, list(enumerate(pieces, start=1)))
        claims = [replace(part, checksum=checksum) for part, checksum in zip(parts, checksums, strict=True)]
        if declared != whole:
            with pytest.raises(BadDigest):
                await storage.complete_upload(upload, claims, Completion(checksum=declared))
        with pytest.raises(NotImplementedByGateway):
            await storage.complete_upload(upload, parts, Completion(checksum=declared))
    assert (await storage.complete_upload(upload, claims, Completion(checksum=whole))).size == 5 * MIB + 3


def _checksum(algorithm, data):
    digest = Digest()
    digest.want(algorithm)
    digest.update(data)
    return digest.checksum(algorithm)


@pytest.mark.parametrize("limit", [1, 2, 1000])
@pytest.mark.parametrize("query", [ListQuery(), ListQuery(delimiter="/"), ListQuery("boo/", "/"), ListQuery(after="b")])
async def test_a_tree_is_listed_page_by_page(storage, bucket, query, limit):
    for name in TREE:
        await put(storage, Address(bucket, name))
    assert await keys(storage, bucket, query._replace(limit=limit)) == folded(TREE, query)


async def test_a_completion_that_fails_because_there_is_no_upload_says_so(storage, bucket):
    upload = await storage.create_upload(Address(bucket, "key"))
    parts = await uploaded(storage, upload, [(1, b"part")])
    await storage.abort_upload(upload)
    with pytest.raises(NoSuchUpload):
        await storage.complete_upload(upload, parts, Completion())
