"""CopyObject and UploadPartCopy, on memory."""

from datetime import timedelta

import pytest

from gateway.backends.memory import Memory
from gateway.checksums import ALGORITHMS, Checksum
from gateway.errors import (
    AccessDenied,
    InvalidArgument,
    InvalidRange,
    InvalidRequest,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    NoSuchVersion,
    OperationAborted,
    PreconditionFailed,
)
from gateway.operations import copying
from gateway.operations.copying import copy_object, upload_part_copy
from gateway.operations.headers import http_date
from gateway.storage import Address, Completion, WriteOptions
from tests.operations import calls
from tests.operations.answers import as_botocore
from tests.operations.calls import body, call, denying

SOURCE, TARGET = Address("bucket", "source"), Address("bucket", "target")
DATA = b"hello world"
OPTIONS = WriteOptions(
    headers={"content-type": "text/plain", "x-amz-website-redirect-location": "/there"},
    metadata={"color": "red"},
    checksum="SHA1",
)


@pytest.fixture
async def service():
    return await prepared(Memory())


async def prepared(storage):
    service = await calls.bucket(calls.service(storage))
    await storage.put(SOURCE, body(DATA), OPTIONS)
    return service


async def copy(service, source="/bucket/source", headers=None, target="/bucket/target", **more):
    asking = call("PUT", target, headers={"x-amz-copy-source": source, **(headers or {})}, **more)
    async with asking.keep_open:
        answer = await copy_object(service, asking)
    return as_botocore("CopyObject", answer)["CopyObjectResult"]


async def content(service, at=TARGET):
    async with service.storage.get(at) as download:
        return download.content


def value_of(algorithm, data=DATA):
    running = ALGORITHMS[algorithm].new()
    running.update(data)
    return Checksum.of(algorithm, running.digest()).value


async def test_a_copy_has_the_bytes_and_what_was_said_of_them(service):
    told = await copy(service)
    info = await service.storage.head(TARGET)
    assert await content(service) == DATA
    assert info.metadata == {"color": "red"}
    assert info.headers["content-type"] == "text/plain"
    assert told["ETag"] == f'"{info.etag}"'
    assert told["LastModified"] == info.modified.replace(microsecond=0)


async def test_a_redirect_is_never_copied_but_can_be_given(service):
    await copy(service)
    assert "x-amz-website-redirect-location" not in (await service.storage.head(TARGET)).headers
    await copy(service, headers={"x-amz-website-redirect-location": "/elsewhere"})
    info = await service.storage.head(TARGET)
    assert info.headers["x-amz-website-redirect-location"] == "/elsewhere"
    assert info.headers["content-type"] == "text/plain"


async def test_what_was_said_can_be_replaced(service):
    given = {"x-amz-metadata-directive": "REPLACE", "x-amz-meta-size": "big", "Cache-Control": "no-cache"}
    await copy(service, headers=given)
    info = await service.storage.head(TARGET)
    assert info.metadata == {"size": "big"}
    assert info.headers == {"cache-control": "no-cache", "content-type": "binary/octet-stream"}


async def test_without_the_directive_what_is_said_now_is_ignored(service):
    await copy(service, headers={"x-amz-meta-size": "big", "Content-Type": "image/png"})
    info = await service.storage.head(TARGET)
    assert (info.metadata, info.headers["content-type"]) == ({"color": "red"}, "text/plain")


@pytest.mark.parametrize("what", ["metadata", "tagging"])
async def test_an_unknown_directive_is_refused(service, what):
    with pytest.raises(InvalidArgument, match=f"Unknown {what} directive"):
        await copy(service, headers={f"x-amz-{what}-directive": "replace"})


