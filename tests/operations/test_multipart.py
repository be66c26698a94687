"""CreateMultipartUpload, UploadPart, AbortMultipartUpload and the listings of parts and uploads, on memory."""

from base64 import b64encode

import pytest

from gateway.checksums import ALGORITHMS
from gateway.errors import (
    AccessDenied,
    BadDigest,
    EntityTooLarge,
    InvalidArgument,
    InvalidRequest,
    NoSuchBucket,
    NoSuchUpload,
)
from gateway.operations.headers import BODY_LIMIT
from gateway.operations.multipart import (
    abort_multipart_upload,
    create_multipart_upload,
    list_multipart_uploads,
    list_parts,
    upload_part,
)
from gateway.storage import Address, Body, Upload
from tests.operations import calls
from tests.operations.answers import as_botocore
from tests.operations.calls import BOB, body, call, denying

AT = Address("bucket", "key")


@pytest.fixture
async def service():
    return await calls.bucket(calls.service())


async def create(service, headers=None, key="key", **more):
    answer = await create_multipart_upload(service, call("POST", f"/bucket/{key}?uploads", headers=headers, **more))
    return as_botocore("CreateMultipartUpload", answer)


async def put_part(service, upload_id, number=1, data=b"data", headers=None):
    target = f"/bucket/key?partNumber={number}&uploadId={upload_id}"
    return as_botocore("UploadPart", await upload_part(service, call("PUT", target, data, headers=headers)))


async def parts(service, upload_id, query=""):
    return as_botocore("ListParts", await list_parts(service, call("GET", f"/bucket/key?uploadId={upload_id}{query}")))


async def uploads(service, query="", **more):
    answer = await list_multipart_uploads(service, call("GET", f"/bucket?uploads{query}", **more))
    return as_botocore("ListMultipartUploads", answer)


def value_of(algorithm, data=b"data"):
    running = ALGORITHMS[algorithm].new()
    running.update(data)
    return b64encode(running.digest()).decode()


async def test_an_upload_is_known_by_bucket_key_and_id(service):
    told = await create(service)
    assert (told["Bucket"], told["Key"]) == ("bucket", "key")
    assert "ChecksumAlgorithm" not in told
    assert (await service.storage.list_parts(Upload(AT, told["UploadId"]))).parts == []


async def test_what_describes_the_object_is_kept_with_the_upload(service):
    upload_id = (await create(service, {"Content-Type": "a/b", "x-amz-meta-a": "1"}))["UploadId"]
    options = (await service.storage.list_parts(Upload(AT, upload_id))).info.options
    assert (options.headers, options.metadata) == ({"content-type": "a/b"}, {"a": "1"})


async def test_no_upload_begins_in_no_bucket(service):
    with pytest.raises(NoSuchBucket):
        await create_multipart_upload(service, call("POST", "/nowhere/key?uploads"))


@pytest.mark.parametrize(
    ("algorithm", "kind", "told"),
    [
        ("CRC32", "", "COMPOSITE"),
        ("CRC32C", "COMPOSITE", "COMPOSITE"),
        ("crc32c", "full_object", "FULL_OBJECT"),
        ("SHA1", "", "COMPOSITE"),
        ("SHA256", "COMPOSITE", "COMPOSITE"),
        ("CRC64NVME", "", "FULL_OBJECT"),
        ("CRC64NVME", "FULL_OBJECT", "FULL_OBJECT"),
    ],
)
async def test_checksums_of_uploads_have_a_type(service, algorithm, kind, told):
    answer = await create(service, {"x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": kind})
    assert (answer["ChecksumAlgorithm"], answer["ChecksumType"]) == (algorithm.upper(), told)
    listed = await parts(service, answer["UploadId"])
    assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == (algorithm.upper(), told)


