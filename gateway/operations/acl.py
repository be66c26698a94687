"""Who owns a thing and who else may: canned ACLs, and what S3 says where ACLs are disabled.

A bucket that keeps no ACLs is one with BucketOwnerEnforced: its owner owns every object and has full control, nobody
else has any by ACL. https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html
A bucket that keeps them tells in its labels, as its objects do in theirs, whose it is ("owner", "owner-name") and which
canned ACL it has ("acl").
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from gateway.errors import (
    AccessControlListNotSupported,
    AccessDenied,
    InvalidArgument,
    InvalidBucketAclWithObjectOwnership,
    MalformedXML,
    MissingRequestBodyError,
    MissingSecurityHeader,
    NotImplementedByGateway,
    OperationAborted,
    PreconditionFailed,
)
from gateway.message import ANONYMOUS_ID, Answer, Call, Owner
from gateway.operations import xml
from gateway.operations.service import Service
from gateway.storage import Address, BucketInfo

HEADER: Final = "x-amz-acl"
PRIVATE: Final = "private"
_ALL_USERS: Final = "http://acs.amazonaws.com/groups/global/AllUsers"
_AUTHENTICATED_USERS: Final = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
_BUCKET_OWNER: Final = "bucket owner"
_FULL_CONTROL: Final = "FULL_CONTROL"
# What a canned ACL grants beside full control of the owner, to whom.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#canned-acl
_CANNED: Final[Mapping[str, tuple[tuple[str, str], ...]]] = MappingProxyType(
    {
        PRIVATE: (),
        "public-read": ((_ALL_USERS, "READ"),),
        "public-read-write": ((_ALL_USERS, "READ"), (_ALL_USERS, "WRITE")),
        "authenticated-read": ((_AUTHENTICATED_USERS, "READ"),),
        "bucket-owner-read": ((_BUCKET_OWNER, "READ"),),
        "bucket-owner-full-control": ((_BUCKET_OWNER, _FULL_CONTROL),),
    }
)
_OF_OBJECTS: Final = {"bucket-owner-read", "bucket-owner-full-control"}  # a bucket takes them for `private`
_ELSEWHERE: Final = {"aws-exec-read", "log-delivery-write"}
# "private" is no more than S3's "bucket owner full control", and clients such as s3fs send it with every object.
_SAID_ANYWAY: Final = {"", PRIVATE, "bucket-owner-full-control"}


class Control(NamedTuple):
    """Who owns a thing, in whose bucket, under which canned ACL; and the labels that say so."""

    owner: Owner
    bucket_owner: Owner
    acl: str
    labels: Mapping[str, str]


def labels_for_new(service: Service, call: Call) -> dict[str, str]:
    """Return the labels of the object that the call writes: give them as `WriteOptions.labels`.

    They are empty where the bucket keeps no ACLs. Asks the storage nothing. Raises: AccessControlListNotSupported,
    InvalidArgument (no canned ACL), NotImplementedByGateway.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-ownership-error-responses.html
    """
    acl = _canned(call)
    if service.keeps_acls(call.bucket):
        return _owned_by(_caller(call)) | {"acl": acl or PRIVATE}
    if acl not in _SAID_ANYWAY:
        raise AccessControlListNotSupported
    return {}


def labels_for_new_bucket(service: Service, call: Call) -> dict[str, str]:
    """Return the labels of the bucket that the call creates.

    Raises: InvalidBucketAclWithObjectOwnership, InvalidArgument (no canned ACL), NotImplementedByGateway.
    """
    acl = _canned(call)
    owned = _owned_by(_caller(call))
    if service.keeps_acls(call.bucket):
        return owned | {"acl": _of_bucket(acl)}
    if _of_bucket(acl) != PRIVATE:
        raise InvalidBucketAclWithObjectOwnership
    return owned


def bucket_owner(info: BucketInfo, call: Call) -> Owner:
    """Return who owns a bucket: one that was not made through the gateway belongs to whoever may ask for it."""
    return owner_of(info.labels, _caller(call))


def owner_of(labels: Mapping[str, str], otherwise: Owner) -> Owner:
    """Return the owner that labels name."""
    return Owner(labels["owner"], labels.get("owner-name", "")) if "owner" in labels else otherwise


def owner_element(owner: Owner) -> dict[str, str | None]:
    """Write an owner for `xml.document`."""
    return {"ID": owner.id, "DisplayName": owner.display_name or None}


async def relabel(service: Service, at: Address, labels: Mapping[str, str], was: Mapping[str, str]) -> None:
    """Change some of the labels of what still has those it was looked at with. Raises: OperationAborted."""
    try:
        await service.storage.annotate(at, {**was, **labels}, was)
    except PreconditionFailed:
        raise OperationAborted from None


async def get_bucket_acl(service: Service, call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketAcl.html."""
    return _policy(await _control_of_bucket(service, call))


