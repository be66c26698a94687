"""GetObjectAttributes, on memory."""

import pytest

from gateway.errors import AccessDenied, InvalidArgument, InvalidRequest, NoSuchKey, NotModified, PreconditionFailed
from gateway.operations.attributes import get_object_attributes
from gateway.storage import Address, Completion, WriteOptions
from tests.operations import calls
from tests.operations.answers import as_botocore
from tests.operations.calls import body, call, denying

AT = Address("bucket", "key")
ALL = "ETag,Checksum,ObjectParts,StorageClass,ObjectSize"
PART = 5 * 1024 * 1024


@pytest.fixture
async def service():
    return await calls.bucket(calls.service())


async def ask(service, names=ALL, headers=None, **more):
    given = {"x-amz-object-attributes": names, **(headers or {})}
    asking = call("GET", "/bucket/key?attributes", headers=given, **more)
    return as_botocore("GetObjectAttributes", await get_object_attributes(service, asking))


async def in_parts(service, *, count=3, composite=True):
    upload = await service.storage.create_upload(AT, WriteOptions(checksum="CRC32", composite=composite))
    parts = [await service.storage.put_part(upload, number + 1, body(b"x" * PART)) for number in range(count)]
    return await service.storage.complete_upload(upload, parts, Completion()), parts


async def test_everything_of_an_object_of_one_piece(service):
    info = await service.storage.put(AT, body(b"hello world"))
    told = await ask(service)
    assert told == {
        "ETag": info.etag,
        "Checksum": {"ChecksumCRC64NVME": info.checksum.value, "ChecksumType": "FULL_OBJECT"},
        "StorageClass": "STANDARD",
        "ObjectSize": 11,
        "LastModified": info.modified.replace(microsecond=0),
    }


@pytest.mark.parametrize(("name", "value"), [("ObjectSize", 11), ("StorageClass", "STANDARD"), (" ObjectSize ,", 11)])
async def test_only_what_is_wanted_is_told(service, name, value):
    await service.storage.put(AT, body(b"hello world"))
    told = await ask(service, name)
    assert told.keys() == {name.strip(" ,"), "LastModified"}
    assert told[name.strip(" ,")] == value


async def test_parts_are_told_with_their_checksums(service):
    info, parts = await in_parts(service)
    told = await ask(service)
    assert told["ETag"] == info.etag
    assert told["Checksum"] == {"ChecksumCRC32": info.checksum.value, "ChecksumType": "COMPOSITE"}
    assert told["ObjectParts"] == {
        "TotalPartsCount": 3,
        "PartNumberMarker": 0,
        "NextPartNumberMarker": 3,
        "MaxParts": 1000,
        "IsTruncated": False,
        "Parts": [{"PartNumber": part.number, "Size": PART, "ChecksumCRC32": part.checksum.value} for part in parts],
    }


async def test_parts_are_told_page_by_page(service):
    await in_parts(service)
    first = (await ask(service, headers={"x-amz-max-parts": "2"}))["ObjectParts"]
    assert [part["PartNumber"] for part in first["Parts"]] == [1, 2]
    assert (first["IsTruncated"], first["NextPartNumberMarker"], first["MaxParts"]) == (True, 2, 2)
    second = (await ask(service, headers={"x-amz-max-parts": "2", "x-amz-part-number-marker": "2"}))["ObjectParts"]
    assert [part["PartNumber"] for part in second["Parts"]] == [3]
    assert (second["IsTruncated"], second["PartNumberMarker"]) == (False, 2)


async def test_parts_without_checksums_of_their_own_are_only_counted(service):
    await in_parts(service, count=2, composite=False)
    told = await ask(service)
    assert told["ObjectParts"] == {"TotalPartsCount": 2}
    assert told["Checksum"]["ChecksumType"] == "FULL_OBJECT"


@pytest.mark.parametrize("names", ["", " , "])
async def test_something_must_be_wanted(service, names):
    with pytest.raises(InvalidRequest, match="missing or empty"):
        await ask(service, names)


async def test_an_unknown_name_is_refused(service):
    with pytest.raises(InvalidArgument, match="Invalid attribute name specified"):
        await ask(service, "ETag,Size")


@pytest.mark.parametrize("header", ["x-amz-max-parts", "x-amz-part-number-marker"])
@pytest.mark.parametrize("value", ["x", "-1", "9" * 5000])
async def test_pages_are_asked_for_in_numbers(service, header, value):
    await service.storage.put(AT, body(b"x"))
    with pytest.raises(InvalidArgument):
        await ask(service, headers={header: value})


async def test_a_missing_key_is_told_to_who_may_list(service):
    with pytest.raises(NoSuchKey):
        await ask(service)
    with pytest.raises(AccessDenied):
        await ask(service, authorize=denying(""))


async def test_conditions_hold_here_too(service):
    info = await service.storage.put(AT, body(b"x"))
    with pytest.raises(PreconditionFailed):
        await ask(service, headers={"If-Match": "other"})
    with pytest.raises(NotModified):
        await ask(service, headers={"If-None-Match": info.etag})
