"""Buckets: the folders in the root, and what is noted of them beside."""

import errno
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from gateway.backends.assembly import check_labels
from gateway.backends.local import records
from gateway.backends.local.kernel import READ, open_beneath
from gateway.backends.local.locks import bucket_lock
from gateway.backends.local.root import ABSENT, OWN, Root, is_bucket
from gateway.backends.local.scratch import Temp
from gateway.errors import BucketAlreadyExists, BucketNotEmpty, InvalidBucketName, ServiceUnavailable
from gateway.storage import BucketInfo

_NOTES = b"buckets"
_FILLED = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT}  # somebody else is at work in there
_BESIDE = (b"uploads", b"meta")


def all_buckets(root: Root) -> Sequence[BucketInfo]:
    """Return what is known of every folder that is a bucket, by name."""
    if not root.is_whole():
        raise ServiceUnavailable
    with root.folder(b".") as opened, os.scandir(opened) as entries:  # of its own: a place in it is kept with it
        names = [entry.name for entry in entries if is_bucket(entry.name) and entry.is_dir(follow_symlinks=False)]
    known = [_look(root, name) for name in sorted(names)]
    return [info for info in known if info]


def head(root: Root, bucket: str) -> BucketInfo:
    """Return what is known of a bucket. Raises: NoSuchBucket."""
    root.bucket(bucket)
    info = _look(root, bucket)
    if info is None:
        raise root.no_bucket(bucket)
    return info


def create(root: Root, bucket: str, labels: Mapping[str, str]) -> None:
    """Create a bucket; what a deleted one of that name left behind goes first."""
    if not is_bucket(bucket):
        raise InvalidBucketName(BucketName=bucket)
    with _left_behind(root) as left, root.locks.hold([bucket_lock(bucket)]):
        if _exists(root, bucket):
            raise BucketAlreadyExists(BucketName=bucket)
        if not root.is_whole():
            raise ServiceUnavailable
        left.extend(_clear_beside(root, bucket))
        _note(root, bucket, labels, datetime.now(UTC))
        try:
            os.mkdir(bucket, dir_fd=root.descriptor)
        except FileExistsError:
            raise BucketAlreadyExists(BucketName=bucket) from None
        root.settle(root.descriptor)


def delete(root: Root, bucket: str) -> None:
    """Delete a bucket that holds nothing but empty folders. Raises: NoSuchBucket, BucketNotEmpty."""
    path = root.bucket(bucket)
    with _left_behind(root) as left, root.locks.hold([bucket_lock(bucket)]):
        root.check_bucket(bucket)
        try:
            _remove_empty(root, bucket, path)
        except OSError as error:
            if error.errno not in _FILLED:
                raise
            raise BucketNotEmpty(BucketName=bucket) from None
        root.settle(root.descriptor)
        left.extend(_clear_beside(root, bucket))


def annotate(root: Root, bucket: str, labels: Mapping[str, str], was: Mapping[str, str] | None = None) -> None:
    """Replace the labels of a bucket. Raises: NoSuchBucket, PreconditionFailed."""
    root.bucket(bucket)
    with root.locks.hold([bucket_lock(bucket)]):
        info = head(root, bucket)
        check_labels(info.labels, was)
        _note(root, bucket, labels, info.created)


def _look(root: Root, bucket: str) -> BucketInfo | None:
    try:
        with root.folder(bucket.encode()) as folder:
            changed = records.moment(os.fstat(folder).st_mtime_ns)
    except OSError as error:
        if error.errno not in ABSENT:
            raise
        return None
    notes = _notes(root, bucket)
    created = datetime.fromisoformat(notes["created"]) if notes else changed
    return BucketInfo(bucket, created, notes.get("labels", {}))


def _exists(root: Root, bucket: str) -> bool:
    try:
        os.stat(bucket, dir_fd=root.descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _notes(root: Root, bucket: str) -> Mapping[str, Any]:
    """Return what was noted when a bucket was created; nothing of one that somebody made by hand."""
    try:
        descriptor = open_beneath(root.own, b"%b/%b" % (_NOTES, bucket.encode()), READ)
    except FileNotFoundError:
        return {}
    with os.fdopen(descriptor, "rb") as file:
        notes: dict[str, Any] = json.load(file)
    return notes


def _note(root: Root, bucket: str, labels: Mapping[str, str], created: datetime) -> None:
    temp = Temp(root.scratch)
    try:
        temp.open()
        temp.write(json.dumps({"created": created.isoformat(), "labels": dict(labels)}).encode())
        root.settle(temp.descriptor)
        with root.folder(b"%b/%b" % (OWN, _NOTES)) as notes:
            temp.move(notes, bucket.encode())
            root.settle(notes)
    finally:
        temp.discard()


def _remove_empty(root: Root, bucket: str, path: bytes) -> None:
    """Remove a tree of empty folders, one leaf after the other; anything else in it is left alone."""
    way = [path]
    while way:
        inner = _first_entry(root, b"/".join(way))
        if inner is None:
            name = way.pop()
            with root.folder(b"/".join(way) or b".") as above:
                os.rmdir(name, dir_fd=above)
        elif inner.is_folder:
            way.append(inner.name)
        else:
            raise BucketNotEmpty(BucketName=bucket)


class _Entry(NamedTuple):
    name: bytes
    is_folder: bool


def _first_entry(root: Root, path: bytes) -> _Entry | None:
    with root.folder(path) as folder, os.scandir(folder) as entries:
        first = next(entries, None)
        return _Entry(os.fsencode(first.name), first.is_dir(follow_symlinks=False)) if first else None


@contextmanager
def _left_behind(root: Root) -> Iterator[list[bytes]]:
    """Gather what was taken away under a lock, and remove it when the lock is free again."""
    taken: list[bytes] = []
    try:
        yield taken
    finally:
        for name in taken:
            root.scratch.drop(name)


def _clear_beside(root: Root, bucket: str) -> Sequence[bytes]:
    """Take away what is kept beside a bucket; return its names in the scratch folder."""
    taken: list[bytes] = []
    name = bucket.encode()
    with root.folder(b"%b/%b" % (OWN, _NOTES)) as notes, suppress(FileNotFoundError):
        os.unlink(name, dir_fd=notes)
    for kind in _BESIDE:
        with root.folder(b"%b/%b" % (OWN, kind)) as folder, suppress(FileNotFoundError):
            taken.append(root.scratch.take(folder, name))
    return taken
