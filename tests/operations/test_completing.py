"""CompleteMultipartUpload, on memory."""

from base64 import b64encode

import pytest

from gateway.checksums import ALGORITHMS, Checksum, combine, composite, multipart_etag
from gateway.errors import (
    AccessDenied,
    BadDigest,
    EntityTooSmall,
    InvalidArgument,
    InvalidDigest,
    InvalidPart,
    InvalidPartOrder,
    InvalidRequest,
    MalformedXML,
    MaxMessageLengthExceeded,
    NoSuchUpload,
    PreconditionFailed,
)
from gateway.operations import completing
from gateway.operations.completing import complete_multipart_upload
from gateway.storage import Address, Upload, WriteOptions
from tests.operations import calls
from tests.operations.answers import as_botocore
from tests.operations.calls import body, call, denying

AT = Address("bucket", "key")
FIRST, SECOND = b"a" * 5 * 1024 * 1024, b"bcd"


@pytest.fixture
async def service():
    return await calls.bucket(calls.service())


async def begun(service, *data, **options):
    """Return an upload and its parts."""
    upload = await service.storage.create_upload(AT, WriteOptions(**options))
    return upload, [
        await service.storage.put_part(upload, number, body(one)) for number, one in enumerate(data, start=1)
    ]


def document(parts, *, checksums=False):
    return "".join(
        f"<Part><PartNumber>{part.number}</PartNumber><ETag>&quot;{part.etag}&quot;</ETag>"
        f"{checksum(part.checksum) if checksums else ''}</Part>"
        for part in parts
    )


def checksum(one):
    return f"<Checksum{one.algorithm}>{one.value}</Checksum{one.algorithm}>"


def asked(upload, parts, headers=None, **more):
    listed = parts if isinstance(parts, str) else document(parts)
    data = (
        f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{listed}</CompleteMultipartUpload>'
    )
    return call("POST", f"/bucket/key?uploadId={upload.id}", data.encode(), headers=headers, **more)


async def complete(service, *args, **more):
    asking = asked(*args, **more)
    async with asking.keep_open:
        answer = await complete_multipart_upload(service, asking)
    return as_botocore("CompleteMultipartUpload", answer)


def crc32(data):
    running = ALGORITHMS["CRC32"].new()
    running.update(data)
    return Checksum.of("CRC32", running.digest())


async def test_parts_become_an_object(service):
    upload, parts = await begun(service, FIRST, SECOND, metadata={"a": "1"})
    told = await complete(service, upload, parts)
    assert told["ETag"] == f'"{multipart_etag([part.etag for part in parts])}"'
    assert (told["Bucket"], told["Key"]) == ("bucket", "key")
    assert told["Location"] == "http://127.0.0.1:9000/bucket/key"
    async with service.storage.get(AT) as download:
        assert download.content == FIRST + SECOND
        assert download.info.metadata == {"a": "1"}
        assert told["ETag"] == f'"{download.info.etag}"'


async def test_a_location_names_the_host_that_was_asked(service):
    upload, parts = await begun(service, SECOND)
    asking = asked(upload, parts)
    asking.host, asking.virtual_host, asking.secure = "bucket.s3.example.com", True, True
    told = as_botocore("CompleteMultipartUpload", await complete_multipart_upload(service, asking))
    assert told["Location"] == "https://bucket.s3.example.com/key"


async def test_a_composite_checksum_is_told_and_compared(service):
    upload, parts = await begun(service, FIRST, SECOND, checksum="CRC32", composite=True)
    whole, listed = composite([crc32(FIRST), crc32(SECOND)]).value, document(parts, checksums=True)
    with pytest.raises(BadDigest):
        await complete(service, upload, listed, {"x-amz-checksum-crc32": crc32(b"other").value})
    headers = {"x-amz-checksum-crc32": whole, "x-amz-checksum-type": "COMPOSITE", "x-amz-mp-object-size": "5242883"}
    told = await complete(service, upload, listed, headers)
    assert (told["ChecksumCRC32"], told["ChecksumType"]) == (whole, "COMPOSITE")
    assert whole.endswith("-2")


