"""Objects as Google Cloud Storage describes them, and what S3 knows of them.

What it has no field for lies in custom metadata under names that begin with "gw-", see docs/backends/gcs.md.
"""

import hashlib
import json
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from gateway.checksums import ALGORITHMS, Checksum
from gateway.errors import MetadataTooLarge
from gateway.storage import ObjectInfo, WriteOptions

FIELDS: Final = (
    "name,generation,metageneration,size,md5Hash,crc32c,timeCreated,updated,"
    "contentType,cacheControl,contentDisposition,contentEncoding,contentLanguage,metadata"
)
IDENTITY: Final = "gw-identity"
LABELS: Final = "gw-labels"
HEADERS: Final = "gw-headers"
UPLOAD: Final = "gw-upload"
RESERVED: Final = "gw-"
ESCAPED: Final = "gw-meta-"  # before a client's own name that looks like one of ours
LIMIT: Final = 8192  # bytes of names and values: https://cloud.google.com/storage/quotas#objects
_FIELD_OF: Final[Mapping[str, str]] = MappingProxyType(
    {
        "content-type": "contentType",
        "cache-control": "cacheControl",
        "content-disposition": "contentDisposition",
        "content-encoding": "contentEncoding",
        "content-language": "contentLanguage",
    }
)


class Identity(NamedTuple):
    """What S3 calls an object, true for the bytes of this CRC32C and no others."""

    crc32c: str
    etag: str = ""
    checksum: Checksum | None = None
    upload: str = ""  # the multipart upload that made it
    part_count: int = 0
    sizes: Sequence[Sequence[int]] = ()  # of its parts: how large, how many in a row
    sums: Sequence[str] = ()  # the checksums of its parts, of the same algorithm
    has_table: bool = False  # sizes and sums are kept in an object of their own

    def written(self) -> str:
        """Return it as metadata."""
        said: dict[str, object] = {"crc32c": self.crc32c}
        if self.etag:
            said["etag"] = self.etag
        if self.checksum:
            said |= {"algorithm": self.checksum.algorithm, "checksum": self.checksum.value}
        if self.upload:
            said |= {"upload": self.upload, "parts": self.part_count}
            said |= {"table": True} if self.has_table else {"sizes": self.sizes, "sums": self.sums}
        return _compact(said)


class Found(NamedTuple):
    """An object as it was found; `generation` names these bytes."""

    info: ObjectInfo
    generation: str
    identity: Identity
    resource: Mapping[str, Any]


def describe(options: WriteOptions) -> dict[str, Any]:
    """Return the resource of an object that is to be written. Raises: MetadataTooLarge."""
    metadata = {f"{ESCAPED if n.startswith(RESERVED) else ''}{n}": v for n, v in options.metadata.items()}
    others: dict[str, str | None] = {n: v for n, v in options.headers.items() if n not in _FIELD_OF}
    if "content-type" not in options.headers:
        others["content-type"] = None  # the storage makes one up
    if others:
        metadata[HEADERS] = _compact(others)
    if options.labels:
        metadata[LABELS] = labels_written(options.labels)
    size = sum(len(name.encode()) + len(value.encode()) for name, value in metadata.items())
    if size > LIMIT:
        raise MetadataTooLarge(Size=str(size), MaxSizeAllowed=str(LIMIT))
    fields = {_FIELD_OF[name]: value for name, value in options.headers.items() if name in _FIELD_OF}
    return {**fields, "metadata": metadata}


def identified(resource: Mapping[str, Any], identity: Identity) -> dict[str, Any]:
    """Return the resource with what S3 calls the object."""
    return {**resource, "metadata": {**resource["metadata"], IDENTITY: identity.written()}}


def beside(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a resource that stands beside the bytes, to be written to another object."""
    fields = {field: resource[field] for field in _FIELD_OF.values() if field in resource}
    metadata = {n: v for n, v in resource.get("metadata", {}).items() if n not in {IDENTITY, UPLOAD}}
    return {**fields, "metadata": metadata}


def found(resource: Mapping[str, Any]) -> Found:
    """Return what S3 knows of an object."""
    metadata: Mapping[str, str] = resource.get("metadata", {})
    identity = _identity(resource, metadata)
    info = ObjectInfo(
        resource["name"],
        int(resource["size"]),
        identity.etag or _natural_etag(resource),
        moment(resource["timeCreated"]),  # "updated" changes with the metadata
        headers=_headers(resource, metadata),
        metadata=_clients(metadata),
        labels=labels_read(metadata.get(LABELS, "")),
        checksum=identity.checksum or _natural_checksum(resource),
        part_count=identity.part_count,
    )
    return Found(info, resource["generation"], identity, resource)


def moment(value: str) -> datetime:
    """Return a time as the API writes it."""
    return datetime.fromisoformat(value)


def labels_written(labels: Mapping[str, str]) -> str:
    """Return labels as metadata."""
    return urlsafe_b64encode(_compact(dict(labels)).encode()).decode()


def labels_read(value: str) -> Mapping[str, str]:
    """Return labels from metadata; none from what is not of our writing."""
    try:
        labels = json.loads(urlsafe_b64decode(value)) if value else {}
    except ValueError:
        return {}
    return {str(n): str(v) for n, v in labels.items()} if isinstance(labels, dict) else {}


def _identity(resource: Mapping[str, Any], metadata: Mapping[str, str]) -> Identity:
    """Return the identity, empty where there is none or it was carried over to other bytes."""
    crc32c = resource.get("crc32c", "")
    try:
        said = json.loads(metadata.get(IDENTITY, "{}"))
        if said.get("crc32c") != crc32c:
            return Identity(crc32c)
        value = said.get("checksum", "")
        checksum = Checksum(said["algorithm"], value, composite="-" in value) if value else None
        if checksum and checksum.algorithm not in ALGORITHMS:
            return Identity(crc32c)
        parts = (int(said.get("parts", 0)), said.get("sizes", ()), said.get("sums", ()), "table" in said)
        return Identity(crc32c, str(said.get("etag", "")), checksum, str(said.get("upload", "")), *parts)
    except (ValueError, KeyError, TypeError, AttributeError):
        return Identity(crc32c)


def _natural_etag(resource: Mapping[str, Any]) -> str:
    """Return the MD5; composite objects have none, so for those something that changes with each version."""
    if md5 := resource.get("md5Hash"):
        return b64decode(md5).hex()
    version = f"{resource['generation']} {resource.get('crc32c', '')}".encode()
    return f"{hashlib.md5(version, usedforsecurity=False).hexdigest()}-1"


def _natural_checksum(resource: Mapping[str, Any]) -> Checksum | None:
    return Checksum("CRC32C", resource["crc32c"]) if "crc32c" in resource else None


def _headers(resource: Mapping[str, Any], metadata: Mapping[str, str]) -> dict[str, str]:
    headers = {name: resource[field] for name, field in _FIELD_OF.items() if resource.get(field)}
    try:
        others = json.loads(metadata.get(HEADERS, "{}"))
    except ValueError:
        others = {}
    for name, value in others.items() if isinstance(others, dict) else ():
        if value is None:
            headers.pop(name, None)
        else:
            headers[name] = str(value)
    return headers


def _clients(metadata: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(ESCAPED).lower(): value
        for name, value in metadata.items()
        if name.startswith(ESCAPED) or not name.startswith(RESERVED)
    }


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
