"""GetObjectAttributes."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from gateway.errors import InvalidArgument, InvalidRequest, NoSuchKey
from gateway.message import Answer, Call
from gateway.operations import paging, xml
from gateway.operations.checksumming import element_of, elements_of
from gateway.operations.headers import conditions, http_date
from gateway.operations.objects import allow_opened, told
from gateway.operations.service import Service
from gateway.storage import ObjectInfo, ReadOptions

ATTRIBUTES: Final = "x-amz-object-attributes"
MAX_PARTS: Final = "x-amz-max-parts"
MARKER: Final = "x-amz-part-number-marker"


async def get_object_attributes(service: Service, call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html."""
    wanted = _wanted(call)
    options = ReadOptions(conditions=conditions(call), parts="ObjectParts" in wanted)
    try:
        info = await service.storage.head(call.address, options)
    except NoSuchKey as error:
        raise await told(call, call.address, error) from error
    await allow_opened(service, call, call.address, info)
    content = {name: write(info, call) for name, write in _WRITERS.items() if name in wanted}
    answer = xml.answer("GetObjectAttributesResponse", content)
    answer.headers["Last-Modified"] = http_date(info.modified)
    return answer


def _wanted(call: Call) -> set[str]:
    """Return the names of what is wanted. Raises: InvalidRequest, InvalidArgument."""
    value = ",".join(call.headers.all(ATTRIBUTES))
    wanted = {name.strip() for name in value.split(",")} - {""}
    if not wanted:
        raise InvalidRequest(
            "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty"
        )
    if not wanted <= _WRITERS.keys():
        raise InvalidArgument("Invalid attribute name specified.", ArgumentName=ATTRIBUTES, ArgumentValue=value)
    return wanted


def _parts(info: ObjectInfo, call: Call) -> dict[str, object] | None:
    """Write a page of parts. Each is told only where it has a checksum that was asked for, as S3 does."""
    limit = paging.max_keys(call.headers.get(MAX_PARTS), MAX_PARTS)
    marker = paging.part_number_marker(call.headers.get(MARKER), MARKER)
    if not info.part_count:
        return None
    if not (info.checksum and info.checksum.composite):
        return {"PartsCount": info.part_count}
    following = [part for part in info.parts if part.number > marker]
    page = following[:limit]
    return {
        "PartsCount": info.part_count,
        "PartNumberMarker": marker,
        "NextPartNumberMarker": page[-1].number if page else 0,
        "MaxParts": limit,
        "IsTruncated": len(following) > len(page),
        "Part": [{"PartNumber": part.number, "Size": part.size, **element_of(part.checksum)} for part in page],
    }


_WRITERS: Final[Mapping[str, Callable[[ObjectInfo, Call], object]]] = MappingProxyType(
    {
        "ETag": lambda info, _call: info.etag,  # without quotes, only here
        "Checksum": lambda info, _call: elements_of(info.checksum) or None,
        "ObjectParts": _parts,
        "StorageClass": lambda _info, _call: "STANDARD",
        "ObjectSize": lambda info, _call: info.size,
    }
)
