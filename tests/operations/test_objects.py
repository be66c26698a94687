"""PutObject, GetObject, HeadObject and DeleteObject, on memory."""

from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from gateway.backends.memory import Memory
from gateway.checksums import ALGORITHMS, Checksum
from gateway.errors import (
    AccessDenied,
    BadDigest,
    IncompleteBody,
    InvalidPartNumber,
    InvalidRange,
    NoSuchBucket,
    NoSuchKey,
    NotModified,
    PreconditionFailed,
)
from gateway.operations.headers import http_date
from gateway.operations.objects import delete_object, get_object, head_object, put_object
from gateway.storage import Address, Body, Completion, WriteOptions
from tests.operations import calls
from tests.operations.answers import as_botocore
from tests.operations.calls import body, call, denying

DATA = b"hello world"
PATH = "/bucket/key"
AT = Address("bucket", "key")
MIB = 1024 * 1024


@pytest.fixture
async def service():
    return await calls.bucket(calls.service())


@pytest.mark.parametrize("operation", [get_object, head_object])
async def test_an_object_that_came_after_its_caller_was_allowed_is_judged_by_its_own_acl(operation):
    service = await calls.bucket(calls.service(acls=["bucket"]))
    await service.storage.put(AT, body(DATA), WriteOptions(labels={"acl": "private"}))

    async def authorize(_verb, _address, labels=None):
        if labels == {"acl": "private"}:
            raise AccessDenied

    with pytest.raises(AccessDenied):
        await operation(service, call("GET", PATH, authorize=authorize))


async def put(service, data=DATA, headers=None, path=PATH):
    return await put_object(service, call("PUT", path, data, headers=headers))


async def get(service, headers=None, query=""):
    asked = call("GET", PATH + query, headers=headers)
    async with asked.keep_open:
        return await get_object(service, asked)


async def head(service, headers=None, query=""):
    return await head_object(service, call("HEAD", PATH + query, headers=headers))


async def stored(service):
    async with service.storage.get(AT) as download:
        return download.content


async def in_parts(service, *sizes, checksum="CRC32", composite=True):
    """Store an object made of parts."""
    options = WriteOptions(checksum=checksum, composite=composite)
    upload = await service.storage.create_upload(AT, options)
    parts = [
        await service.storage.put_part(upload, number, body(bytes([64 + number]) * size))
        for number, size in enumerate(sizes, start=1)
    ]
    return await service.storage.complete_upload(upload, parts, Completion())


async def test_what_is_put_is_got(service):
    answer = await put(service, headers={"Content-Type": "text/plain", "x-amz-meta-color": "red", "Expires": "0"})
    assert answer.status == 200
    assert answer.headers["ETag"] == '"5eb63bbbe01eeed093cb22bb8f5acdc3"'
    answer = await get(service)
    assert (answer.status, answer.content.content) == (200, DATA)
    told = as_botocore("GetObject", answer, DATA)
    assert told["ContentType"] == "text/plain"
    assert told["Metadata"] == {"color": "red"}
    assert told["ETag"] == '"5eb63bbbe01eeed093cb22bb8f5acdc3"'
    assert told["AcceptRanges"] == "bytes"
    assert told["LastModified"] == (await service.storage.head(AT)).modified.replace(microsecond=0)
    assert "ContentRange" not in told


async def test_a_put_without_a_checksum_is_told_its_crc64nvme(service):
    told = as_botocore("PutObject", await put(service))
    assert told["ChecksumCRC64NVME"] == "jSnVw/bqjr4="
    assert told["ChecksumType"] == "FULL_OBJECT"


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
async def test_a_checksum_is_kept_and_told_to_who_asks(service, algorithm):
    running = ALGORITHMS[algorithm].new()
    running.update(DATA)
    value = Checksum.of(algorithm, running.digest()).value
    told = as_botocore("PutObject", await put(service, headers={f"x-amz-checksum-{algorithm.lower()}": value}))
    assert told[f"Checksum{algorithm}"] == value
    for operation, ask in (("GetObject", get), ("HeadObject", head)):
        assert f"Checksum{algorithm}" not in as_botocore(operation, await ask(service), b"")
        told = as_botocore(operation, await ask(service, {"x-amz-checksum-mode": "ENABLED"}), b"")
        assert told[f"Checksum{algorithm}"] == value
        assert told["ChecksumType"] == "FULL_OBJECT"