@pytest.mark.parametrize(
    ("algorithm", "kind", "message"),
    [
        ("SHA256", "FULL_OBJECT", "The FULL_OBJECT checksum type cannot be used with the sha256 checksum algorithm"),
        ("SHA1", "FULL_OBJECT", "The FULL_OBJECT checksum type cannot be used with the sha1 checksum algorithm"),
        ("CRC64NVME", "COMPOSITE", "The COMPOSITE checksum type cannot be used with the crc64nvme checksum algorithm"),
        ("CRC32", "HALF_OBJECT", "Value for x-amz-checksum-type header is invalid"),
        ("", "COMPOSITE", "x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header"),
        ("SHA3", "", "Checksum algorithm provided is unsupported"),
    ],
)
async def test_checksums_that_no_upload_can_have_are_refused(service, algorithm, kind, message):
    with pytest.raises(InvalidRequest, match=message):
        await create(service, {"x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": kind})
    assert "Uploads" not in await uploads(service)


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
async def test_a_part_is_told_its_etag_and_its_checksum(service, algorithm):
    upload_id = (await create(service, {"x-amz-checksum-algorithm": algorithm}))["UploadId"]
    declared = {f"x-amz-checksum-{algorithm.lower()}": value_of(algorithm)}
    for headers in ({}, declared):
        told = await put_part(service, upload_id, headers=headers)
        assert told["ETag"] == '"8d777f385d3dfec8815d20f7496026dc"'
        assert told[f"Checksum{algorithm}"] == value_of(algorithm)
    (listed,) = (await parts(service, upload_id))["Parts"]
    assert listed[f"Checksum{algorithm}"] == value_of(algorithm)


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS.keys() - {"CRC64NVME", "SHA1"}))
async def test_a_part_with_another_checksum_than_the_upload_is_refused(service, algorithm):
    upload_id = (await create(service, {"x-amz-checksum-algorithm": algorithm}))["UploadId"]
    await put_part(service, upload_id, data=b"first")
    told = f"expected checksum Type: {algorithm.lower()}, actual checksum Type: sha1"
    with pytest.raises(InvalidRequest, match=told):
        await put_part(service, upload_id, headers={"x-amz-checksum-sha1": value_of("SHA1")})
    assert [part["Size"] for part in (await parts(service, upload_id))["Parts"]] == [5]


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
async def test_to_an_upload_that_names_no_checksum_parts_come_with_any(service, algorithm):
    upload_id = (await create(service))["UploadId"]
    told = await put_part(service, upload_id, headers={f"x-amz-checksum-{algorithm.lower()}": value_of(algorithm)})
    assert told["ChecksumCRC64NVME"] == value_of("CRC64NVME")
    wrong = value_of(algorithm, b"other")
    with pytest.raises(BadDigest):
        await put_part(service, upload_id, headers={f"x-amz-checksum-{algorithm.lower()}": wrong})


async def test_a_wrong_part_leaves_the_earlier_one_alone(service):
    upload_id = (await create(service))["UploadId"]
    await put_part(service, upload_id, data=b"first")
    with pytest.raises(BadDigest):
        await put_part(service, upload_id, headers={"x-amz-checksum-crc64nvme": value_of("CRC64NVME", b"other")})
    with pytest.raises(BadDigest):
        await put_part(service, upload_id, headers={"Content-MD5": "rL0Y20xC+Fzt72VPzMSk2A=="})
    assert [part["Size"] for part in (await parts(service, upload_id))["Parts"]] == [5]


@pytest.mark.parametrize("number", ["0", "10001", "-1", "x", ""])
async def test_part_numbers_go_from_one_to_ten_thousand(service, number):
    upload_id = (await create(service))["UploadId"]
    with pytest.raises(InvalidArgument, match="Part number must be an integer between 1 and 10000, inclusive"):
        await put_part(service, upload_id, number)
    await put_part(service, upload_id, 1)
    await put_part(service, upload_id, 10_000)


async def test_a_part_over_five_gibibytes_is_refused(service):
    upload_id = (await create(service))["UploadId"]
    with pytest.raises(EntityTooLarge):
        await put_part(service, upload_id, data=Body(body(b"")._chunks, BODY_LIMIT + 1))


@pytest.mark.parametrize("upload_id", ["nobody", "", "..%2F..%2Fetc", "%00"])
async def test_an_unknown_upload_is_told_so(service, upload_id):
    with pytest.raises(NoSuchUpload):
        await put_part(service, upload_id)
    with pytest.raises(NoSuchUpload):
        await parts(service, upload_id)
    with pytest.raises(NoSuchUpload):
        await abort_multipart_upload(service, call("DELETE", f"/bucket/key?uploadId={upload_id}"))


async def test_an_upload_of_one_key_is_none_of_another(service):
    upload_id = (await create(service, key="other"))["UploadId"]
    with pytest.raises(NoSuchUpload):
        await put_part(service, upload_id)


async def test_an_aborted_upload_is_gone(service):
    upload_id = (await create(service))["UploadId"]
    answer = await abort_multipart_upload(service, call("DELETE", f"/bucket/key?uploadId={upload_id}"))
    assert (answer.status, answer.content) == (204, b"")
    with pytest.raises(NoSuchUpload):
        await parts(service, upload_id)
    assert "Uploads" not in await uploads(service)


