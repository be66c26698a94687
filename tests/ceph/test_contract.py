"""The promises over a real Ceph Object Gateway; what its release 16 does otherwise stands here with its reason."""

import asyncio
from dataclasses import replace

import pytest

from gateway.backends.s3.backend import open_s3
from gateway.conditions import Conditions
from gateway.errors import NotImplementedByGateway, PreconditionFailed, S3Error
from gateway.storage import Address, Completion, ListQuery, ReadOptions, WriteOptions
from tests.backends.given import MIB, NASTY, completed, etag, folded, in_order, keys, put, read, some, uploaded
from tests.backends.promises.completions import CompletionPromises
from tests.backends.promises.listings import TREE
from tests.backends.s3.promised import Settled, unpromised
from tests.backends.s3.test_gateway import S3Promises

pytestmark = pytest.mark.ceph

CHECKSUMS = "Ceph 16 keeps no checksums: one is kept only if it was known before the body, and none of parts or copies"
COMPLETION = (
    "Ceph 16 wants all parts named, drops conditions of completions, and answers 500 where an upload is unknown"
)
DELETION = "Ceph 16 drops conditions of deletions"
UPLOADS = "Ceph 16 lists uploads in an order of its own and folds them into no prefixes"
LISTING = "Ceph 16 takes no NUL in keys, and leaves out a common prefix in which a listing begins"
PARTS = "Ceph 16 knows no partNumber"
ETAGS = "Ceph 16 compares one ETag only"
KEPT = {
    "test_a_range_may_cross_parts",
    "test_a_single_empty_part_is_an_empty_object",
    "test_only_number_and_etag_of_a_part_must_be_claimed",
    "test_parts_become_one_object",
}


class TestOverCeph(S3Promises):
    @pytest.fixture
    async def storage(self, settings):
        async with open_s3("ceph", **settings) as storage:
            yield Settled(storage)

    test_the_checksum_asked_for_is_kept = unpromised(CHECKSUMS)
    test_parts_have_the_checksum_of_their_upload = unpromised(CHECKSUMS)
    test_an_upload_keeps_what_was_said_at_its_beginning = unpromised(CHECKSUMS)
    test_listed_uploads_tell_when_they_began_and_whose_they_are = unpromised(CHECKSUMS)
    test_a_copy_has_the_checksum_asked_for = unpromised(CHECKSUMS)
    test_a_deletion_happens_only_under_its_condition = unpromised(DELETION)
    test_a_deletion_that_must_match_names_a_missing_key = unpromised(DELETION)
    test_of_a_deletion_and_a_replacement_of_one_version_one_wins = unpromised(DELETION)
    test_uploads_are_listed_by_key_and_age_page_by_page = unpromised(UPLOADS)
    test_uploads_are_folded_into_prefixes = unpromised(UPLOADS)
    test_uploads_may_be_listed_after_a_key_or_one_of_its_uploads = unpromised(UPLOADS)
    test_a_listing_goes_on_behind_an_upload_that_is_gone = unpromised(UPLOADS)
    test_a_tree_is_listed_page_by_page = unpromised(LISTING)
    test_nasty_keys_are_listed_page_by_page = unpromised(LISTING)
    test_a_listing_may_begin_after_anything = unpromised(LISTING)
    test_any_listing_is_what_the_plainest_model_says = unpromised(LISTING)
    test_every_key_is_an_object_of_its_own = unpromised(LISTING)
    test_a_write_under_a_condition_that_s3_knows_and_that_is_true = unpromised(ETAGS)
    test_of_many_who_replace_one_version_exactly_one_wins = unpromised("see what is said of races below")


for name in vars(CompletionPromises):
    if name.startswith("test_") and name not in KEPT:
        setattr(TestOverCeph, name, unpromised(PARTS if "part" in name else COMPLETION))


@pytest.fixture
async def storage(settings):
    async with open_s3("ceph", **settings) as storage:
        await storage.create_bucket("promises", {})
        yield storage


@pytest.fixture
def bucket(storage):
    return "promises"


