"""CreateMultipartUpload, UploadPart, AbortMultipartUpload, ListParts and ListMultipartUploads.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

from gateway.checksums import ALGORITHMS, DEFAULT
from gateway.errors import InvalidRequest
from gateway.message import Answer, Call, Owner
from gateway.operations import acl, listing, paging, xml
from gateway.operations.checksumming import (
    ALGORITHM,
    TYPE,
    algorithm_named,
    element_of,
    expect_algorithm,
    header_of,
    type_name,
    type_wanted,
    verify_body,
)
from gateway.operations.headers import limit_body, part_number, write_options
from gateway.operations.service import Service
from gateway.storage import Address, Part, Upload, UploadInfo, UploadPage, UploadQuery


async def create_multipart_upload(service: Service, call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html."""
    algorithm, composite = _checksum_wanted(call)
    options = write_options(service, call, algorithm, composite=composite)
    upload = await service.storage.create_upload(call.address, options)
    content = {"Bucket": call.bucket, "Key": call.key, "UploadId": upload.id}
    answer = xml.answer("InitiateMultipartUploadResult", content)
    if ALGORITHM in call.headers:
        answer.headers |= {ALGORITHM: algorithm, TYPE: type_name(composite)}
    return answer


async def upload_part(service: Service, call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html."""
    limit_body(call)
    number = part_number(call.query["partNumber"])
    if algorithm := verify_body(call):
        expect_algorithm(call.body, algorithm)
    part = await service.storage.put_part(upload_of(call), number, call.body)
    return Answer(headers={"ETag": f'"{part.etag}"', **header_of(part.checksum)})


async def abort_multipart_upload(service: Service, call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_AbortMultipartUpload.html."""
    await service.storage.abort_upload(upload_of(call))
    return Answer(204)


async def list_parts(service: Service, call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListParts.html."""
    limit = paging.max_keys(call.query.get("max-parts", ""), "max-parts")
    marker = paging.part_number_marker(call.query.get("part-number-marker", ""))
    page = await service.storage.list_parts(upload_of(call), marker, limit)
    content = {
        "Bucket": call.bucket,
        "Key": call.key,
        "UploadId": page.info.upload.id,
        **_about(page.info, await _bucket_owner(service, call)),
        "PartNumberMarker": marker,
        "NextPartNumberMarker": page.parts[-1].number if page.parts else 0,
        "MaxParts": limit,
        "IsTruncated": bool(page.last),
        "Part": [_part(part) for part in page.parts],
    }
    return xml.answer("ListPartsResult", content)


async def list_multipart_uploads(service: Service, call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html."""
    write, encoding = listing.encoder(call)
    limit = paging.max_keys(call.query.get("max-uploads", ""), "max-uploads")
    names = ("prefix", "delimiter", "key-marker", "upload-id-marker")
    prefix, delimiter, after, after_id = (call.query.get(name, "") for name in names)
    await call.require("list", Address(call.bucket, prefix))
    owner = await _bucket_owner(service, call)
    query = UploadQuery(prefix, delimiter, after, after_id if after else "", limit)
    page = await service.storage.list_uploads(call.bucket, query) if limit else UploadPage((), ())
    content = {
        "Bucket": call.bucket,
        "KeyMarker": write(after),
        "UploadIdMarker": after_id,
        "NextKeyMarker": write(page.last) if page.last else None,
        "NextUploadIdMarker": page.last_id or None,
        "Prefix": write(prefix),
        "Delimiter": write(delimiter) or None,
        "EncodingType": encoding,
        "MaxUploads": limit,
        "IsTruncated": bool(page.last),
        "Upload": [
            {
                "Key": write(info.upload.at.key),
                "UploadId": info.upload.id,
                **_about(info, owner),
                "Initiated": xml.timestamp(info.initiated),
            }
            for info in page.uploads
        ],
        "CommonPrefixes": [{"Prefix": write(common)} for common in page.prefixes],
    }
    return xml.answer("ListMultipartUploadsResult", content)


def upload_of(call: Call) -> Upload:
    """Return the upload that a call is about."""
    return Upload(call.address, call.query["uploadId"])


def _checksum_wanted(call: Call) -> tuple[str, bool]:
    """Return the algorithm and whether the whole is to have a checksum of checksums. Raises InvalidRequest.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
    """
    composite = type_wanted(call)
    if not call.headers.get(ALGORITHM):
        if composite is not None:
            raise InvalidRequest(f"The {TYPE} header can only be used with the {ALGORITHM} header.")
        return DEFAULT, False
    algorithm = ALGORITHMS[algorithm_named(call.headers[ALGORITHM])]
    if composite is None:
        return algorithm.name, algorithm.composite
    if not (algorithm.composite if composite else algorithm.combine):
        raise InvalidRequest(
            f"The {type_name(composite)} checksum type cannot be used with the {algorithm.name.lower()} "
            "checksum algorithm."
        )
    return algorithm.name, composite


async def _bucket_owner(service: Service, call: Call) -> Owner:
    return acl.bucket_owner(await service.storage.head_bucket(call.bucket), call)


def _about(info: UploadInfo, bucket_owner: Owner) -> dict[str, object]:
    """Write what both listings tell of an upload. Who began it owns what becomes of it."""
    owner = acl.owner_element(acl.owner_of(info.options.labels, bucket_owner))
    return {
        "Initiator": owner,
        "Owner": owner,
        "StorageClass": "STANDARD",
        "ChecksumAlgorithm": info.options.checksum,
        "ChecksumType": type_name(info.options.composite),
    }


def _part(part: Part) -> dict[str, object]:
    return {
        "PartNumber": part.number,
        "LastModified": xml.timestamp(part.modified) if part.modified else None,
        "ETag": f'"{part.etag}"',
        "Size": part.size,
        **element_of(part.checksum),
    }
