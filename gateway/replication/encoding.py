"""How objects and options are written down: as JSON."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gateway.checksums import Checksum
from gateway.storage import ObjectInfo, Part, WriteOptions


def encode(info: ObjectInfo) -> str:
    """Write down all that is known of an object, but its key."""
    return _json(record_of(info))


def decode(key: str, text: str) -> ObjectInfo:
    """Read what `encode` wrote."""
    return info_of(key, json.loads(text))


def record_of(info: ObjectInfo) -> Mapping[str, object]:
    """Return all that is known of an object, but its key, as JSON has it."""
    record = {
        "size": info.size,
        "etag": info.etag,
        "modified": info.modified.timestamp(),
        "headers": dict(info.headers),
        "metadata": dict(info.metadata),
        "labels": dict(info.labels),
        "checksum": _plain(info.checksum),
        "count": info.part_count,
        "parts": [[part.number, part.etag, part.size, _plain(part.checksum)] for part in info.parts],
    }
    return {name: value for name, value in record.items() if value or name in {"size", "etag", "modified"}}


def info_of(key: str, record: Mapping[str, Any]) -> ObjectInfo:
    """Return what `record_of` was given."""
    return ObjectInfo(
        key,
        record["size"],
        record["etag"],
        datetime.fromtimestamp(record["modified"], UTC),
        record.get("headers", {}),
        record.get("metadata", {}),
        record.get("labels", {}),
        _checksum(record.get("checksum")),
        record.get("count", 0),
        [Part(number, etag, size, checksum=_checksum(sum_)) for number, etag, size, sum_ in record.get("parts", ())],
    )


def encode_options(options: WriteOptions) -> str:
    """Write down what an upload was begun with; conditions belong to its completion."""
    record = {
        "headers": dict(options.headers),
        "metadata": dict(options.metadata),
        "labels": dict(options.labels),
        "checksum": options.checksum,
        "composite": options.composite,
    }
    return _json(record)


def decode_options(text: str) -> WriteOptions:
    """Read what `encode_options` wrote."""
    return WriteOptions(**json.loads(text))


def _plain(checksum: Checksum | None) -> Sequence[object] | None:
    return [checksum.algorithm, checksum.value, checksum.composite] if checksum else None


def _checksum(plain: Sequence[Any] | None) -> Checksum | None:
    return Checksum(plain[0], plain[1], composite=plain[2]) if plain else None


def _json(content: Mapping[str, object]) -> str:
    return json.dumps(content, separators=(",", ":"))