async def test_of_many_who_replace_one_version_one_wins_and_nobody_else_is_told_so(storage, bucket):
    """Of those who lose, Ceph tells some 500 instead of 412: that nobody knows what became of it."""
    at = Address(bucket, "key")
    first = await put(storage, at, b"first")
    when = WriteOptions(conditions=Conditions(if_match=(first.etag,)))
    results = await asyncio.gather(*(put(storage, at, b"%d" % n, when) for n in range(20)), return_exceptions=True)
    (winner,) = [number for number, result in enumerate(results) if not isinstance(result, BaseException)]
    assert await read(storage, at) == b"%d" % winner
    assert all(isinstance(result, S3Error) for result in results if isinstance(result, BaseException))


@pytest.mark.parametrize("tags", [("*",), (etag(b"old"),)])
async def test_a_write_happens_under_a_condition_that_is_true(storage, bucket, tags):
    at = Address(bucket, "key")
    await put(storage, at, b"old")
    await put(storage, at, b"new", WriteOptions(conditions=Conditions(if_match=tags)))
    assert await read(storage, at) == b"new"


@pytest.mark.parametrize(
    "conditions", [Conditions(if_match=("a", "b")), Conditions(if_none_match=("a", "b"))], ids=["match", "none_match"]
)
async def test_a_list_of_etags_is_refused_and_not_taken_for_one(storage, bucket, conditions):
    with pytest.raises(NotImplementedByGateway):
        await put(storage, Address(bucket, "key"), b"data", WriteOptions(conditions=conditions))


async def test_a_completion_under_a_condition_is_refused_and_changes_nothing(storage, bucket):
    at = Address(bucket, "key")
    await put(storage, at, b"old")
    absent = Conditions(if_none_match=("*",))
    upload = await storage.create_upload(at)
    parts = await uploaded(storage, upload, [(1, b"part")])
    with pytest.raises(NotImplementedByGateway):
        await storage.complete_upload(upload, parts, Completion(absent))
    assert await read(storage, at) == b"old"


async def test_what_is_completed_has_the_etag_that_ceph_does_not_tell(storage, bucket):
    at = Address(bucket, "key")
    made = await completed(storage, at, [(1, some(5 * MIB)), (2, b"end")])
    assert made.etag.endswith("-2")
    assert made.etag == (await storage.head(at)).etag


async def test_a_copy_is_held_to_the_version_that_was_meant(storage, bucket):
    at = Address(bucket, "key")
    await put(storage, at, b"data")
    other = replace(await storage.head(at), etag="0" * 32)
    with pytest.raises(PreconditionFailed):
        await storage._copier.at_once(at, Address(bucket, "to"), WriteOptions(), other, {})
    assert await keys(storage, bucket) == ["key"]


async def test_a_read_that_was_not_modified_tells_of_what(storage, bucket):
    at = Address(bucket, "key")
    info = await put(storage, at, b"data")
    with pytest.raises(S3Error) as caught:
        await storage.head(at, ReadOptions(conditions=Conditions(if_none_match=(info.etag,))))
    assert caught.value.headers["ETag"] == f'"{info.etag}"'


async def test_keys_without_nul_are_listed_whatever_they_are(storage, bucket):
    wanted = [key for key in NASTY if "\0" not in key]
    for key in wanted:
        await put(storage, Address(bucket, key))
    for limit in (7, 1000):
        assert await keys(storage, bucket, ListQuery(limit=limit)) == in_order(wanted)


@pytest.mark.parametrize("limit", [1, 2, 1000])
@pytest.mark.parametrize("query", [ListQuery(), ListQuery(delimiter="/"), ListQuery("boo/", "/"), ListQuery(after="b")])
async def test_a_tree_is_listed_page_by_page(storage, bucket, query, limit):
    for name in TREE:
        await put(storage, Address(bucket, name))
    assert await keys(storage, bucket, query._replace(limit=limit)) == folded(TREE, query)


async def test_an_object_from_parts_stays_one_when_its_labels_change(storage, bucket):
    at = Address(bucket, "key")
    made = await completed(storage, at, [(1, some(5 * MIB)), (2, b"end")], WriteOptions(metadata={"a": "b"}))
    await storage.annotate(at, {"owner": "me"})
    there = await storage.head(at)
    assert (there.etag, there.part_count, there.modified, there.metadata) == (made.etag, 2, made.modified, {"a": "b"})
    assert there.labels == {"owner": "me"}
    assert await read(storage, at) == some(5 * MIB) + b"end"