async def test_a_wrong_checksum_leaves_the_old_object_alone(service):
    await put(service)
    with pytest.raises(BadDigest):
        await put(service, b"other", {"x-amz-checksum-crc32": "AAAAAA=="})
    assert await stored(service) == DATA


async def test_a_body_cut_short_leaves_the_old_object_alone(service):
    await put(service)
    with pytest.raises(IncompleteBody):
        await put(service, Body(body(b"short")._chunks, 10))
    assert await stored(service) == DATA


async def test_a_body_of_unknown_length_is_stored_if_its_end_is_told(service):
    await put(service, body(DATA, size=False), {"Transfer-Encoding": "chunked"})
    assert await stored(service) == DATA


async def test_a_put_into_no_bucket_is_told_so(service):
    with pytest.raises(NoSuchBucket):
        await put(service, path="/nowhere/key")


async def test_if_none_match_lets_only_the_first_write_through(service):
    await put(service, headers={"If-None-Match": "*"})
    with pytest.raises(PreconditionFailed):
        await put(service, b"second", {"If-None-Match": "*"})
    assert await stored(service) == DATA


async def test_if_match_lets_only_a_change_of_the_known_state_through(service):
    with pytest.raises(NoSuchKey):
        await put(service, headers={"If-Match": "*"})
    etag = (await put(service)).headers["ETag"]
    await put(service, b"second", {"If-Match": etag})
    with pytest.raises(PreconditionFailed):
        await put(service, b"third", {"If-Match": etag})
    assert await stored(service) == b"second"


async def test_an_object_is_replaced_with_all_that_was_said_of_it(service):
    await put(service, headers={"x-amz-meta-old": "1", "Cache-Control": "no-cache"})
    await put(service, headers={"x-amz-meta-new": "1"})
    told = as_botocore("HeadObject", await head(service))
    assert told["Metadata"] == {"new": "1"}
    assert "CacheControl" not in told


@pytest.mark.parametrize(
    ("asked", "content", "told"),
    [
        ("bytes=4-7", DATA[4:8], "bytes 4-7/11"),
        ("bytes=4-", DATA[4:], "bytes 4-10/11"),
        ("bytes=-7", DATA[-7:], "bytes 4-10/11"),
        ("bytes=-70", DATA, "bytes 0-10/11"),
        ("bytes=0-99", DATA, "bytes 0-10/11"),
    ],
)
async def test_a_range_is_answered_with_its_bytes(service, asked, content, told):
    await put(service)
    answer = await get(service, {"Range": asked})
    assert (answer.status, answer.content.content) == (206, content)
    assert answer.headers["Content-Range"] == told
    answer = await head(service, {"Range": asked})
    assert (answer.status, answer.length, answer.headers["Content-Range"]) == (206, len(content), told)


@pytest.mark.parametrize("asked", ["bytes=0-1,3-4", "bytes=9-2", "chapters=1-2"])
async def test_a_range_that_is_to_be_ignored_is_answered_with_the_whole(service, asked):
    await put(service)
    answer = await get(service, {"Range": asked})
    assert (answer.status, answer.content.content) == (200, DATA)
    assert "Content-Range" not in answer.headers


@pytest.mark.parametrize("asked", ["bytes=11-", "bytes=40-50", "bytes=-0"])
@pytest.mark.parametrize("ask", [get, head])
async def test_a_range_without_bytes_is_refused(service, ask, asked):
    await put(service)
    with pytest.raises(InvalidRange) as caught:
        await ask(service, {"Range": asked})
    assert caught.value.fields == {"ActualObjectSize": "11", "RangeRequested": asked}
    assert caught.value.headers == {"Content-Range": "bytes */11"}


