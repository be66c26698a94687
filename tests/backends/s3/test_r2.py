"""The promises behind a server that refuses what Cloudflare R2 refuses."""

import pytest

from gateway.backends.s3.backend import open_s3
from gateway.errors import EntityTooSmall, InvalidArgument, InvalidPart, NotImplementedByGateway
from gateway.storage import Address, Completion, ReadOptions, WriteOptions
from tests.backends.given import MIB, body, etag, keys, put, read, some, uploaded
from tests.backends.promises.completions import CompletionPromises
from tests.backends.s3.promised import Settled, unpromised
from tests.backends.s3.test_gateway import S3Promises
from tests.doubles.r2_strict import r2_strict

EQUAL = "R2 takes parts of one size only"
CHECKSUMS = "R2 keeps a checksum here only if it was known before the body, and none of parts"
NORMAL = "R2 takes keys in Unicode's form NFC only"
NO_IF = "R2 knows no condition of a deletion"
KEPT = {
    "test_a_single_small_part_is_an_object_of_one_part",
    "test_a_single_empty_part_is_an_empty_object",
    "test_a_match_of_a_missing_key_names_it_at_completion",
    "test_of_many_uploads_that_want_the_key_absent_exactly_one_completes",
    "test_of_completion_and_abortion_one_wins",
}


@pytest.fixture
async def storage(upstream, settings):
    async with r2_strict(f"http://127.0.0.1:{upstream.port}") as port:
        with_r2 = {**settings, "endpoint": f"http://127.0.0.1:{port}", "dialect": "r2", "region": "us-east-1"}
        async with open_s3("r2", **with_r2) as opened:
            yield Settled(opened)


class R2Promises(S3Promises):
    """Without what R2 cannot do."""

    test_the_checksum_asked_for_is_kept = unpromised(CHECKSUMS)
    test_parts_have_the_checksum_of_their_upload = unpromised(CHECKSUMS)
    test_an_upload_keeps_what_was_said_at_its_beginning = unpromised(CHECKSUMS)
    test_listed_uploads_tell_when_they_began_and_whose_they_are = unpromised(CHECKSUMS)
    test_a_copy_has_the_checksum_asked_for = unpromised(CHECKSUMS)
    test_parts_are_listed_page_by_page = unpromised(EQUAL)
    test_every_key_is_an_object_of_its_own = unpromised(NORMAL)
    test_nasty_keys_are_listed_page_by_page = unpromised(NORMAL)
    test_a_listing_may_begin_after_anything = unpromised(NORMAL)
    test_a_deletion_happens_only_under_its_condition = unpromised(NO_IF)
    test_a_deletion_that_must_match_names_a_missing_key = unpromised(NO_IF)
    test_of_a_deletion_and_a_replacement_of_one_version_one_wins = unpromised(NO_IF)


for name in vars(CompletionPromises):
    if name.startswith("test_") and name not in KEPT:
        setattr(R2Promises, name, unpromised(EQUAL))


class TestOverR2(R2Promises):
    """With `storage` from this module."""


@pytest.fixture
async def bucket(storage):
    await storage.create_bucket("promises", {})
    return "promises"


async def test_equal_parts_and_a_smaller_last_one_become_an_object(storage, bucket):
    at = Address(bucket, "key")
    upload = await storage.create_upload(at, WriteOptions(metadata={"a": "ä"}))
    parts = await uploaded(storage, upload, [(3, b"end"), (1, some(5 * MIB)), (2, some(5 * MIB, 1))])
    made = await storage.complete_upload(
        upload, sorted(parts, key=lambda part: part.number), Completion(size=10 * MIB + 3)
    )
    assert (made.size, made.part_count, made.metadata) == (10 * MIB + 3, 3, {"a": "ä"})
    assert await read(storage, at) == some(5 * MIB) + some(5 * MIB, 1) + b"end"
    assert await read(storage, at, ReadOptions(part=2)) == some(5 * MIB, 1)
    assert [part.size for part in (await storage.head(at, ReadOptions(parts=True))).parts] == [5 * MIB, 5 * MIB, 3]
    await storage.annotate(at, {"acl": "private"})
    head = await storage.head(at)
    assert (head.etag, head.modified, head.labels) == (made.etag, made.modified, {"acl": "private"})


@pytest.mark.parametrize("sizes", [(5 * MIB, 6 * MIB), (6 * MIB, 5 * MIB, 6 * MIB), (5 * MIB, 5 * MIB, 5 * MIB + 1)])
async def test_an_odd_part_is_refused_at_once_and_the_rule_is_named(storage, bucket, sizes):
    upload = await storage.create_upload(Address(bucket, "key"))
    *good, odd = sizes
    await uploaded(storage, upload, [(number, some(size)) for number, size in enumerate(good, start=1)])
    refused = body(some(odd), pieces=MIB)
    with pytest.raises(InvalidPart, match="of one size"):
        await storage.put_part(upload, len(sizes), refused)
    assert not refused.started
    assert [part.number for part in (await storage.list_parts(upload)).parts] == list(range(1, len(sizes)))


async def test_an_odd_part_is_refused_where_another_process_stored_the_others(upstream, storage, bucket, settings):
    upload = await storage.create_upload(Address(bucket, "key"))
    await uploaded(storage, upload, [(1, some(5 * MIB))])
    async with open_s3("other", **{**settings, "dialect": "r2", "region": "us-east-1"}) as other:
        with pytest.raises(InvalidPart, match="of one size"):
            await other.put_part(upload, 2, body(some(5 * MIB + 1)))


async def test_small_parts_are_refused_by_the_server(storage, bucket):
    upload = await storage.create_upload(Address(bucket, "key"))
    parts = await uploaded(storage, upload, [(1, b"one"), (2, b"two")])
    with pytest.raises(EntityTooSmall):
        await storage.complete_upload(upload, parts, Completion())


async def test_a_key_that_r2_would_mistake_for_another_is_refused(storage, bucket):
    await put(storage, Address(bucket, "\u00e9"), b"composed")
    with pytest.raises(InvalidArgument, match="NFC"):
        await put(storage, Address(bucket, "e\u0301"), b"decomposed")
    assert await keys(storage, bucket) == ["\u00e9"]
    assert await read(storage, Address(bucket, "\u00e9")) == b"composed"


async def test_what_r2_lacks_is_refused_and_not_dropped(storage, bucket):
    redirect = WriteOptions(headers={"x-amz-website-redirect-location": "/other"})
    with pytest.raises(NotImplementedByGateway):
        await put(storage, Address(bucket, "key"), b"data", redirect)
    assert await keys(storage, bucket) == []


async def test_a_checksum_that_is_known_before_is_kept(storage, bucket):
    declared = body(some(MIB))
    declared.digest.want("SHA1")
    declared.declared["SHA1"] = bytes.fromhex("00" * 20)
    stored = await put(storage, Address(bucket, "small"), b"data", WriteOptions(checksum="SHA256"))
    assert (await storage.head(Address(bucket, "small"))).checksum == stored.checksum
    assert stored.etag == etag(b"data")
