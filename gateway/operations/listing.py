"""ListObjects, ListObjectsV2 and ListObjectVersions."""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import quote

from gateway.errors import InvalidArgument
from gateway.message import Answer, Call
from gateway.operations import acl, paging, xml
from gateway.operations.service import Service
from gateway.storage import Address, ListPage, ListQuery, ObjectInfo

NULL_VERSION: Final = "null"  # the version of an object where nothing is versioned
_VERSION: Final = f"<VersionId>{NULL_VERSION}</VersionId><IsLatest>true</IsLatest>"
Owners = Callable[[ObjectInfo], str]


class Asked(NamedTuple):
    """What the listings have in common: which items, how many, and how names are written."""

    prefix: str
    delimiter: str
    limit: int
    write: Callable[[str], str]
    encoding: str | None

    def head(self, call: Call) -> dict[str, object]:
        """Write what an answer repeats of the question."""
        return {
            "Name": call.bucket,
            "Prefix": self.write(self.prefix),
            "MaxKeys": self.limit,
            "Delimiter": self.write(self.delimiter) or None,
            "EncodingType": self.encoding,
        }

    def prefixes(self, page: ListPage) -> list[dict[str, str]]:
        """Write the common prefixes of a page."""
        return [{"Prefix": self.write(prefix)} for prefix in page.prefixes]


async def list_objects(service: Service, call: Call) -> Answer:
    """List as of old: `NextMarker` is told with a delimiter only, else the last key is it.

    The prefix is repeated as it came, whatever the encoding: botocore does not decode it here, only in the others.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html
    """
    asked = await _asked(call)
    marker = call.query.get("marker", "")
    page, owners = await _owned_page(service, call, asked, marker)
    content = {
        **asked.head(call),
        "Prefix": asked.prefix if xml.carries(asked.prefix) else asked.write(asked.prefix),
        "Marker": asked.write(marker),
        "NextMarker": asked.write(page.last) if page.last and asked.delimiter else None,
        "IsTruncated": bool(page.last),
        "Contents": _objects("Contents", asked, page, owners),
        "CommonPrefixes": asked.prefixes(page),
    }
    return xml.answer("ListBucketResult", content)


