"""Locks on names that hold among all processes of this machine, and are gone when a process is."""

import fcntl
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from typing import Final

from gateway.backends.local.kernel import close_at_once, fcntl_at_once, open_beneath

_SLOTS: Final = 1024  # files to lock where one file cannot be locked in places
_FLOCK: Final = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux: type, whence, start, length, process
_OPEN: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
_SET_AND_WAIT: Final[int | None] = getattr(fcntl, "F_OFD_SETLKW", None)


def bucket_lock(bucket: str) -> str:
    """Name the lock of a bucket: shared by those who change its objects, held alone to create or delete it."""
    return f"bucket\0{bucket}"


def key_lock(bucket: str, key: str) -> str:
    """Name the lock of an object."""
    return f"key\0{bucket}\0{key}"


class Locks:
    """Locks by name. A thread holds one set at a time: it asks for all it needs at once, so nobody waits in a ring."""

    def __init__(self, folder: int) -> None:
        self._folder = folder
        os.close(self._open(b"lock"))

    @contextmanager
    def hold(self, exclusive: Iterable[str], shared: Iterable[str] = ()) -> Iterator[None]:
        """Wait for locks and hold them."""
        wanted = dict.fromkeys(shared, fcntl.LOCK_SH) | dict.fromkeys(exclusive, fcntl.LOCK_EX)
        held: list[int] = []  # descriptors: closing them frees their locks
        try:
            if _SET_AND_WAIT is None:
                self._lock_files(wanted, held)
            else:
                self._lock_places(_SET_AND_WAIT, wanted, held)
            yield
        finally:
            for descriptor in held:
                close_at_once(descriptor)

    def _lock_places(self, command: int, wanted: Mapping[str, int], held: list[int]) -> None:
        """Lock one byte per name of one file, by open file description.

        https://man7.org/linux/man-pages/man2/F_OFD_SETLK.2const.html
        """
        descriptor = self._open(b"lock")
        held.append(descriptor)
        for at, name in sorted([(_hash(name) >> 1, name) for name in wanted]):
            kind = fcntl.F_RDLCK if wanted[name] == fcntl.LOCK_SH else fcntl.F_WRLCK
            place = _FLOCK.pack(kind, os.SEEK_SET, at, 1, 0)
            if not fcntl_at_once(descriptor, fcntl.F_OFD_SETLK, place):
                fcntl.fcntl(descriptor, command, place)

    def _lock_files(self, wanted: Mapping[str, int], held: list[int]) -> None:
        slots: dict[int, int] = {}
        for name, kind in wanted.items():
            slot = _hash(name) % _SLOTS
            slots[slot] = fcntl.LOCK_EX if fcntl.LOCK_EX in {kind, slots.get(slot)} else kind
        for slot in sorted(slots):
            descriptor = self._open(b"lock.%d" % slot)
            held.append(descriptor)
            fcntl.flock(descriptor, slots[slot])

    def _open(self, name: bytes) -> int:
        try:
            return open_beneath(self._folder, name, _OPEN)
        except FileNotFoundError:
            return os.open(name, _OPEN | os.O_CREAT, 0o600, dir_fd=self._folder)


def _hash(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest(), "big")
