"""Who may do what: the rights of the key, what a bucket gives to everybody, and canned ACLs where a bucket keeps them.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#canned-acl
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from gateway.errors import AccessDenied, NoSuchBucket, NoSuchKey
from gateway.message import ANONYMOUS_ID, Caller
from gateway.storage import Address, Backend

_EVERYBODY: Final = "everybody"
_SIGNED: Final = "whoever has a key"
_BUCKET_OWNER: Final = "the owner of the bucket"
_PRIVATE: Final[Mapping[str, frozenset[str]]] = MappingProxyType({})

_OF_BUCKET: Final[Mapping[str, Mapping[str, frozenset[str]]]] = MappingProxyType(
    {
        "public-read": {_EVERYBODY: frozenset({"list"})},
        "public-read-write": {_EVERYBODY: frozenset({"list", "write", "delete"})},
        "authenticated-read": {_SIGNED: frozenset({"list"})},
    }
)
_OF_OBJECT: Final[Mapping[str, Mapping[str, frozenset[str]]]] = MappingProxyType(
    {
        "public-read": {_EVERYBODY: frozenset({"read"})},
        "public-read-write": {_EVERYBODY: frozenset({"read"})},
        "authenticated-read": {_SIGNED: frozenset({"read"})},
        "bucket-owner-read": {_BUCKET_OWNER: frozenset({"read"})},
        "bucket-owner-full-control": {_BUCKET_OWNER: frozenset({"read", "admin"})},
    }
)


class Policy:
    """Decides whether a caller may do something at an address; the empty key is the bucket itself.

    The rights of the key come first: without them only what is given to everybody is allowed. `public` names buckets
    whose objects everybody may read; that does not let anybody list them. In buckets that `keeps_acls` names the
    caller must beside that be the owner, or the ACL must allow it; elsewhere, as where S3 has BucketOwnerEnforced,
    rights alone count and nothing is looked up.
    """

    def __init__(self, storage: Backend, *, public: Callable[[str], bool], keeps_acls: Callable[[str], bool]) -> None:
        self._storage, self._public, self._keeps_acls = storage, public, keeps_acls

    async def authorize(
        self, caller: Caller, verb: str, address: Address, labels: Mapping[str, str] | None = None
    ) -> None:
        """Return if the caller may do it. Raises: AccessDenied, and NoSuchBucket where an ACL is to be looked up.

        Verbs are read, write, delete, list (the key is the prefix then) and admin (ACLs; with the empty key also
        creating and deleting the bucket). The verb "" asks for a valid signature and no more. `labels` are those of
        an object that is open already: without them they are looked up.

        S3 tells only those who may list a bucket that a key is not there, others get AccessDenied. So whoever finds
        NoSuchKey asks for ("list", Address(bucket)) before saying it.
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html#API_GetObject_Permissions
        """
        if not verb:
            granted = not caller.anonymous
        elif verb == "read" and address.key and self._public(address.bucket):
            granted = True
        else:
            entitled = caller.rights.allows(verb, address.bucket, address.key)
            granted = entitled
            if address.bucket and self._keeps_acls(address.bucket):
                granted = await self._acl_allows(caller, verb, address, labels, entitled=entitled)
        if not granted:
            raise AccessDenied

    async def _acl_allows(
        self, caller: Caller, verb: str, address: Address, labels: Mapping[str, str] | None, *, entitled: bool
    ) -> bool:
        try:
            bucket = (await self._storage.head_bucket(address.bucket)).labels
        except NoSuchBucket:
            if verb in {"write", "admin"} and not address.key:  # it is about to be created
                return entitled
            raise
        groups = {_EVERYBODY}
        if entitled:
            groups.add(_SIGNED)
            if _owns(caller, bucket):
                groups.add(_BUCKET_OWNER)
        if verb != "list" and not address.key:  # to a bucket that is there already, CreateBucket itself says no
            return _BUCKET_OWNER in groups or (verb == "write" and entitled)
        if verb in {"list", "write", "delete"}:
            return _BUCKET_OWNER in groups or _gives(_OF_BUCKET, bucket, groups, verb)
        try:
            labels = (await self._storage.head(address)).labels if labels is None else labels
        except NoSuchKey:
            return _BUCKET_OWNER in groups or _gives(_OF_BUCKET, bucket, groups, "list")
        owned = labels.get("owner", ANONYMOUS_ID) != ANONYMOUS_ID
        if _owns(caller, labels) if owned else _BUCKET_OWNER in groups:
            return _SIGNED in groups
        return _gives(_OF_OBJECT, labels, groups, verb)


def _owns(caller: Caller, labels: Mapping[str, str]) -> bool:
    """Say whether it is the caller's. What was made without the gateway belongs to whoever has the rights."""
    return labels.get("owner", caller.owner.id) == caller.owner.id


def _gives(
    acls: Mapping[str, Mapping[str, frozenset[str]]], labels: Mapping[str, str], groups: set[str], verb: str
) -> bool:
    """Say whether the canned ACL gives `verb` to one of the groups. One that is not known is private."""
    given = acls.get(labels.get("acl", ""), _PRIVATE)
    return any(verb in verbs for group, verbs in given.items() if group in groups)