async def test_a_checksum_of_the_whole_is_told_and_compared(service):
    upload, parts = await begun(service, FIRST, SECOND, checksum="CRC32", composite=False)
    whole = combine([(crc32(FIRST), len(FIRST)), (crc32(SECOND), len(SECOND))]).value
    assert whole == crc32(FIRST + SECOND).value
    told = await complete(service, upload, parts, {"x-amz-checksum-crc32": whole, "x-amz-checksum-type": "FULL_OBJECT"})
    assert (told["ChecksumCRC32"], told["ChecksumType"]) == (whole, "FULL_OBJECT")


async def test_a_checksum_of_another_type_than_the_uploads_is_refused(service):
    upload, parts = await begun(service, SECOND, checksum="CRC32", composite=True)
    with pytest.raises(InvalidRequest, match="created using the COMPOSITE checksum mode"):
        await complete(service, upload, parts, {"x-amz-checksum-type": "FULL_OBJECT"})
    with pytest.raises(InvalidRequest, match="x-amz-checksum-type header is invalid"):
        await complete(service, upload, parts, {"x-amz-checksum-type": "ANY"})


@pytest.mark.parametrize("value", ["bad", "AAAA"])
async def test_a_checksum_of_the_whole_that_is_none_is_a_mismatch(service, value):
    upload, parts = await begun(service, SECOND, checksum="SHA256", composite=True)
    with pytest.raises(BadDigest):
        await complete(service, upload, document(parts, checksums=True), {"x-amz-checksum-sha256": value})


async def test_a_composite_checksum_takes_that_of_each_part(service):
    upload, parts = await begun(service, FIRST, SECOND, checksum="SHA256", composite=True)
    with pytest.raises(InvalidRequest, match="It was missing for part 2 in the request"):
        await complete(service, upload, document(parts[:1], checksums=True) + document(parts[1:]))
    await complete(service, upload, document(parts, checksums=True))


async def test_checksums_of_parts_are_compared(service):
    upload, (part,) = await begun(service, SECOND, checksum="CRC32", composite=True)

    def entry(value):
        return f"<Part><PartNumber>1</PartNumber><ETag>{part.etag}</ETag><ChecksumCRC32>{value}</ChecksumCRC32></Part>"

    with pytest.raises(InvalidPart):
        await complete(service, upload, entry(crc32(b"other").value))
    await complete(service, upload, entry(crc32(SECOND).value))


async def test_the_declared_size_is_compared(service):
    upload, parts = await begun(service, SECOND)
    with pytest.raises(InvalidRequest, match="x-amz-mp-object-size"):
        await complete(service, upload, parts, {"x-amz-mp-object-size": "4"})
    for wrong in ("x", "-1", "1.0", "9" * 5000):
        with pytest.raises(InvalidRequest, match="Value for x-amz-mp-object-size header is invalid"):
            await complete(service, upload, parts, {"x-amz-mp-object-size": wrong})
    await complete(service, upload, parts, {"x-amz-mp-object-size": "3"})


@pytest.mark.parametrize(
    "listed",
    [
        "",
        "<Part><PartNumber>1</PartNumber></Part>",
        "<Part><ETag>abc</ETag></Part>",
        "<Part><PartNumber>one</PartNumber><ETag>abc</ETag></Part>",
        "<Part>1</Part>",
        "<Part><PartNumber><X/></PartNumber><ETag>abc</ETag></Part>",
    ],
)
async def test_a_list_of_parts_that_is_none_is_malformed(service, listed):
    upload, _ = await begun(service, SECOND)
    with pytest.raises(MalformedXML):
        await complete(service, upload, listed)


async def test_no_document_at_all_is_malformed(service):
    upload, _ = await begun(service, SECOND)
    with pytest.raises(MalformedXML):
        await complete_multipart_upload(service, call("POST", f"/bucket/key?uploadId={upload.id}"))


@pytest.mark.parametrize("number", ["0", "-1", "10001", "9" * 5000])
async def test_part_numbers_of_a_list_go_from_one_to_ten_thousand(service, number):
    upload, _ = await begun(service, SECOND)
    with pytest.raises(InvalidArgument, match="PartNumber must be"):
        await complete(service, upload, f"<Part><PartNumber>{number}</PartNumber><ETag>abc</ETag></Part>")


async def test_two_checksums_of_one_part_are_refused(service):
    upload, _ = await begun(service, SECOND)
    two = "<ChecksumCRC32>AAAAAA==</ChecksumCRC32><ChecksumSHA1>AAAA</ChecksumSHA1>"
    with pytest.raises(InvalidArgument, match="multiple checksums"):
        await complete(service, upload, f"<Part><PartNumber>1</PartNumber><ETag>abc</ETag>{two}</Part>")


