"""Headers that ask for what is not done here: refused in one place, before anything is read or written."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from gateway.errors import AccessDenied, InvalidArgument, InvalidStorageClass, NotImplementedByGateway
from gateway.message import Call
from gateway.operations.acl import bucket_owner
from gateway.operations.service import Service


async def refuse_demands(service: Service, call: Call) -> None:
    """Refuse what the call demands beyond what is served.

    Raises: NotImplementedByGateway, InvalidStorageClass, InvalidArgument (a version other than "null", the only one
    where nothing is versioned), AccessDenied (the bucket is another's than expected).
    """
    if call.headers.has_any(_NAMES):
        for name in call.headers.names():
            if refuse := REFUSED.get(name):
                refuse(name, call.headers[name])
    if call.key and "versionId" in call.query:
        _refuse_version(call.query["versionId"])
    if owner := call.headers.get("x-amz-expected-bucket-owner"):
        await expect_owner(service, call, call.bucket, owner)


async def expect_owner(service: Service, call: Call, bucket: str, owner: str) -> None:
    """Raise AccessDenied unless a bucket is `owner`'s, which is an id.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html
    """
    if bucket_owner(await service.storage.head_bucket(bucket), call).id != owner:
        raise AccessDenied


def _refuse_version(version: str) -> None:
    if version != "null":
        wrong = "Invalid version id specified" if version else "Version id cannot be the empty string"
        raise InvalidArgument(wrong, ArgumentName="versionId", ArgumentValue=version)


def _never(name: str, _value: str) -> None:
    raise NotImplementedByGateway(Header=name)


def _unless(*harmless: str) -> Callable[[str, str], None]:
    def refuse(name: str, value: str) -> None:
        if value.strip().lower() not in harmless:
            raise NotImplementedByGateway(Header=name)

    return refuse


def _storage_class(_name: str, value: str) -> None:
    if value != "STANDARD":
        raise InvalidStorageClass(StorageClassRequested=value)


_ENCRYPTION: Final = "x-amz-server-side-encryption"
_CUSTOMER: Final = "server-side-encryption-customer"
REFUSED: Final[Mapping[str, Callable[[str, str], None]]] = MappingProxyType(
    {
        _ENCRYPTION: _never,  # even AES256: nobody is to believe that bytes are encrypted where they are not
        f"{_ENCRYPTION}-aws-kms-key-id": _never,
        f"{_ENCRYPTION}-bucket-key-enabled": _unless("false"),
        f"{_ENCRYPTION}-context": _never,
        f"x-amz-{_CUSTOMER}-algorithm": _never,
        f"x-amz-{_CUSTOMER}-key": _never,
        f"x-amz-{_CUSTOMER}-key-md5": _never,
        f"x-amz-copy-source-{_CUSTOMER}-algorithm": _never,
        f"x-amz-copy-source-{_CUSTOMER}-key": _never,
        f"x-amz-copy-source-{_CUSTOMER}-key-md5": _never,
        "x-amz-tagging": _unless(""),
        "x-amz-bucket-object-lock-enabled": _unless("false"),
        "x-amz-bucket-namespace": _unless("global"),
        "x-amz-object-lock-mode": _never,
        "x-amz-object-lock-retain-until-date": _never,
        "x-amz-object-lock-legal-hold": _unless("off"),
        "x-amz-object-lock-event-hold": _unless("off"),
        "x-amz-object-lock-event-hold-duration-days": _never,
        "x-amz-object-lock-event-hold-duration-years": _never,
        "x-amz-grant-full-control": _never,
        "x-amz-grant-read": _never,
        "x-amz-grant-read-acp": _never,
        "x-amz-grant-write": _never,
        "x-amz-grant-write-acp": _never,
        "x-amz-storage-class": _storage_class,
        "x-amz-write-offset-bytes": _never,
        "x-amz-rename-source": _never,
        "x-amz-rename-source-if-match": _never,
        "x-amz-rename-source-if-none-match": _never,
        "x-amz-rename-source-if-modified-since": _never,
        "x-amz-rename-source-if-unmodified-since": _never,
        "x-amz-if-match-size": _never,
        "x-amz-if-match-last-modified-time": _never,
        "x-amz-if-match-initiated-time": _never,
        "x-amz-object-if-match": _never,
    }
)
_NAMES: Final = frozenset(REFUSED)
