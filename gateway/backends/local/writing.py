"""How an object comes into being and goes: written aside, checked, moved to its place under the lock of its key."""

import errno
import logging
import os
import stat as modes
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from os import stat_result
from typing import Final

from gateway.backends.assembly import check_labels
from gateway.backends.local import attributes, records, sidecars
from gateway.backends.local.finding import Found, find, seek
from gateway.backends.local.kernel import FOLDER, close_at_once
from gateway.backends.local.locks import bucket_lock, key_lock
from gateway.backends.local.names import ASIDE, RESERVED, Place, key_of, place
from gateway.backends.local.root import ABSENT, Root
from gateway.backends.local.scratch import Temp
from gateway.checksums import Checksum
from gateway.conditions import Conditions
from gateway.errors import IncompleteBody, ServiceUnavailable
from gateway.storage import Address, ObjectInfo, Part, WriteOptions

log = logging.getLogger(__name__)

_TRIES: Final = 1000  # folders may come and go while a file is moved, but not for ever


@dataclass(slots=True)
class Draft:
    """An object that is complete but not in its place: its file, and what is to be written beside it."""

    temp: Temp
    info: ObjectInfo
    parts: Sequence[Part] = ()


def describe(key: str, size: int, options: WriteOptions, etag: str, checksum: Checksum | None) -> ObjectInfo:
    """Return what is to be known of an object; its time is told when it is stored."""
    return ObjectInfo(
        key,
        size,
        etag,
        records.moment(0),
        options.headers,
        options.metadata,
        options.labels,
        checksum,
    )


def check(root: Root, at: Address, conditions: Conditions) -> None:
    """Raise unless the object may be written or deleted as things are now. Raises: NoSuchBucket."""
    place(at.key)
    root.check_bucket(at.bucket)
    _check(root, at, conditions)


def store(root: Root, at: Address, draft: Draft, conditions: Conditions) -> ObjectInfo:
    """Put an object in its place, for good: when this returns it outlasts a power cut."""
    descriptor = draft.temp.descriptor
    now = time.time_ns()
    os.utime(descriptor, ns=(now, now))
    stat = os.fstat(descriptor)
    if stat.st_size != draft.info.size:
        raise IncompleteBody
    info = replace(draft.info, modified=records.moment(stat.st_mtime_ns))
    record = records.encode(info, stat.st_mtime_ns)
    beside = {} if attributes.write(descriptor, record) else {sidecars.RECORD: record}
    if draft.parts:
        beside[sidecars.PARTS] = records.encode_parts(draft.parts)
    root.settle(descriptor)

    def move() -> None:
        _check(root, at, conditions)
        try:
            for kind, content in beside.items():
                sidecars.write(root, at, stat, kind, content)
            _move(root, at, draft.temp, stat)
        except BaseException:
            if beside and not draft.temp.is_moved:
                sidecars.forget(root, at, stat)
            raise

    _locked(root, at, move)
    return info


def _check(root: Root, at: Address, conditions: Conditions) -> None:
    if conditions:
        conditions.check_write(at.key, _known(root, at))


def _known(root: Root, at: Address) -> ObjectInfo | None:
    found = seek(root, at)
    if found:
        os.close(found.descriptor)
    return found.info if found else None


def delete(root: Root, at: Address, conditions: Conditions) -> None:
    """Remove an object, for good. Raises: NoSuchBucket, and what the conditions say."""

    def remove() -> None:
        root.check_bucket(at.bucket)
        _check(root, at, conditions)
        _remove(root, at)

    _locked(root, at, remove)


def annotate(root: Root, at: Address, labels: Mapping[str, str], was: Mapping[str, str] | None = None) -> None:
    """Replace the labels of an object. Raises: NoSuchKey, NoSuchBucket, PreconditionFailed."""

    def note() -> None:
        found = find(root, at)
        try:
            check_labels(found.info.labels, was)
            _note(root, at, found, replace(found.info, labels=dict(labels)))
        finally:
            os.close(found.descriptor)

    _locked(root, at, note)


def _note(root: Root, at: Address, found: Found, info: ObjectInfo) -> None:
    record = records.encode(info, found.stat.st_mtime_ns)
    if attributes.write(found.descriptor, record):
        root.settle(found.descriptor)
        sidecars.forget(root, at, found.stat, (sidecars.RECORD,))
    else:
        sidecars.write(root, at, found.stat, sidecars.RECORD, record)
        attributes.remove(found.descriptor)
        root.settle(found.descriptor)


