"""CompleteMultipartUpload."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from gateway.checksums import ALGORITHMS, Checksum, multipart_etag
from gateway.errors import (
    InvalidArgument,
    InvalidRequest,
    MalformedXML,
    MissingRequestBodyError,
    NoSuchKey,
    NoSuchUpload,
)
from gateway.message import Answer, Call
from gateway.operations import xml
from gateway.operations.checksumming import declared_whole, elements_of, type_name, type_wanted, verify_md5
from gateway.operations.headers import PARTS, images_header, location, require_conditions, write_conditions
from gateway.operations.multipart import upload_of
from gateway.operations.patience import answer_in_time
from gateway.operations.service import Service
from gateway.storage import Completion, ObjectInfo, Part

SIZE: Final = "x-amz-mp-object-size"
DOCUMENT_LIMIT: Final = 4 * 1024 * 1024  # bytes: 10000 parts, each with its ETag and the longest checksum, and spaces
_MOST_DIGITS: Final = 19


async def complete_multipart_upload(service: Service, call: Call) -> Answer:
    """Make the object of its parts; the same request again has the same answer.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
    """
    verify_md5(call)
    completion = _completion(call)
    await require_conditions(call, call.address, completion.conditions)
    parts = await _parts(call)
    headers: dict[str, str] = {}

    async def work() -> bytes:
        info = await _complete(service, call, parts, completion)
        headers.update(images_header(info))
        return _document(call, info)

    return await answer_in_time(call, work(), headers)


def _completion(call: Call) -> Completion:
    size = call.headers.get(SIZE)
    if size and not (size.isascii() and size.isdigit() and len(size) <= _MOST_DIGITS):
        raise InvalidRequest(f"Value for {SIZE} header is invalid: '{size}'")
    return Completion(write_conditions(call), int(size) if size else None, declared_whole(call))


async def _parts(call: Call) -> Sequence[Part]:
    """Read the list of parts. Raises: MalformedXML, InvalidArgument.

    Clients that sent a part again, because the first answer came late, list it twice in a row: the later is meant.
    """
    try:
        document = await xml.read(call.body, "CompleteMultipartUpload", ("Part",), DOCUMENT_LIMIT)
    except MissingRequestBodyError as error:
        raise MalformedXML from error
    parts = [_part(entry) for entry in xml.children(document, "Part")]
    if not parts:
        raise MalformedXML
    return [part for part, following in pairwise(parts) if part.number != following.number] + parts[-1:]


def _part(entry: Mapping[str, Any]) -> Part:
    number = xml.text(entry, "PartNumber").strip()
    if not (number.isascii() and number.removeprefix("-").isdigit()):
        raise MalformedXML
    if len(number) > len(str(PARTS)) or not 1 <= int(number) <= PARTS:
        raise InvalidArgument(
            "PartNumber must be >= 1" if number.startswith(("-", "0")) else f"PartNumber must be <= {PARTS}",
            ArgumentName="PartNumber",
            ArgumentValue=number,
        )
    etag = xml.text(entry, "ETag").strip().strip('"')
    checksums = [Checksum(a.name, xml.text(entry, a.element)) for a in ALGORITHMS.values() if a.element in entry]
    if len(checksums) > 1:
        raise InvalidArgument("Invalid Base64 or multiple checksums present in request", ArgumentName="Checksum")
    return Part(int(number), etag, size=0, checksum=checksums[0] if checksums else None)


async def _complete(service: Service, call: Call, parts: Sequence[Part], completion: Completion) -> ObjectInfo:
    try:
        await _expect_type(service, call)
        return await service.storage.complete_upload(upload_of(call), parts, completion)
    except NoSuchUpload as error:
        return await _completed_before(service, call, parts, error)


def _document(call: Call, info: ObjectInfo) -> bytes:
    content = {
        "Location": location(call),
        "Bucket": call.bucket,
        "Key": call.key,
        "ETag": f'"{info.etag}"',
        **elements_of(info.checksum),
    }
    return xml.document("CompleteMultipartUploadResult", content)


async def _expect_type(service: Service, call: Call) -> None:
    """Raise InvalidRequest where the whole is to have another type of checksum than the upload was created with."""
    composite = type_wanted(call)
    if composite is None:
        return
    page = await service.storage.list_parts(upload_of(call), limit=1)
    if page.info.options.composite is not composite:
        raise InvalidRequest(
            f"The upload was created using the {type_name(not composite)} checksum mode. "
            "The complete request must use the same checksum mode."
        )


async def _completed_before(service: Service, call: Call, parts: Sequence[Part], error: NoSuchUpload) -> ObjectInfo:
    """Return the object if it is just what this upload would have become: then its answer was lost on the way."""
    try:
        wanted = multipart_etag([part.etag for part in parts])
        info = await service.storage.head(call.address)
    except (ValueError, NoSuchKey):
        raise error from None
    if info.etag != wanted:
        raise error
    return info
