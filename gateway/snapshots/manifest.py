"""A manifest: which objects a storage held, each in which state, and within which time that was so.

It is JSON Lines, compressed by gzip: first the head, then its signature, then a line for each object, in the order of
their keys. The head is a member of the gzip file by itself, and tells the SHA-256 of the rest as it is stored. So what
nobody has signed is not even uncompressed.
"""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import islice
from typing import Any, BinaryIO, Final

from gateway.replication.encoding import info_of, record_of
from gateway.snapshots.signing import Signer, Untrusted
from gateway.storage import PIECE, ObjectInfo

FORMAT: Final = "s3-gateway-snapshot/1"
MOST_HEAD: Final = 64 * 1024  # bytes, compressed or not: it is read before anybody can say whose it is
_MEMBER: Final = 16 + zlib.MAX_WBITS  # of gzip
_LEVEL: Final = 6


@dataclass(frozen=True, slots=True)
class Entry:
    """An object in a state. A mirror's is told as what it is a copy of; `gen` and `held` tell the mirror's own."""

    info: ObjectInfo
    gen: int = 0
    held: str = ""  # the ETag where it lies, if that is another

    @property
    def key(self) -> str:
        """The key that clients know it by."""
        return self.info.key

    @property
    def etag(self) -> str:
        """The ETag that the storage has given it."""
        return self.held or self.info.etag


@dataclass(frozen=True, slots=True)
class Subject:
    """What a snapshot is of. `route` is the entry of the configuration, `labels` are the bucket's."""

    bucket: str
    route: str
    backend: str
    prefix: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Head:
    """What a manifest says of itself.

    Each object was in its state at some moment from `since` until `until`, and not all at the same.
    """

    id: str
    subject: Subject
    since: datetime
    until: datetime
    objects: int
    bytes: int
    length: int  # of what follows the head, in bytes
    digest: str  # its SHA-256

    def document(self) -> Mapping[str, Any]:
        """Return it as it is signed."""
        subject = self.subject
        return {
            "format": FORMAT,
            "id": self.id,
            "bucket": subject.bucket,
            "route": subject.route,
            "backend": subject.backend,
            "prefix": subject.prefix,
            "labels": dict(subject.labels),
            "consistency": "fuzzy",
            "window": [self.since.isoformat(), self.until.isoformat()],
            "objects": self.objects,
            "bytes": self.bytes,
            "length": self.length,
            "sha256": self.digest,
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Head":
        """Return what `document` was made of. Raises: Untrusted."""
        if document.get("format") != FORMAT:
            raise Untrusted(f"It is no manifest of the format {FORMAT}.")
        since, until = map(datetime.fromisoformat, document["window"])
        subject = Subject(*(document[name] for name in ("bucket", "route", "backend", "prefix", "labels")))
        counts = (document[name] for name in ("objects", "bytes", "length", "sha256"))
        return cls(document["id"], subject, since, until, *counts)


class Draft:
    """The entries of a manifest on their way into a file."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.objects = self.bytes = self.length = 0
        self._digest = sha256()
        self._packing = gzip.GzipFile(fileobj=self, mode="wb", compresslevel=_LEVEL, mtime=0)

    def add(self, entries: Sequence[Entry]) -> None:
        """Add entries, whose keys come after all that are there."""
        self._packing.write(b"".join(map(_line, entries)))
        self.objects += len(entries)
        self.bytes += sum(entry.info.size for entry in entries)

    def end(self, identity: str, subject: Subject, since: datetime, until: datetime) -> Head:
        """Add no more, and return the head."""
        self._packing.close()
        self.file.flush()
        told = (self.objects, self.bytes, self.length, self._digest.hexdigest())
        return Head(identity, subject, since, until, *told)

    def write(self, data: bytes) -> int:
        """Take what gzip has made."""
        self._digest.update(data)
        self.length += len(data)
        return self.file.write(data)

    def flush(self) -> None:
        """Do nothing: gzip asks for it."""


def packed(head: Head, signer: Signer) -> bytes:
    """Return the beginning of a manifest, which its entries follow."""
    return gzip.compress(signer.sign(head.document()), mtime=0)


def head_of(beginning: bytes, signer: Signer) -> tuple[Head, int]:
    """Return the head of a manifest from its first bytes, and how many of them it takes. Raises: Untrusted."""
    unpacking = zlib.decompressobj(_MEMBER)
    try:
        lines = unpacking.decompress(beginning, MOST_HEAD)
    except zlib.error as error:
        raise Untrusted("It is no manifest.") from error
    if not unpacking.eof:
        raise Untrusted("It is no manifest, or cut off.")
    return Head.of(signer.read(lines)), len(beginning) - len(unpacking.unused_data)


class Manifest:
    """A manifest whose every byte is known to be what was signed; `file` holds its entries."""

    def __init__(self, head: Head, file: BinaryIO) -> None:
        """Compare the entries with what the head says of them. Raises: Untrusted."""
        self.head, self._file = head, file
        if _digest_of(file) != (head.length, head.digest):
            raise Untrusted("Its entries are not those that were signed.")

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Give all whose keys begin with a prefix, in order. It may be asked again when that is through."""
        self._file.seek(0)
        with gzip.GzipFile(fileobj=self._file, mode="rb") as lines:
            for line in lines:
                entry = _entry(line)
                if entry.key.startswith(prefix):
                    yield entry

    def batches(self, many: int, prefix: str = "") -> Iterator[Sequence[Entry]]:
        """Give them so many at once."""
        entries = self.entries(prefix)
        while batch := list(islice(entries, many)):
            yield batch


def _digest_of(file: BinaryIO) -> tuple[int, str]:
    digest, length = sha256(), 0
    file.seek(0)
    while piece := file.read(PIECE):
        digest.update(piece)
        length += len(piece)
    return length, digest.hexdigest()


def _line(entry: Entry) -> bytes:
    own = {"gen": entry.gen, "held": entry.held}
    record = {"key": entry.key, **record_of(entry.info), **{name: value for name, value in own.items() if value}}
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def _entry(line: bytes) -> Entry:
    record: dict[str, Any] = json.loads(line)
    return Entry(info_of(record.pop("key"), record), record.get("gen", 0), record.get("held", ""))
