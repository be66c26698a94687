"""What is written beside the bytes of an object, and what is said of a file that has nothing beside it."""

import json
import mimetypes
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from os import stat_result
from typing import Any, Final

from gateway.checksums import Checksum
from gateway.storage import ObjectInfo, Part

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = 253_402_300_799 * 10**9  # the end of the year 9999, as far as a datetime goes
_read: Final = json.JSONDecoder().raw_decode  # what `json.loads` comes to, for half the time
_write: Final = json.JSONEncoder(separators=(",", ":")).encode  # what `json.dumps` would make anew for each
UNKNOWN_TYPE: Final = "binary/octet-stream"  # S3's own default


def moment(nanoseconds: int) -> datetime:
    """Return the time that the file system tells."""
    return _EPOCH + timedelta(microseconds=min(max(nanoseconds, 0), _LAST) // 1000)


def encode(info: ObjectInfo, modified_ns: int) -> bytes:
    """Return the record of an object whose file has that time of modification."""
    record = {
        "etag": info.etag,
        "size": info.size,
        "mtime": modified_ns,
        "headers": dict(info.headers),
        "metadata": dict(info.metadata),
        "labels": dict(info.labels),
        "checksum": _plain(info.checksum),
        "parts": info.part_count,
    }
    return _json({name: value for name, value in record.items() if value or name in {"size", "mtime"}})


def decode(raw: bytes, key: str, stat: stat_result) -> ObjectInfo | None:
    """Return what a record says, or None if it is not about the file as it is now."""
    try:
        text = raw.decode()
        record, end = _read(text)
        size, modified_ns, get = stat.st_size, stat.st_mtime_ns, record.get
        if record["size"] != size or record["mtime"] != modified_ns or end != len(text):
            return None
        return ObjectInfo(
            key,
            size,
            record["etag"],
            moment(modified_ns),
            get("headers", {}),
            get("metadata", {}),
            get("labels", {}),
            _checksum(get("checksum")),
            get("parts", 0),
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def foreign(key: str, stat: stat_result) -> ObjectInfo:
    """Describe a file that somebody else put there or changed. The "-1" keeps its ETag from being taken for an MD5."""
    version = f"{stat.st_ino}.{stat.st_size}.{stat.st_mtime_ns}".encode()
    etag = f"{blake2b(version, digest_size=16).hexdigest()}-1"
    return ObjectInfo(key, stat.st_size, etag, moment(stat.st_mtime_ns), {"content-type": _type_of(ending(key))})


def ending(key: str) -> str:
    """Return what a name ends with, from its first dot on; a dot that it begins with is a part of the name."""
    name = key[key.rfind("/") + 1 :]
    dot = name.find(".", 1)
    return name[dot:] if dot > 0 else ""


@lru_cache(maxsize=256)
def _type_of(said: str) -> str:
    return mimetypes.guess_type(f"name{said}", strict=False)[0] or UNKNOWN_TYPE


def encode_parts(parts: Sequence[Part]) -> bytes:
    """Return the list of parts of an object."""
    return _json([[part.etag, part.size, _plain(part.checksum)] for part in parts])


def decode_parts(raw: bytes) -> Sequence[Part]:
    """Return the parts, numbered from 1."""
    return [
        Part(number, etag, size, checksum=_checksum(checksum))
        for number, (etag, size, checksum) in enumerate(json.loads(raw), start=1)
    ]


def _plain(checksum: Checksum | None) -> Sequence[object] | None:
    if checksum is None:
        return None
    return [checksum.algorithm, checksum.value, *([1] if checksum.composite else [])]


def _checksum(plain: Sequence[Any] | None) -> Checksum | None:
    return Checksum(plain[0], plain[1], composite=len(plain) > 2) if plain else None  # noqa: PLR2004


def _json(content: Mapping[str, object] | Sequence[object]) -> bytes:
    return _write(content).encode()
