"""From the address of an object to its open file and what is known of it."""

import errno
import os
import stat as modes
from collections.abc import Sequence
from dataclasses import replace
from os import stat_result
from typing import Final, NamedTuple

from gateway.backends.local import attributes, records, sidecars
from gateway.backends.local.kernel import READ
from gateway.backends.local.names import place
from gateway.backends.local.root import ABSENT, Root
from gateway.errors import NoSuchKey, NoSuchVersion, ServiceUnavailable
from gateway.storage import Address, ObjectInfo, Part

_TRIES: Final = 100  # a version that is replaced while it is looked at is not looked at again for ever
_NO_FILE: Final = ABSENT | {errno.ENXIO, errno.ENODEV}  # sockets and devices without a driver cannot be opened


class Found(NamedTuple):
    """An object's open file; whoever gets it closes it."""

    descriptor: int
    stat: stat_result
    info: ObjectInfo


def find(root: Root, at: Address) -> Found:
    """Open an object. Raises: NoSuchKey, NoSuchBucket, NoSuchVersion (all but "null", since none is kept)."""
    if at.version not in {None, "null"}:
        raise NoSuchVersion(Key=at.key, VersionId=str(at.version))
    found = seek(root, at)
    if found is None:
        root.check_bucket(at.bucket)
        raise NoSuchKey(Key=at.key)
    return found


def seek(root: Root, at: Address) -> Found | None:
    """Open an object, or return None if there is none."""
    for _ in range(_TRIES):
        descriptor = _open(root, at)
        if descriptor is None:
            return None
        try:
            stat = os.fstat(descriptor)
            info = describe(root, at, descriptor, stat)
            if info is None and _is_current(root, at, stat):
                info = records.foreign(at.key, stat)
        except BaseException:
            os.close(descriptor)
            raise
        if info:
            return Found(descriptor, stat, info)
        os.close(descriptor)
    raise ServiceUnavailable


def describe(root: Root, at: Address, descriptor: int, stat: stat_result) -> ObjectInfo | None:
    """Return what was written beside an open file, None if nothing was that is about the file as it is."""
    raw = attributes.read(descriptor)
    info = records.decode(raw, at.key, stat) if raw else None
    if info is None:
        raw = sidecars.read(root, at, stat, sidecars.RECORD)
        info = records.decode(raw, at.key, stat) if raw else None
    return info


def find_with_parts(root: Root, at: Address) -> tuple[Found, Sequence[Part]]:
    """As `find`, with the parts that the object was made of: none if it was not, or if their list was lost."""
    for _ in range(_TRIES):
        found = find(root, at)
        try:
            if not found.info.part_count:
                return found, ()
            raw = sidecars.read(root, at, found.stat, sidecars.PARTS)
            if raw:
                return found, records.decode_parts(raw)
            if _is_current(root, at, found.stat):
                return found._replace(info=replace(found.info, part_count=0)), ()
        except BaseException:
            os.close(found.descriptor)
            raise
        os.close(found.descriptor)  # replaced a moment ago, and its parts forgotten
    raise ServiceUnavailable


def _open(root: Root, at: Address) -> int | None:
    """Open the regular file that holds an object."""
    where = place(at.key)
    folder = b"/".join([root.bucket(at.bucket), where.folder] if where.folder else [root.bucket(at.bucket)])
    for name in where.names:
        try:
            descriptor = root.open(b"%b/%b" % (folder, name), READ)
        except OSError as error:
            if error.errno not in _NO_FILE:
                raise
            continue
        if modes.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    return None


def _is_current(root: Root, at: Address, stat: stat_result) -> bool:
    """Say whether a file is still the one that holds an object: only then a missing sidecar means that it has none."""
    descriptor = _open(root, at)
    if descriptor is None:
        return False
    try:
        return os.path.samestat(os.fstat(descriptor), stat)
    finally:
        os.close(descriptor)
