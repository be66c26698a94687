"""What is told of a key that two storages hold, compared."""

import hashlib
from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

from gateway.errors import NoSuchKey
from gateway.storage import Address, Backend, ObjectInfo
from gateway.transfer import read_through


class Level(IntEnum):
    """How closely is looked."""

    L0 = 0  # names and sizes, as they are listed
    L1 = 1  # and, asked for each object: which state the copy is one of, its metadata, its checksum
    L2 = 2  # and the bytes, all of them read


class Mark(StrEnum):
    """What is found of a key."""

    SAME = "="
    MISSING = "+"  # only the source has it
    EXTRA = "-"  # only the other one has it
    DIFFERENT = "*"
    ERROR = "!"  # one of them could not be asked
    PENDING = "~"  # it is being written, or is to be copied yet


class Finding(NamedTuple):
    """What is found of one key; `why` is what differs, or what went wrong."""

    mark: Mark
    key: str
    why: str = ""


class Seen(NamedTuple):
    """An object; with its digest, where the bytes were read."""

    info: ObjectInfo
    digest: bytes = b""


AT_ONCE: Final[Mapping[Level, int]] = {Level.L0: 256, Level.L1: 32, Level.L2: 4}  # keys
ATTEMPTS: Final = 3  # at a key that is written while it is compared


async def see(storage: Backend, at: Address, level: Level) -> Seen | None:
    """Return what is there, None if nothing is; from L2 on its bytes are read. Raises: S3Error."""
    try:
        if level is not Level.L2:
            return Seen(await storage.head(at))
        digest = hashlib.sha256()
        return Seen(await read_through(storage, at, digest.update), digest.digest())
    except NoSuchKey:
        return None


def is_same_state(before: ObjectInfo | None, after: ObjectInfo | None) -> bool:
    """Say whether a storage still held the same at a second look."""
    if before is None or after is None:
        return before is after
    one, other = ((info.etag, info.modified, info.size, info.labels) for info in (before, after))
    return one == other


def have_other_checksums(one: ObjectInfo, other: ObjectInfo) -> bool:
    """Say whether both have a checksum of all the bytes, by the same algorithm, and another."""
    if one.checksum is None or other.checksum is None or one.checksum.composite or other.checksum.composite:
        return False
    return one.checksum.algorithm == other.checksum.algorithm and one.checksum != other.checksum