@pytest.mark.parametrize("ask", [get, head])
async def test_an_empty_object_has_no_range(service, ask):
    await put(service, b"")
    with pytest.raises(InvalidRange):
        await ask(service, {"Range": "bytes=40-50"})
    assert (await ask(service)).status == 200


async def test_the_last_bytes_of_an_empty_object_are_none(service):
    await put(service, b"")
    for asked in ("bytes=-1", "bytes=-70"):
        answer = await get(service, {"Range": asked})
        assert (answer.status, answer.content.content) == (200, b"")
        assert "Content-Range" not in answer.headers
        answer = await head(service, {"Range": asked})
        assert (answer.status, answer.length) == (200, 0)
        assert "Content-Range" not in answer.headers


@pytest.mark.parametrize("asked", ["bytes=0-", "bytes=0-0", "bytes=-0"])
@pytest.mark.parametrize("ask", [get, head])
async def test_other_ranges_of_an_empty_object_are_refused(service, ask, asked):
    await put(service, b"")
    with pytest.raises(InvalidRange):
        await ask(service, {"Range": asked})


async def test_a_range_is_told_a_checksum_only_if_it_is_the_whole(service):
    await put(service)
    enabled = {"x-amz-checksum-mode": "ENABLED"}
    for ask in (get, head):
        assert "x-amz-checksum-crc64nvme" not in (await ask(service, {**enabled, "Range": "bytes=0-9"})).headers
        assert "x-amz-checksum-crc64nvme" in (await ask(service, {**enabled, "Range": "bytes=0-10"})).headers


async def test_a_part_is_answered_with_its_bytes_and_its_checksum(service):
    info = await in_parts(service, 5 * MIB, 3)
    answer = await get(service, {"x-amz-checksum-mode": "ENABLED"}, "?partNumber=2")
    assert (answer.status, answer.content.content) == (206, b"BBB")
    told = as_botocore("GetObject", answer, b"BBB")
    assert told["PartsCount"] == 2
    assert told["ContentRange"] == f"bytes {5 * MIB}-{5 * MIB + 2}/{5 * MIB + 3}"
    assert told["ETag"] == f'"{info.etag}"'
    running = ALGORITHMS["CRC32"].new()
    running.update(b"BBB")
    assert told["ChecksumCRC32"] == Checksum.of("CRC32", running.digest()).value
    assert told["ChecksumType"] == "COMPOSITE"
    answer = await head(service, query="?partNumber=1")
    assert (answer.status, answer.length) == (206, 5 * MIB)
    assert as_botocore("HeadObject", answer)["PartsCount"] == 2


async def test_a_whole_of_parts_is_told_its_composite_checksum(service):
    info = await in_parts(service, 5 * MIB, 3)
    told = as_botocore("HeadObject", await head(service, {"x-amz-checksum-mode": "ENABLED"}))
    assert told["ChecksumCRC32"] == info.checksum.value
    assert told["ChecksumCRC32"].endswith("-2")
    assert told["ChecksumType"] == "COMPOSITE"
    assert "PartsCount" not in told


async def test_the_first_part_of_an_object_without_parts_is_the_whole(service):
    await put(service)
    answer = await get(service, query="?partNumber=1")
    assert (answer.status, answer.content.content) == (206, DATA)
    assert answer.headers["Content-Range"] == "bytes 0-10/11"
    assert "x-amz-mp-parts-count" not in answer.headers
    with pytest.raises(InvalidPartNumber):
        await get(service, query="?partNumber=2")


async def test_the_first_part_of_an_empty_object_is_no_range(service):
    await put(service, b"")
    answer = await head(service, query="?partNumber=1")
    assert (answer.status, answer.length) == (200, 0)


