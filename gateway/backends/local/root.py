"""The folder that a backend lives in: its own corner `.gw`, the buckets, and the ways to open what is beneath."""

import errno
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from gateway.backends.local.kernel import FOLDER, close_at_once, open_beneath
from gateway.backends.local.locks import Locks
from gateway.backends.local.scratch import Scratch
from gateway.backends.local.syncs import Syncs
from gateway.errors import InternalError, NoSuchBucket, S3Error, ServiceUnavailable

log = logging.getLogger(__name__)

ABSENT: Final = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}  # a link leads nowhere here
OWN: Final = b".gw"  # no bucket can be called so
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")


class Root:
    """An open root. What it opens lies beneath it, whatever the path, and no symbolic link is followed."""

    def __init__(self, path: Path, *, fsync: bool) -> None:
        self.path = path
        self.fsync = fsync
        self._syncs = Syncs()
        path.mkdir(parents=True, exist_ok=True)
        self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._enter()
        except BaseException:
            os.close(self.descriptor)
            raise

    def _enter(self) -> None:
        for name in (OWN, b".gw/tmp", b".gw/uploads", b".gw/buckets", b".gw/meta"):
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=self.descriptor)
        self.own = self.open(OWN, FOLDER)
        self.settle(self.own)
        self.settle(self.descriptor)
        self.locks = Locks(self.own)
        self.scratch = Scratch(self.own, self.locks)

    def close(self) -> None:
        """Let go of the root."""
        self.scratch.close()
        os.close(self.own)
        os.close(self.descriptor)

    def open(self, path: bytes, flags: int) -> int:
        """Open what exists beneath the root."""
        return open_beneath(self.descriptor, path, flags)

    @contextmanager
    def folder(self, path: bytes) -> Iterator[int]:
        """Open a folder beneath the root for a while."""
        descriptor = self.open(path, FOLDER)
        try:
            yield descriptor
        finally:
            close_at_once(descriptor)

    def make_folders(self, base: bytes, below: bytes) -> int:
        """Open the folder `below` an existing one, making what is missing on the way to it."""
        try:
            return self.open(b"%b/%b" % (base, below) if below else base, FOLDER)
        except FileNotFoundError:
            current = self.open(base, FOLDER)
        try:
            for name in below.split(b"/") if below else ():
                following = self._make_folder(current, name)
                close_at_once(current)
                current = following
        except BaseException:
            close_at_once(current)
            raise
        return current

    def _make_folder(self, above: int, name: bytes) -> int:
        try:
            return open_beneath(above, name, FOLDER)
        except FileNotFoundError:
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=above)
            self.settle(above)
            return open_beneath(above, name, FOLDER)

    def bucket(self, name: str) -> bytes:
        """Return the path of a bucket, whether it exists or not. Raises: NoSuchBucket, if it cannot."""
        if not is_bucket(name):
            raise NoSuchBucket(BucketName=name)
        return name.encode()

    def check_bucket(self, name: str) -> None:
        """Raise NoSuchBucket unless the bucket exists."""
        close_at_once(self._open_bucket(name))

    @contextmanager
    def opened_bucket(self, name: str) -> Iterator[int]:
        """Open the folder of a bucket for a while. Raises: NoSuchBucket."""
        descriptor = self._open_bucket(name)
        try:
            yield descriptor
        finally:
            close_at_once(descriptor)

    def _open_bucket(self, name: str) -> int:
        path = self.bucket(name)
        try:
            return self.open(path, FOLDER)
        except OSError as error:
            if error.errno not in ABSENT:
                raise
            raise self.no_bucket(name) from None

    def no_bucket(self, name: str) -> S3Error:
        """Return what to say if a bucket's folder is not there: a root that is gone says nothing about its buckets."""
        return NoSuchBucket(BucketName=name) if self.is_whole() else ServiceUnavailable()

    def is_whole(self) -> bool:
        """Say whether the root is still the folder that was opened, with our own corner in it."""
        try:
            there, opened = self.path.stat(), os.fstat(self.descriptor)
            os.stat(b".gw/lock", dir_fd=self.descriptor, follow_symlinks=False)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (opened.st_dev, opened.st_ino)

    def settle(self, descriptor: int) -> None:
        """Make what was done to an open file or folder outlast a power cut, if that is wanted."""
        if self.fsync:
            os.fsync(descriptor)

    def confirm(self, folder: int) -> None:
        """As `settle`, for what everybody sees already. Raises InternalError: nobody knows whether it lasts.

        Whoever else waits for the same folder shares it.
        """
        try:
            if self.fsync:
                self._syncs.sync(folder)
        except OSError as error:
            log.exception("local_disk_failed")
            raise InternalError from error


def is_bucket(name: str) -> bool:
    """Say whether a folder of that name is a bucket."""
    return _BUCKET.fullmatch(name) is not None