async def test_of_a_part_that_is_listed_twice_the_later_is_meant(service):
    upload, parts = await begun(service, FIRST, SECOND)
    resent = await service.storage.put_part(upload, 2, body(b"again"))
    told = await complete(service, upload, [*parts, resent])
    assert told["ETag"] == f'"{multipart_etag([parts[0].etag, resent.etag])}"'
    upload, parts = await begun(service, FIRST, SECOND)
    resent = await service.storage.put_part(upload, 1, body(FIRST + b"again"))
    with pytest.raises(InvalidPart):
        await complete(service, upload, [resent, *parts])
    with pytest.raises(InvalidPartOrder):
        await complete(service, upload, [resent, parts[1], resent])


async def test_parts_that_are_wrong_leave_the_upload_as_it_was(service):
    upload, parts = await begun(service, SECOND, SECOND)
    with pytest.raises(InvalidPartOrder):
        await complete(service, upload, parts[::-1])
    with pytest.raises(EntityTooSmall):
        await complete(service, upload, parts)
    with pytest.raises(InvalidPart):
        await complete(service, upload, "<Part><PartNumber>1</PartNumber><ETag>abc</ETag></Part>")
    with pytest.raises(InvalidPart):
        await complete(service, upload, document(parts).replace(">2<", ">3<"))
    await complete(service, upload, parts[:1])


async def test_ten_thousand_parts_with_their_checksums_fit(service, monkeypatch):
    upload, _ = await begun(service, SECOND)
    entry = (
        "<Part><ETag>&quot;" + "0" * 32 + "&quot;</ETag><PartNumber>{}</PartNumber>"
        "<ChecksumSHA256>" + "A" * 43 + "=</ChecksumSHA256></Part>\n        "
    )
    with pytest.raises(InvalidPart):
        await complete(service, upload, "".join(entry.format(number) for number in range(1, 10_001)))
    monkeypatch.setattr(completing, "DOCUMENT_LIMIT", 1000)
    with pytest.raises(MaxMessageLengthExceeded):
        await complete(service, upload, entry.format(1) * 10)


async def test_a_document_must_have_the_md5_it_claims(service):
    upload, parts = await begun(service, SECOND)
    with pytest.raises(InvalidDigest):
        await complete(service, upload, parts, {"Content-MD5": "no"})
    with pytest.raises(BadDigest):
        await complete(service, upload, parts, {"Content-MD5": b64encode(b"0" * 16).decode()})
    await complete(service, upload, parts)


async def test_conditions_are_decided_when_the_object_appears(service):
    upload, parts = await begun(service, SECOND)
    await service.storage.put(AT, body(b"earlier"))
    with pytest.raises(PreconditionFailed):
        await complete(service, upload, parts, {"If-None-Match": "*"})
    with pytest.raises(PreconditionFailed):
        await complete(service, upload, parts, {"If-Match": "other"})
    with pytest.raises(AccessDenied):
        await complete(service, upload, parts, {"If-Match": "other"}, authorize=denying("key"))
    etag = (await service.storage.head(AT)).etag
    await complete(service, upload, parts, {"If-Match": etag})


async def test_asking_again_is_answered_the_same(service):
    upload, parts = await begun(service, FIRST, SECOND, checksum="SHA1", composite=True)
    listed = document(parts, checksums=True)
    assert await complete(service, upload, listed) == await complete(service, upload, listed)


async def test_asking_again_does_not_take_another_object_for_the_one_that_was_made(service):
    upload, parts = await begun(service, FIRST, SECOND)
    await complete(service, upload, parts)
    with pytest.raises(NoSuchUpload):
        await complete(service, upload, parts[1:])
    await service.storage.put(AT, body(b"later"))
    with pytest.raises(NoSuchUpload):
        await complete(service, upload, parts)
    await service.storage.delete(AT)
    with pytest.raises(NoSuchUpload):
        await complete(service, upload, parts)


@pytest.mark.parametrize("etag", ["1234", "no hex"])
async def test_an_unknown_upload_is_told_so(service, etag):
    listed = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    with pytest.raises(NoSuchUpload):
        await complete(service, Upload(AT, "abc1234def"), listed)