def _locked(root: Root, at: Address, change: Callable[[], None]) -> None:
    """Change an object under its lock, again if folders on the way to it vanished or a file was in the way."""
    for _ in range(_TRIES):
        try:
            with root.locks.hold([key_lock(at.bucket, at.key)], shared=[bucket_lock(at.bucket)]):
                return change()
        except (FileNotFoundError, IsADirectoryError):
            root.check_bucket(at.bucket)
        except OSError as error:
            if error.errno not in {errno.ENOTDIR, errno.ELOOP}:
                raise
            with suppress(FileNotFoundError, NotADirectoryError):
                _make_way(root, at)
    raise ServiceUnavailable


def _move(root: Root, at: Address, temp: Temp, stat: stat_result) -> None:
    where, bucket = place(at.key), root.bucket(at.bucket)
    folder = root.make_folders(bucket, where.folder)
    try:
        name, old = _target(folder, where)
        temp.move(folder, name)
        root.confirm(folder)
    except BaseException:
        _prune(root, bucket, where.folder)
        raise
    finally:
        close_at_once(folder)
    if old and (old.st_mtime_ns, old.st_size) != (stat.st_mtime_ns, stat.st_size):
        sidecars.forget(root, at, old)


def _target(folder: int, where: Place) -> tuple[bytes, stat_result | None]:
    """Return the name that an object is to get, and the file that it replaces.

    A file that stands aside stays there even when its natural name is free again: who looks at one name and then at
    the other would else find neither while it moves back.
    """
    there = _look(folder, where.name)
    if where.aside and (there is None or modes.S_ISDIR(there.st_mode)):
        beside = _look(folder, where.aside)
        if there or beside:
            return where.aside, beside
    return where.name, there


def _remove(root: Root, at: Address) -> None:
    where, bucket = place(at.key), root.bucket(at.bucket)
    try:
        folder = root.open(b"%b/%b" % (bucket, where.folder) if where.folder else bucket, FOLDER)
    except OSError as error:
        if error.errno not in ABSENT:
            raise
        return
    try:
        # The name that counts goes last: else what stood aside would come back for a moment.
        removed = [stat for name in reversed(where.names) if (stat := _unlink(folder, name))]
        if removed:
            root.confirm(folder)
    finally:
        close_at_once(folder)
    for stat in removed:
        sidecars.forget(root, at, stat)
    if removed:
        _prune(root, bucket, where.folder)


def _unlink(folder: int, name: bytes) -> stat_result | None:
    there = _look(folder, name)
    if there is None or not modes.S_ISREG(there.st_mode):
        return None
    os.unlink(name, dir_fd=folder)
    return there


def _prune(root: Root, bucket: bytes, folder: bytes) -> None:
    """Remove folders that are empty now, from the innermost up to the bucket's own."""
    path = [bucket, *folder.split(b"/")] if folder else [bucket]
    with suppress(OSError):
        while len(path) > 1:
            name = path.pop()
            with root.folder(b"/".join(path)) as above:
                os.rmdir(name, dir_fd=above)


def _make_way(root: Root, at: Address) -> None:
    """Move the file aside whose name is needed for a folder. Nothing but an object is moved."""
    path = place(at.key).folder.split(b"/")
    above = root.bucket(at.bucket)
    for depth, name in enumerate(path):
        with root.folder(above) as folder:
            there = _look(folder, name)
        if there is None:
            return
        if not modes.S_ISDIR(there.st_mode):
            key = key_of(path[: depth + 1])
            if key is None or name.startswith(RESERVED) or not modes.S_ISREG(there.st_mode):
                log.warning("no_folder_possible", extra={"bucket": at.bucket})
                raise ServiceUnavailable
            _set_aside(root, Address(at.bucket, key), above, name)
            return
        above = b"%b/%b" % (above, name)


def _set_aside(root: Root, at: Address, above: bytes, name: bytes) -> None:
    """Rename a file to stand aside, so that it is always to be found under one of its two names; make the folder."""
    locks = root.locks.hold([key_lock(at.bucket, at.key)], shared=[bucket_lock(at.bucket)])
    with locks, root.folder(above) as folder:
        there = _look(folder, name)
        if there and modes.S_ISREG(there.st_mode):
            os.rename(name, ASIDE + name, src_dir_fd=folder, dst_dir_fd=folder)
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=folder)
            root.settle(folder)


def _look(folder: int, name: bytes) -> stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
