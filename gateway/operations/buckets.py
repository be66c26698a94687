"""ListBuckets, CreateBucket, HeadBucket, DeleteBucket, GetBucketLocation, GetBucketVersioning."""

import re
from typing import Final

from gateway.errors import (
    AccessDenied,
    BucketAlreadyExists,
    BucketAlreadyOwnedByYou,
    IllegalLocationConstraintException,
    InvalidArgument,
    InvalidBucketName,
    InvalidLocationConstraint,
    MissingRequestBodyError,
    NotImplementedByGateway,
)
from gateway.message import Answer, Call, Caller
from gateway.operations import acl, paging, xml
from gateway.operations.service import Service
from gateway.storage import Address, BucketInfo

US_EAST_1: Final = "us-east-1"  # the region that S3 names by an empty LocationConstraint
_IRELAND: Final = "eu-west-1"
_ALIASES: Final = {"EU": _IRELAND}
_REGION: Final = re.compile(r"[a-z]{2,}(-[a-z]+)+-[0-9]+")
_LIMIT: Final = 10_000
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_IP_ADDRESS: Final = re.compile(r"[0-9]+(\.[0-9]+){3}")
_RESERVED_PREFIXES: Final = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_SUFFIXES: Final = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


async def list_buckets(service: Service, call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html."""
    caller = call.caller
    if caller is None or caller.anonymous:
        raise AccessDenied
    limit = _max_buckets(call)
    after = paging.item(call.query.get("continuation-token", ""))
    prefix, region = call.query.get("prefix", ""), call.query.get("bucket-region", service.region)
    found = [
        info
        for info in await service.storage.list_buckets()
        if info.name > after and info.name.startswith(prefix) and region == service.region
        if _shown(service, caller, info)
    ]
    more = paging.token(found[limit - 1].name) if len(found) > limit else None
    detailed = any(name in call.query for name in ("max-buckets", "continuation-token", "prefix", "bucket-region"))
    buckets = [
        {
            "Name": info.name,
            "CreationDate": xml.timestamp(info.created),
            "BucketRegion": service.region if detailed else None,
        }
        for info in found[:limit]
    ]
    content = {"Owner": acl.owner_element(caller.owner), "Buckets": {"Bucket": buckets}, "ContinuationToken": more}
    return xml.answer("ListAllMyBucketsResult", {**content, "Prefix": prefix or None})


async def create_bucket(service: Service, call: Call) -> Answer:
    """Create a bucket that belongs to the caller.

    No ACL says who may: the rights of the key alone count, so that a name that is taken is told as such. One's own
    bucket may be created again in us-east-1, which sets its ACL anew; elsewhere that is an error.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
    """
    name = call.bucket
    if call.caller is None or not call.caller.rights.allows("admin", name, ""):
        raise AccessDenied
    check_name(name)
    labels = acl.labels_for_new_bucket(service, call)
    _check_ownership(service, call)
    await _check_location(service, call)
    try:
        await service.storage.create_bucket(name, labels)
    except BucketAlreadyExists:
        there = await service.storage.head_bucket(name)
        if acl.bucket_owner(there, call).id != labels["owner"]:
            raise
        if service.region != US_EAST_1:
            raise BucketAlreadyOwnedByYou(BucketName=name) from None
        if service.keeps_acls(name):
            await acl.relabel(service, Address(name), labels, there.labels)
    return Answer(headers={"Location": f"/{name}"})


async def head_bucket(service: Service, call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html."""
    await service.storage.head_bucket(call.bucket)
    return Answer(headers={"x-amz-bucket-region": service.region, "x-amz-access-point-alias": "false"})


async def delete_bucket(service: Service, call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucket.html."""
    await service.storage.delete_bucket(call.bucket)
    return Answer(204)


async def get_bucket_location(service: Service, call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html."""
    await service.storage.head_bucket(call.bucket)
    return xml.answer("LocationConstraint", {"#text": "" if service.region == US_EAST_1 else service.region})


async def get_bucket_versioning(service: Service, call: Call) -> Answer:
    """Say that versioning was never enabled, which is what S3 says by an empty document.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketVersioning.html
    """
    await service.storage.head_bucket(call.bucket)
    return xml.answer("VersioningConfiguration", {})


def check_name(name: str) -> None:
    """Raise InvalidBucketName unless a bucket may be created under this name.

    A dot beside a hyphen is refused too: such a name can stand in no host name.
    """
    neighbours = any(pair in name for pair in ("..", ".-", "-."))
    reserved = name.startswith(_RESERVED_PREFIXES) or name.endswith(_RESERVED_SUFFIXES)
    if not _NAME.fullmatch(name) or neighbours or reserved or _IP_ADDRESS.fullmatch(name):
        raise InvalidBucketName(BucketName=name)


def _shown(service: Service, caller: Caller, info: BucketInfo) -> bool:
    """Say whether a listing tells the caller of a bucket: any right in it will do, with ACLs it has to be its own."""
    if service.keeps_acls(info.name) and info.labels.get("owner", caller.owner.id) != caller.owner.id:
        return False
    return caller.rights.sees(info.name)


def _max_buckets(call: Call) -> int:
    value = call.query.get("max-buckets", "")
    limit = paging.number(value, _LIMIT)
    if limit is None or not 1 <= limit <= _LIMIT:
        raise InvalidArgument(
            f"Argument max-buckets must be an integer between 1 and {_LIMIT}",
            ArgumentName="max-buckets",
            ArgumentValue=value,
        )
    return limit


def _check_ownership(service: Service, call: Call) -> None:
    """Accept the ownership that the bucket has anyway."""
    asked = call.headers.get("x-amz-object-ownership")
    if asked not in {"", "BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"}:
        raise InvalidArgument(ArgumentName="x-amz-object-ownership", ArgumentValue=asked)
    if asked and asked != ("ObjectWriter" if service.keeps_acls(call.bucket) else "BucketOwnerEnforced"):
        raise NotImplementedByGateway(Header="x-amz-object-ownership")


async def _check_location(service: Service, call: Call) -> None:
    try:
        wanted = await xml.read(call.body, "CreateBucketConfiguration")
    except MissingRequestBodyError:
        return
    if further := wanted.keys() - {"LocationConstraint"}:
        raise NotImplementedByGateway(Element=min(further))
    asked = xml.text(wanted, "LocationConstraint", "")
    if asked in {"", service.region} or _ALIASES.get(asked) == service.region:
        return
    if asked in _ALIASES or _REGION.fullmatch(asked):
        raise IllegalLocationConstraintException(
            f"The {asked} location constraint is incompatible for the region specific endpoint "
            "this request was sent to."
        )
    raise InvalidLocationConstraint(LocationConstraint=asked)