async def test_a_copy_onto_itself_must_change_something(service):
    onto_itself = {"target": "/bucket/source"}
    with pytest.raises(InvalidRequest, match="trying to copy an object to itself without changing"):
        await copy(service, **onto_itself)
    await copy(service, headers={"x-amz-metadata-directive": "REPLACE", "x-amz-meta-a": "b"}, **onto_itself)
    info = await service.storage.head(SOURCE)
    assert (info.metadata, await content(service, SOURCE)) == ({"a": "b"}, DATA)
    await copy(service, headers={"x-amz-website-redirect-location": "/"}, **onto_itself)
    assert (await service.storage.head(SOURCE)).metadata == {"a": "b"}


async def test_the_checksum_of_a_copy_is_that_of_the_source_or_another(service):
    told = await copy(service)
    assert (told["ChecksumSHA1"], told["ChecksumType"]) == (value_of("SHA1"), "FULL_OBJECT")
    told = await copy(service, headers={"x-amz-checksum-algorithm": "crc32c"})
    assert told["ChecksumCRC32C"] == value_of("CRC32C")
    assert "ChecksumSHA1" not in told
    with pytest.raises(InvalidRequest, match="Checksum algorithm provided is unsupported"):
        await copy(service, headers={"x-amz-checksum-algorithm": "SHA3"})


async def test_a_copy_of_an_object_of_parts_is_of_one_piece(service):
    upload = await service.storage.create_upload(SOURCE, WriteOptions(checksum="CRC32", composite=True))
    part = await service.storage.put_part(upload, 1, body(DATA))
    await service.storage.complete_upload(upload, [part], Completion())
    told = await copy(service)
    assert (told["ChecksumCRC32"], told["ChecksumType"]) == (value_of("CRC32"), "FULL_OBJECT")
    assert "-" not in told["ETag"]


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("bucket/a b", "a b"),
        ("/bucket/a%20b", "a b"),
        ("bucket/a+b", "a b"),
        ("bucket%2Fa%2Fb", "a/b"),
        ("bucket/a%2Bb", "a+b"),
        ("bucket/a%25b", "a%b"),
        ("bucket/%3FversionId=1", "?versionId=1"),
        ("bucket/gr%C3%BC%C3%9Fe", "grüße"),
        ("bucket/grüße", "grüße"),
        ("bucket//a", "/a"),
        ("bucket/a?versionId=null", "a"),
        ("bucket/a?versionId=", "a"),
        ("bucket/a?b", "a?b"),
    ],
)
async def test_a_source_is_written_in_many_ways(service, written, key):
    await service.storage.put(Address("bucket", key), body(key.encode()))
    await copy(service, written)
    assert await content(service) == key.encode()


@pytest.mark.parametrize("written", ["", "/", "bucket", "/bucket", "bucket/", "//key", "?versionId=null"])
async def test_a_source_must_name_bucket_and_key(service, written):
    with pytest.raises(InvalidArgument, match="Copy Source must mention the source bucket and key") as caught:
        await copy(service, written)
    assert caught.value.fields == {"ArgumentName": "x-amz-copy-source", "ArgumentValue": written}


async def test_a_source_that_no_key_can_be_is_refused(service):
    for broken in ("bucket/%FF", "bucket/%ZZ", "bucket/100%", "bucket/%A/b"):
        with pytest.raises(InvalidArgument, match="Invalid copy source encoding"):
            await copy(service, broken)
    with pytest.raises(InvalidArgument, match="Invalid copy source object key"):
        await copy(service, f"bucket/{'x' * 1025}")


async def test_a_version_that_is_not_there_is_told_so(service):
    with pytest.raises(NoSuchVersion):
        await copy(service, "bucket/source?versionId=abc")


async def test_a_missing_source_is_told_so(service):
    with pytest.raises(NoSuchKey) as caught:
        await copy(service, "bucket/missing")
    assert caught.value.fields == {"Key": "missing"}
    with pytest.raises(NoSuchBucket):
        await copy(service, "nowhere/source")
    with pytest.raises(NoSuchBucket):
        await copy(service, target="/nowhere/target")


