"""Opening files beneath a folder so that no path leads out of it: openat2 of Linux, else step by step.

https://man7.org/linux/man-pages/man2/openat2.2.html
"""

import ctypes
import errno
import os
from functools import cache
from typing import Final

READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe must not make anybody wait
FOLDER: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_DIRECTORY

_OPENAT2: Final = 437  # the same on every architecture
_NO_MAGICLINKS: Final = 0x02
_NO_SYMLINKS: Final = 0x04
_BENEATH: Final = 0x08
_CACHED: Final = 0x20
_SAFE: Final = _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS
_MAY_WAIT: Final = {errno.EAGAIN, errno.EINVAL}  # the latter where _CACHED is not known: before Linux 5.12


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_libc: Final = ctypes.CDLL(None, use_errno=True)  # lets other threads run meanwhile
_libc_at_once: Final = ctypes.PyDLL(None, use_errno=True)  # for what cannot wait: no thread takes a turn in between
_close: Final = _libc_at_once.close
_fcntl: Final = _libc_at_once.fcntl
_fcntl.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_char_p)


def _syscall(library: ctypes.CDLL) -> "ctypes._NamedFuncPointer":
    function = library.syscall
    function.restype = ctypes.c_long
    function.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
    return function


_waiting: Final = _syscall(_libc)
_at_once: Final = _syscall(_libc_at_once)


@cache
def _how(flags: int, resolve: int) -> tuple[_How, int, int]:
    """Return the arguments of openat2, and how they are passed: by address and size."""
    how = _How(flags, 0, resolve)
    return how, ctypes.addressof(how), ctypes.sizeof(how)


def _openat2(function: "ctypes._NamedFuncPointer", root: int, path: bytes, flags: int, resolve: int) -> int:
    """Return a descriptor, or the number of an error below zero."""
    _, address, size = _how(flags, resolve)
    descriptor: int = function(_OPENAT2, root, path, address, size)
    return descriptor if descriptor >= 0 else -ctypes.get_errno()


def _opened(result: int) -> int:
    """Return the descriptor that `_openat2` returned. Raises: OSError, if it is none."""
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


@cache
def has_openat2() -> bool:
    """Say whether the kernel has openat2 and lets us call it (some sandboxes do not)."""
    root = os.open("/", FOLDER)
    try:
        os.close(_opened(_openat2(_waiting, root, b".", FOLDER, _SAFE)))
    except OSError:
        return False
    finally:
        os.close(root)
    return True


def open_beneath(root: int, path: bytes, flags: int) -> int:
    """Open an existing file or folder beneath the folder `root`; a symbolic link on the way is an ELOOP or ENOTDIR."""
    if not has_openat2():
        return _open_by_steps(root, path, flags)
    result = _openat2(_at_once, root, path, flags, _SAFE | _CACHED)
    if -result in _MAY_WAIT:
        result = _openat2(_waiting, root, path, flags, _SAFE)
    while result == -errno.EINTR:
        result = _openat2(_waiting, root, path, flags, _SAFE)
    return _opened(result)


def open_cached(root: int, path: bytes) -> int:
    """Open a file for reading as `open_beneath` does, if that needs no disk; else BlockingIOError."""
    if not has_openat2():
        raise BlockingIOError
    return _opened(_openat2(_at_once, root, path, READ, _SAFE | _CACHED))


def close_at_once(descriptor: int) -> None:
    """Close a folder or a lock: unlike the last close of a file that was deleted, that waits for nothing."""
    _close(descriptor)


def fcntl_at_once(descriptor: int, command: int, place: bytes) -> bool:
    """Set or free a lock as `fcntl.fcntl` does; False if that could not be done."""
    done: int = _fcntl(descriptor, command, place)
    return done == 0


def names_in(folder: int) -> list[str]:
    """Return the names of what lies in an open folder."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def _open_by_steps(root: int, path: bytes, flags: int) -> int:
    *folders, name = path.split(b"/")
    current = os.dup(root)
    try:
        for part in folders:
            following = _open_at(current, part, FOLDER)
            os.close(current)
            current = following
        return _open_at(current, name, flags)
    finally:
        os.close(current)


def _open_at(folder: int, name: bytes, flags: int) -> int:
    if name == b"..":
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    return os.open(name, flags, dir_fd=folder)