async def get_object_acl(service: Service, call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAcl.html."""
    return _policy(await _control_of_object(service, call))


async def put_bucket_acl(service: Service, call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketAcl.html."""
    control = await _control_of_bucket(service, call)
    await _store(service, call, control, _of_bucket(await _wanted(service, call, control)))
    return Answer()


async def put_object_acl(service: Service, call: Call) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectAcl.html."""
    control = await _control_of_object(service, call)
    await _store(service, call, control, await _wanted(service, call, control))
    return Answer()


def _canned(call: Call) -> str:
    acl = call.headers.get(HEADER)
    if acl in _ELSEWHERE:
        raise NotImplementedByGateway(Header=HEADER)
    if acl and acl not in _CANNED:
        raise InvalidArgument(ArgumentName=HEADER, ArgumentValue=acl)
    return acl


def _of_bucket(acl: str) -> str:
    return PRIVATE if not acl or acl in _OF_OBJECTS else acl


def _caller(call: Call) -> Owner:
    return call.caller.owner if call.caller else Owner(ANONYMOUS_ID)


def _owned_by(owner: Owner) -> dict[str, str]:
    return {"owner": owner.id} | ({"owner-name": owner.display_name} if owner.display_name else {})


async def _control_of_bucket(service: Service, call: Call) -> Control:
    info = await service.storage.head_bucket(call.bucket)
    owner = bucket_owner(info, call)
    acl = info.labels.get("acl", PRIVATE) if service.keeps_acls(call.bucket) else PRIVATE
    return Control(owner, owner, acl, info.labels)


async def _control_of_object(service: Service, call: Call) -> Control:
    whose = bucket_owner(await service.storage.head_bucket(call.bucket), call)
    labels = (await service.storage.head(call.address)).labels
    if not service.keeps_acls(call.bucket):
        return Control(whose, whose, PRIVATE, labels)
    return Control(owner_of(labels, whose), whose, labels.get("acl", PRIVATE), labels)


def _grants(control: Control, acl: str) -> list[tuple[str, str]]:
    """Return pairs of grantee (id or group) and permission, the owner's last, where test suites look for it."""
    others = [(control.bucket_owner.id if who == _BUCKET_OWNER else who, what) for who, what in _CANNED[acl]]
    return [*(grant for grant in others if grant[0] != control.owner.id), (control.owner.id, _FULL_CONTROL)]


def _policy(control: Control) -> Answer:
    names = {owner.id: owner for owner in (control.bucket_owner, control.owner)}
    grants = [
        {"Grantee": _grantee(names.get(who) or who), "Permission": what} for who, what in _grants(control, control.acl)
    ]
    content = {"Owner": owner_element(control.owner), "AccessControlList": {"Grant": grants}}
    return xml.answer("AccessControlPolicy", content)


def _grantee(who: Owner | str) -> dict[str, str | None]:
    kind, named = ("Group", {"URI": who}) if isinstance(who, str) else ("CanonicalUser", owner_element(who))
    return {"@xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance", "@xsi:type": kind, **named}


async def _wanted(service: Service, call: Call, control: Control) -> str:
    """Return the canned ACL that the call asks for by header or document."""
    acl = _canned(call) or await _written(call, control)
    if not service.keeps_acls(call.bucket) and acl not in _SAID_ANYWAY:
        raise AccessControlListNotSupported
    if acl not in _CANNED:
        raise NotImplementedByGateway("Only grants that equal a canned ACL are implemented.")
    return acl


async def _written(call: Call, control: Control) -> str:
    """Return the canned ACL that grants what the document does, "custom" if there is none."""
    try:
        policy = await xml.read(call.body, "AccessControlPolicy", lists=("Grant",))
    except MissingRequestBodyError:
        raise MissingSecurityHeader(MissingHeaderName=HEADER) from None
    if xml.text(_child(policy, "Owner"), "ID") != control.owner.id:
        raise AccessDenied
    grants = [_grant(grant) for grant in xml.children(_child(policy, "AccessControlList"), "Grant")]
    return next((acl for acl in _CANNED if set(_grants(control, acl)) == set(grants)), "custom")


def _grant(grant: Mapping[str, Any]) -> tuple[str, str]:
    grantee = _child(grant, "Grantee")
    return xml.text(grantee, "URI" if "URI" in grantee else "ID", ""), xml.text(grant, "Permission")


def _child(of: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = of.get(name) or {}
    if not isinstance(found, dict):
        raise MalformedXML
    return found


async def _store(service: Service, call: Call, control: Control, acl: str) -> None:
    """Note the ACL of what `control` is about, if the caller may still set it. Raises: AccessDenied, OperationAborted.

    The pipeline has asked who owns what stood there when the call came; it may have been overwritten since.
    """
    if not service.keeps_acls(call.bucket):
        return
    await call.require("admin", call.address)
    await relabel(service, call.address, {"acl": acl}, control.labels)