async def test_a_copy_takes_the_right_to_read_the_source(service):
    asked = []
    await copy(service, authorize=denying(asked=asked))
    assert asked == [("read", SOURCE)]
    with pytest.raises(AccessDenied):
        await copy(service, authorize=denying("source"))
    with pytest.raises(AccessDenied):
        await copy(service, "bucket/missing", authorize=denying(""))


async def test_the_owner_of_the_source_may_be_expected(service, upload):
    await calls.bucket(service, "bobs", keys=["source"], owner="bob-id")
    for ask in (copy, lambda of, **more: copy_part(of, upload, **more)):
        await ask(service, source="bobs%2Fsource", headers={"x-amz-source-expected-bucket-owner": "bob-id"})
        with pytest.raises(AccessDenied):
            await ask(service, source="bobs%2Fsource", headers={"x-amz-source-expected-bucket-owner": "alice-id"})


async def test_conditions_on_the_source(service):
    info = await service.storage.head(SOURCE)
    earlier, later = (http_date(info.modified + timedelta(hours=hours)) for hours in (-1, 1))
    for passing in (
        {"if-match": f'"{info.etag}"'},
        {"if-none-match": "other"},
        {"if-modified-since": earlier},
        {"if-unmodified-since": later},
        {"if-match": info.etag, "if-unmodified-since": earlier},
    ):
        await copy(service, headers={f"x-amz-copy-source-{name}": value for name, value in passing.items()})
    for failing in (
        {"if-match": "other"},
        {"if-none-match": info.etag},
        {"if-modified-since": later},
        {"if-unmodified-since": earlier},
    ):
        with pytest.raises(PreconditionFailed) as caught:
            await copy(service, headers={f"x-amz-copy-source-{name}": value for name, value in failing.items()})
        assert not caught.value.headers  # they would be of the source


async def test_conditions_on_the_destination(service):
    await copy(service, headers={"If-None-Match": "*"})
    with pytest.raises(PreconditionFailed):
        await copy(service, headers={"If-None-Match": "*"})
    with pytest.raises(PreconditionFailed):
        await copy(service, headers={"If-Match": "other"})
    with pytest.raises(NoSuchKey):
        await copy(service, headers={"If-Match": "*"}, target="/bucket/nothing")
    with pytest.raises(AccessDenied):
        await copy(service, headers={"If-Match": "other"}, authorize=denying("target"))
    await copy(service, headers={"If-Match": (await service.storage.head(TARGET)).etag})


async def test_a_source_over_five_gibibytes_is_refused(service, monkeypatch):
    monkeypatch.setattr(copying, "BODY_LIMIT", 10)
    with pytest.raises(InvalidRequest, match="larger than the maximum allowable size for a copy source: 10"):
        await copy(service)


class Restless(Memory):
    """Its source is written anew just before it is copied, for as often as is said."""

    changes = 0

    async def copy(self, source, *args):
        await self._change(source)
        return await super().copy(source, *args)

    async def copy_part(self, upload, number, source, *args):
        await self._change(source)
        return await super().copy_part(upload, number, source, *args)

    async def _change(self, source):
        if self.changes:
            self.changes -= 1
            await self.put(source, body(f"change {self.changes}".encode()))


async def test_a_source_that_changes_meanwhile_is_copied_as_it_is_then():
    service = await prepared(Restless())
    service.storage.changes = 2
    await copy(service)
    assert await content(service) == b"change 0"


async def test_a_source_that_never_rests_is_given_up():
    service = await prepared(Restless())
    service.storage.changes = 100
    with pytest.raises(OperationAborted):
        await copy(service)
    with pytest.raises(NoSuchKey):
        await service.storage.head(TARGET)


async def test_a_source_that_changed_is_held_against_the_conditions_again():
    service = await prepared(Restless())
    service.storage.changes = 1
    etag = (await service.storage.head(SOURCE)).etag
    with pytest.raises(PreconditionFailed):
        await copy(service, headers={"x-amz-copy-source-if-match": etag})


