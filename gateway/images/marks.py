"""What tells a variant from every other object: of which image it is, of which state of it, and to which spec."""

import hashlib
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote

from gateway.images.spec import Variant, fingerprint
from gateway.storage import ObjectInfo

SOURCE: Final = "gw-source"  # behind x-amz-meta-
SOURCE_ETAG: Final = "gw-source-etag"
SPEC: Final = "gw-spec"
_SAFE: Final = "/!$&'()*+,;=:@~"
_LONGEST: Final = 1500  # of the 2 KB that all metadata may have
_HASHED: Final = "#"  # no key begins so when it is quoted


def marks(source: str, etag: str, spec: str) -> dict[str, str]:
    """Return the metadata of a variant."""
    return {SOURCE: named(source), SOURCE_ETAG: etag, SPEC: spec}


def is_marked(metadata: Mapping[str, str]) -> bool:
    """Say whether something is a variant, of whatever."""
    return SOURCE in metadata


def is_of(info: ObjectInfo, source: str) -> bool:
    """Say whether an object is a variant of the image with this key."""
    return info.metadata.get(SOURCE) == named(source)


def is_fresh(info: ObjectInfo, etag: str, spec: str) -> bool:
    """Say whether a variant is of this state of its image, and to this spec."""
    return info.metadata.get(SOURCE_ETAG) == etag and info.metadata.get(SPEC) == spec


def source_of(info: ObjectInfo) -> str | None:
    """Return the key of the image that an object is a variant of; None where it is none, or does not tell."""
    told = info.metadata.get(SOURCE, _HASHED)
    return None if told.startswith(_HASHED) else unquote(told)


def spec_of(variant: Variant, watermark_etag: str = "") -> str:
    """Return what tells how a variant was made."""
    return f"{fingerprint(variant)}-{watermark_etag[:16]}" if variant.watermark else fingerprint(variant)


def named(source: str) -> str:
    """Return a key as metadata can hold it."""
    quoted = quote(source, safe=_SAFE)
    return quoted if len(quoted) <= _LONGEST else _HASHED + hashlib.sha256(source.encode()).hexdigest()