@pytest.mark.parametrize("ask", [get, head])
async def test_conditions_of_a_read(service, ask):
    etag = (await put(service)).headers["ETag"]
    modified = (await service.storage.head(AT)).modified
    earlier, later = http_date(modified - timedelta(hours=1)), http_date(modified + timedelta(hours=1))
    for passing in (
        {"If-Match": etag},
        {"If-None-Match": "other"},
        {"If-Modified-Since": earlier},
        {"If-Unmodified-Since": later},
    ):
        assert (await ask(service, passing)).status == 200
    for failing in ({"If-Match": "other"}, {"If-Unmodified-Since": earlier}):
        with pytest.raises(PreconditionFailed) as caught:
            await ask(service, failing)
        assert caught.value.headers == {"ETag": etag, "Last-Modified": http_date(modified)}
    for unchanged in ({"If-None-Match": etag}, {"If-Modified-Since": http_date(modified)}):
        with pytest.raises(NotModified) as caught:
            await ask(service, unchanged)
        assert caught.value.headers == {"ETag": etag, "Last-Modified": http_date(modified)}


@pytest.mark.parametrize("operation", [get_object, head_object])
async def test_a_missing_key_is_named_to_who_may_list(service, operation):
    with pytest.raises(NoSuchKey) as caught:
        await operation(service, call("GET", PATH))
    assert caught.value.fields == {"Key": "key"}


@pytest.mark.parametrize("operation", [get_object, head_object])
async def test_who_may_not_list_is_not_told_that_a_key_is_missing(service, operation):
    asked = []
    with pytest.raises(AccessDenied):
        await operation(service, call("GET", PATH, authorize=denying("", asked=asked)))
    assert asked == [("list", Address("bucket"))]


class Watched(Memory):
    """Tells whether an object is open."""

    open = False

    @asynccontextmanager
    async def get(self, *args):
        async with super().get(*args) as download:
            self.open = True
            yield download
            self.open = False


async def test_an_object_is_held_open_until_the_call_is_closed():
    service = await calls.bucket(calls.service(Watched()), keys=["key"])
    asked = call("GET", PATH)
    await get_object(service, asked)
    assert service.storage.open
    await asked.keep_open.aclose()
    assert not service.storage.open


async def test_deleting_leaves_nothing_and_may_be_said_twice(service):
    await put(service)
    for _ in range(2):
        answer = await delete_object(service, call("DELETE", PATH))
        assert (answer.status, answer.content) == (204, b"")
    with pytest.raises(NoSuchKey):
        await head(service)


async def test_a_conditional_deletion_deletes_only_what_it_knows(service):
    etag = (await put(service)).headers["ETag"]
    with pytest.raises(PreconditionFailed):
        await delete_object(service, call("DELETE", PATH, headers={"If-Match": "other"}))
    assert await stored(service) == DATA
    await delete_object(service, call("DELETE", PATH, headers={"If-Match": etag}))
    with pytest.raises(NoSuchKey):
        await head(service)


@pytest.mark.parametrize("etag", ["*", "other"])
async def test_a_conditional_deletion_of_what_is_not_there_says_so(service, etag):
    with pytest.raises(NoSuchKey):
        await delete_object(service, call("DELETE", PATH, headers={"If-Match": etag}))


async def test_a_condition_on_being_there_takes_no_right_to_read(service):
    await put(service)
    await delete_object(service, call("DELETE", PATH, headers={"If-Match": "*"}, authorize=denying("key")))
    with pytest.raises(NoSuchKey):
        await head(service)


async def test_a_condition_on_an_etag_takes_the_right_to_read(service):
    await put(service)
    asked = []
    for operation in (put_object, delete_object):
        with pytest.raises(AccessDenied):
            await operation(
                service, call("PUT", PATH, headers={"If-Match": "x"}, authorize=denying("key", asked=asked))
            )
    assert asked == [("read", AT), ("read", AT)]
    assert await stored(service) == DATA