async def list_objects_v2(service: Service, call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html."""
    if call.query["list-type"] != "2":
        raise InvalidArgument("Invalid List Type", ArgumentName="list-type", ArgumentValue=call.query["list-type"])
    asked = await _asked(call)
    token, start = call.query.get("continuation-token"), call.query.get("start-after")
    after = paging.item(token) if token else start or ""
    if call.query.get("fetch-owner", "").lower() == "true":
        page, owners = await _owned_page(service, call, asked, after)
    else:
        page, owners = await _page(service, call, asked, after), _nobody
    content = {
        **asked.head(call),
        "StartAfter": asked.write(start) if start else None,
        "ContinuationToken": token,
        "NextContinuationToken": paging.token(page.last) if page.last else None,
        "KeyCount": len(page.objects) + len(page.prefixes),
        "IsTruncated": bool(page.last),
        "Contents": _objects("Contents", asked, page, owners),
        "CommonPrefixes": asked.prefixes(page),
    }
    return xml.answer("ListBucketResult", content)


async def list_object_versions(service: Service, call: Call) -> Answer:
    """List each object as its only version, "null", as S3 does where versioning was never enabled.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
    """
    asked = await _asked(call)
    marker, version = call.query.get("key-marker", ""), call.query.get("version-id-marker", "")
    _check_version_marker(marker, version)
    page, owners = await _owned_page(service, call, asked, marker)
    content = {
        **asked.head(call),
        "KeyMarker": asked.write(marker),
        "VersionIdMarker": version,
        "NextKeyMarker": asked.write(page.last) if page.last else None,
        "NextVersionIdMarker": NULL_VERSION if page.last and page.last not in page.prefixes else None,
        "IsTruncated": bool(page.last),
        "Version": _objects("Version", asked, page, owners, _VERSION),
        "CommonPrefixes": asked.prefixes(page),
    }
    return xml.answer("ListVersionsResult", content)


def encoder(call: Call) -> tuple[Callable[[str], str], str | None]:
    """Return how names are to be written in a listing, and the `EncodingType` that is told. Raises InvalidArgument.

    A space becomes %20, where S3 itself writes "+": either is read as a space by clients that decode forms, and only
    this one by those that do not.
    """
    encoding = call.query.get("encoding-type", "")
    if encoding not in {"", "url"}:
        raise InvalidArgument(
            "Invalid Encoding Method specified in Request", ArgumentName="encoding-type", ArgumentValue=encoding
        )
    return (quote, encoding) if encoding else (str, None)


async def _asked(call: Call) -> Asked:
    """Return what is asked for. Raises: AccessDenied, InvalidArgument."""
    write, encoding = encoder(call)
    limit = paging.max_keys(call.query.get("max-keys", ""))
    prefix = call.query.get("prefix", "")
    await call.require("list", Address(call.bucket, prefix))
    return Asked(prefix, call.query.get("delimiter", ""), limit, write, encoding)


async def _owned_page(service: Service, call: Call, asked: Asked, after: str) -> tuple[ListPage, Owners]:
    """Look for the objects and for whose they are at the same time: in a cloud, each is a request of its own."""
    page = asyncio.ensure_future(_page(service, call, asked, after))
    owners = asyncio.ensure_future(_owners(service, call))
    try:
        return await asyncio.gather(page, owners)
    finally:
        page.cancel()
        owners.cancel()


async def _page(service: Service, call: Call, asked: Asked, after: str) -> ListPage:
    if not asked.limit:
        await service.storage.head_bucket(call.bucket)
        return ListPage((), ())
    query = ListQuery(asked.prefix, asked.delimiter, after, asked.limit)
    return await service.storage.list_objects(call.bucket, query)


async def _owners(service: Service, call: Call) -> Owners:
    """Return how the owner of an object is written: without ACLs it is the bucket's, whoever wrote the object."""
    whose = acl.bucket_owner(await service.storage.head_bucket(call.bucket), call)
    if service.keeps_acls(call.bucket):
        return lambda info: xml.element("Owner", acl.owner_element(acl.owner_of(info.labels, whose)))
    element = xml.element("Owner", acl.owner_element(whose))
    return lambda _info: element


def _nobody(_info: ObjectInfo) -> str:
    return ""


def _objects(name: str, asked: Asked, page: ListPage, owners: Owners, version: str = "") -> xml.Written:
    """Write the objects of a page: by hand, because it has a thousand of them."""
    return xml.Written(
        "".join([f"<{name}>{version}{_object(asked, info, owners(info))}</{name}>" for info in page.objects])
    )


def _object(asked: Asked, info: ObjectInfo, owner: str) -> str:
    checksum = ""
    if info.checksum:
        algorithm, kind = xml.escaped(info.checksum.algorithm), info.checksum.type
        checksum = f"<ChecksumAlgorithm>{algorithm}</ChecksumAlgorithm><ChecksumType>{kind}</ChecksumType>"
    return (
        f"<Key>{xml.escaped(asked.write(info.key))}</Key><LastModified>{xml.timestamp(info.modified)}</LastModified>"
        f"<ETag>&quot;{xml.escaped(info.etag)}&quot;</ETag>{checksum}<Size>{info.size}</Size>{owner}"
        "<StorageClass>STANDARD</StorageClass>"
    )


def _check_version_marker(marker: str, version: str) -> None:
    if version and not marker:
        raise InvalidArgument(
            "A version-id marker cannot be specified without a key marker.",
            ArgumentName="version-id-marker",
            ArgumentValue=version,
        )
    if version not in {"", NULL_VERSION}:
        raise InvalidArgument("Invalid version id specified", ArgumentName="version-id-marker", ArgumentValue=version)
