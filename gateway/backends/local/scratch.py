"""Files and folders on their way: a folder for each process, swept by the others once it is dead."""

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Final

from gateway.backends.local.kernel import FOLDER, close_at_once, names_in, open_beneath
from gateway.backends.local.locks import Locks

_TMP: Final = b"tmp"
_START: Final = "start"
_WRITE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Scratch:
    """A folder of this process alone, marked as alive by a flock that dies with it."""

    def __init__(self, own: int, locks: Locks) -> None:
        self._own = own
        self._numbers = count()
        self.name = f"{os.getpid()}-{secrets.token_hex(6)}".encode()
        with locks.hold([_START]):
            self._sweep()
            os.mkdir(self.path, 0o700, dir_fd=own)
            self.descriptor = open_beneath(own, self.path, FOLDER)
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    @property
    def path(self) -> bytes:
        """Where it is, from our own corner."""
        return b"%b/%b" % (_TMP, self.name)

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        remove_tree(self._own, self.path)
        os.close(self.descriptor)

    def name_one(self) -> bytes:
        """Return a name that nothing in here has."""
        return b"%d" % next(self._numbers)

    def take(self, folder: int, name: bytes) -> bytes:
        """Take a folder away from elsewhere, at once for all who look there; `drop` removes it at leisure."""
        here = self.name_one()
        os.rename(name, here, src_dir_fd=folder, dst_dir_fd=self.descriptor)
        return here

    def drop(self, name: bytes) -> None:
        """Remove what is in here under that name."""
        remove_tree(self.descriptor, name)

    def _sweep(self) -> None:
        with _opened(self._own, _TMP) as tmp:
            left_behind = names_in(tmp)
        for name in left_behind:
            path = b"%b/%b" % (_TMP, os.fsencode(name))
            with suppress(OSError), _opened(self._own, path) as left:
                fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_tree(self._own, path)


class Temp:
    """A file that is written before anybody can see it. `open`, `write` and `discard` belong in one thread at a time.

    It has to be discarded in the end, whether it was moved to its place or not.
    """

    def __init__(self, scratch: Scratch) -> None:
        self.scratch = scratch
        self.name = scratch.name_one()
        self.descriptor = -1

    @property
    def is_open(self) -> bool:
        """True while there is something to discard."""
        return self.descriptor >= 0

    @property
    def is_moved(self) -> bool:
        """True once the file is where it is seen."""
        return not self.name

    def open(self) -> None:
        """Create the file."""
        self.descriptor = os.open(self.name, _WRITE, 0o666, dir_fd=self.scratch.descriptor)

    def write(self, data: bytes) -> None:
        """Write all of `data` behind what is there."""
        written = os.write(self.descriptor, data)
        if written < len(data):
            rest = memoryview(data)[written:]
            while rest:
                rest = rest[os.write(self.descriptor, rest) :]

    def move(self, folder: int, name: bytes) -> None:
        """Put the file where it is seen, in place of what is there."""
        os.rename(self.name, name, src_dir_fd=self.scratch.descriptor, dst_dir_fd=folder)
        self.name = b""

    def discard(self) -> None:
        """Close the file, and remove it if it was not moved."""
        if self.descriptor < 0:
            return
        os.close(self.descriptor)
        self.descriptor = -1
        if self.name:
            with suppress(FileNotFoundError):
                os.unlink(self.name, dir_fd=self.scratch.descriptor)


def remove_tree(folder: int, path: bytes) -> None:
    """Remove a folder and all that is in it, never following a link. What appears meanwhile goes too."""
    while True:
        with suppress(FileNotFoundError), _opened(folder, path) as opened:
            _empty(opened)
        try:
            os.rmdir(path, dir_fd=folder)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
        else:
            return


def _empty(folder: int) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            if entry.is_dir(follow_symlinks=False):
                remove_tree(folder, name)
            else:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)


@contextmanager
def _opened(folder: int, path: bytes) -> Iterator[int]:
    descriptor = open_beneath(folder, path, FOLDER)
    try:
        yield descriptor
    finally:
        close_at_once(descriptor)