# --- UploadPartCopy ---


@pytest.fixture
async def upload(service):
    return await service.storage.create_upload(TARGET, WriteOptions(checksum="CRC32", composite=True))


async def copy_part(service, upload, span=None, *, source="bucket/source", number=1, **more):
    given = {"x-amz-copy-source": source, **more.pop("headers", {})}
    if span:
        given["x-amz-copy-source-range"] = span
    target = f"/bucket/target?partNumber={number}&uploadId={upload.id}"
    asking = call("PUT", target, headers=given, **more)
    async with asking.keep_open:
        answer = await upload_part_copy(service, asking)
    return as_botocore("UploadPartCopy", answer)["CopyPartResult"]


@pytest.mark.parametrize(
    ("span", "copied"), [(None, DATA), ("bytes=0-10", DATA), ("bytes=2-4", DATA[2:5]), ("bytes=10-10", DATA[10:])]
)
async def test_a_part_is_copied(service, upload, span, copied):
    told = await copy_part(service, upload, span, number=7)
    (part,) = (await service.storage.list_parts(upload)).parts
    assert (part.number, part.size) == (7, len(copied))
    assert told["ETag"] == f'"{part.etag}"'
    assert told["ChecksumCRC32"] == value_of("CRC32", copied)
    assert told["LastModified"].tzinfo
    await service.storage.complete_upload(upload, [part], Completion())
    assert await content(service) == copied


@pytest.mark.parametrize(
    "span",
    ["0-2", "bytes=0", "bytes=hello-world", "bytes=0-bar", "bytes=hello-", "bytes=0-2,3-5", "bytes=-2", "bytes=2-",
     "bytes=4-2", "bytes=0-" + "9" * 5000],
)  # fmt: skip
async def test_a_range_of_a_source_is_one_range_with_both_ends(service, upload, span):
    with pytest.raises(InvalidArgument, match="must be of the form bytes=first-last"):
        await copy_part(service, upload, span)


@pytest.mark.parametrize("span", ["bytes=0-11", "bytes=11-12", "bytes=100-200"])
async def test_a_range_beyond_the_source_is_refused_and_not_cut(service, upload, span):
    with pytest.raises(InvalidRange) as caught:
        await copy_part(service, upload, span)
    assert caught.value.fields == {"ActualObjectSize": "11", "RangeRequested": span}
    assert (await service.storage.list_parts(upload)).parts == []


async def test_parts_over_five_gibibytes_are_refused(service, upload, monkeypatch):
    monkeypatch.setattr(copying, "BODY_LIMIT", 10)
    with pytest.raises(InvalidRequest, match="larger than the maximum allowable size"):
        await copy_part(service, upload)
    await copy_part(service, upload, "bytes=0-9")


async def test_the_source_of_a_part_has_conditions_and_rights(service, upload):
    with pytest.raises(PreconditionFailed):
        await copy_part(service, upload, headers={"x-amz-copy-source-if-match": "other"})
    with pytest.raises(AccessDenied):
        await copy_part(service, upload, authorize=denying("source"))
    with pytest.raises(NoSuchKey):
        await copy_part(service, upload, source="bucket/missing%25")
    with pytest.raises(InvalidArgument, match="Part number"):
        await copy_part(service, upload, number=0)
    assert (await service.storage.list_parts(upload)).parts == []


async def test_a_part_of_no_upload_is_told_so(service, upload):
    await service.storage.abort_upload(upload)
    with pytest.raises(NoSuchUpload):
        await copy_part(service, upload)


async def test_a_part_of_a_source_that_changes_is_of_one_state():
    service = await prepared(Restless())
    upload = await service.storage.create_upload(TARGET, WriteOptions())
    service.storage.changes = 1
    told = await copy_part(service, upload, "bytes=0-7")
    assert told["ETag"] == f'"{(await service.storage.head(SOURCE)).etag}"'
