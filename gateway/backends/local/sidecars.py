"""Files beside the buckets for what does not fit into an extended attribute.

A sidecar bears the key's hash and the time and size of the file it belongs to. So it can be written before that file
is put in place, and is never taken for another version's.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from os import stat_result
from typing import Final

from gateway.backends.local.kernel import READ
from gateway.backends.local.root import Root
from gateway.backends.local.scratch import Temp
from gateway.storage import Address

RECORD: Final = b"record"
PARTS: Final = b"parts"


def are_there(root: Root, bucket: str) -> bool:
    """Say whether anything was ever written beside the objects of a bucket: that is not forgotten before the bucket."""
    try:
        with root.folder(b".gw/meta/%b" % root.bucket(bucket)):
            return True
    except FileNotFoundError:
        return False


def read(root: Root, at: Address, stat: stat_result, kind: bytes) -> bytes | None:
    """Return what is written beside that version of an object, None if nothing is."""
    folder, name = _path(root, at, stat, kind)
    try:
        descriptor = root.open(folder + b"/" + name, READ)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def write(root: Root, at: Address, stat: stat_result, kind: bytes, content: bytes) -> None:
    """Write it beside that version of an object, at once and whole. The caller holds the bucket's lock."""
    folder, name = _path(root, at, stat, kind)
    temp = Temp(root.scratch)
    try:
        temp.open()
        temp.write(content)
        root.settle(temp.descriptor)
        target = root.make_folders(b".gw/meta", folder.removeprefix(b".gw/meta/"))
        try:
            temp.move(target, name)
            root.settle(target)
        finally:
            os.close(target)
    finally:
        temp.discard()


def forget(root: Root, at: Address, stat: stat_result, kinds: Sequence[bytes] = (RECORD, PARTS)) -> None:
    """Remove what was written beside a version that is no more."""
    folder, _ = _path(root, at, stat, RECORD)
    with suppress(FileNotFoundError), root.folder(folder) as opened:
        for kind in kinds:
            with suppress(FileNotFoundError):
                os.unlink(_path(root, at, stat, kind)[1], dir_fd=opened)


def _path(root: Root, at: Address, stat: stat_result, kind: bytes) -> tuple[bytes, bytes]:
    key = blake2b(at.key.encode(), digest_size=16).hexdigest().encode()
    folder = b".gw/meta/%b/%b" % (root.bucket(at.bucket), key[:2])
    return folder, b"%b-%d-%d.%b" % (key, stat.st_mtime_ns, stat.st_size, kind)