async def test_parts_are_listed_page_by_page(service):
    upload_id = (await create(service))["UploadId"]
    for number in (3, 1, 2):
        await put_part(service, upload_id, number, b"x" * number)
    first = await parts(service, upload_id, "&max-parts=2")
    assert [(part["PartNumber"], part["Size"]) for part in first["Parts"]] == [(1, 1), (2, 2)]
    assert first["IsTruncated"]
    assert (first["MaxParts"], first["PartNumberMarker"], first["NextPartNumberMarker"]) == (2, 0, 2)
    second = await parts(service, upload_id, "&max-parts=2&part-number-marker=2")
    assert [part["PartNumber"] for part in second["Parts"]] == [3]
    assert not second["IsTruncated"]
    assert (second["PartNumberMarker"], second["NextPartNumberMarker"]) == (2, 3)
    (part,) = second["Parts"]
    assert part["ETag"] == '"f561aaf6ef0bf14d4208bb46a4ccb3ad"'
    assert part["LastModified"].tzinfo


async def test_a_page_of_no_parts_is_the_end(service):
    upload_id = (await create(service))["UploadId"]
    await put_part(service, upload_id)
    told = await parts(service, upload_id, "&max-parts=0")
    assert "Parts" not in told
    assert not told["IsTruncated"]


async def test_a_listing_of_parts_says_whose_the_upload_is(service):
    told = await parts(service, (await create(service))["UploadId"])
    assert told["Owner"] == told["Initiator"] == {"ID": "alice-id"}
    assert told["StorageClass"] == "STANDARD"
    assert (told["Bucket"], told["Key"]) == ("bucket", "key")


async def test_where_acls_are_kept_an_upload_belongs_to_who_began_it():
    service = await calls.bucket(calls.service(acls=["bucket"]))
    told = await parts(service, (await create(service, caller=BOB))["UploadId"])
    assert told["Owner"] == told["Initiator"] == {"ID": "bob-id", "DisplayName": "Bob"}


@pytest.mark.parametrize("query", ["&max-parts=x", "&max-parts=-1", "&part-number-marker=x", "&part-number-marker=-1"])
async def test_pages_of_parts_are_asked_for_in_numbers(service, query):
    upload_id = (await create(service))["UploadId"]
    with pytest.raises(InvalidArgument):
        await parts(service, upload_id, query)


async def test_uploads_are_listed_by_key_and_age(service):
    ids = [(await create(service, key=key))["UploadId"] for key in ("b", "a", "b")]
    told = await uploads(service)
    assert [(one["Key"], one["UploadId"]) for one in told["Uploads"]] == [("a", ids[1]), ("b", ids[0]), ("b", ids[2])]
    assert (told["Bucket"], told["MaxUploads"], told["IsTruncated"]) == ("bucket", 1000, False)
    one = told["Uploads"][0]
    assert one["Initiated"].tzinfo
    assert (one["StorageClass"], one["ChecksumAlgorithm"], one["ChecksumType"]) == (
        "STANDARD",
        "CRC64NVME",
        "FULL_OBJECT",
    )
    assert one["Owner"] == one["Initiator"] == {"ID": "alice-id"}


async def test_uploads_are_listed_page_by_page_to_the_end(service):
    made = {(key, (await create(service, key=key))["UploadId"]) for key in ("a", "b", "b", "b", "c")}
    found, query = set(), ""
    for _ in range(5):
        page = await uploads(service, f"&max-uploads=2{query}")
        found |= {(one["Key"], one["UploadId"]) for one in page["Uploads"]}
        if not page["IsTruncated"]:
            break
        query = f"&key-marker={page['NextKeyMarker']}&upload-id-marker={page['NextUploadIdMarker']}"
    assert found == made
    assert not page["IsTruncated"]


async def test_uploads_are_folded_and_encoded(service):
    for key in ("a%20b/1", "a%20b/2", "c"):
        await create(service, key=key)
    told = await uploads(service, "&delimiter=/&encoding-type=url")
    assert told["CommonPrefixes"] == [{"Prefix": "a%20b/"}]
    assert [one["Key"] for one in told["Uploads"]] == ["c"]
    assert told["EncodingType"] == "url"
    told = await uploads(service, "&prefix=a%20b/")
    assert [one["Key"] for one in told["Uploads"]] == ["a b/1", "a b/2"]


async def test_a_page_of_no_uploads_says_at_least_that_the_bucket_is_there(service):
    await create(service)
    told = await uploads(service, "&max-uploads=0")
    assert "Uploads" not in told
    assert not told["IsTruncated"]
    with pytest.raises(NoSuchBucket):
        await list_multipart_uploads(service, call("GET", "/nowhere?uploads&max-uploads=0"))


async def test_uploads_are_listed_to_who_may_list_that_prefix(service):
    asked = []
    await uploads(service, "&prefix=mine/", authorize=denying("", asked=asked))
    assert asked == [("list", Address("bucket", "mine/"))]
    with pytest.raises(AccessDenied):
        await uploads(service, authorize=denying(""))
