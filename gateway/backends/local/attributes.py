"""The extended attribute in which an object's metadata stands, where the file system has such a thing."""

import ctypes
import errno
import os
import sys
import threading
from typing import Final

NAME: Final = b"user.s3gateway"

_ABSENT: Final = {errno.ENODATA, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
_NO_ROOM: Final = {errno.ENOSPC, errno.E2BIG, errno.ERANGE, errno.EDQUOT}
_NO_SUPPORT: Final = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM, errno.EACCES}
_ROOM: Final = 1024  # bytes; most records are shorter


class _Buffer(threading.local):
    """Where one thread's records are read to."""

    def __init__(self) -> None:
        self.bytes = ctypes.create_string_buffer(_ROOM)
        self.address = ctypes.addressof(self.bytes)


_buffer: Final = _Buffer()
if sys.platform == "linux":
    _fgetxattr = ctypes.CDLL(None, use_errno=True).fgetxattr
    _fgetxattr.restype = ctypes.c_ssize_t
    _fgetxattr.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)


def read(descriptor: int) -> bytes | None:
    """Return what is kept with an open file, None if there is nothing.

    Python's own function asks for 128 bytes and then, for a longer record, for 64 KiB: half as fast.
    """
    if sys.platform != "linux":
        return None
    size = _fgetxattr(descriptor, NAME, _buffer.address, _ROOM)
    if size >= 0:
        return _buffer.bytes.raw[:size]
    if ctypes.get_errno() == errno.ENODATA:
        return None
    try:
        return os.getxattr(descriptor, NAME)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise


def write(descriptor: int, value: bytes) -> bool:
    """Keep something with an open file, at once and whole; False if it has no place for that."""
    if sys.platform != "linux":
        return False
    try:
        os.setxattr(descriptor, NAME, value)
    except OSError as error:
        if error.errno in _NO_ROOM | _NO_SUPPORT:
            return False
        raise
    return True


def remove(descriptor: int) -> None:
    """Forget what is kept with an open file."""
    if sys.platform == "linux" and read(descriptor) is not None:
        os.removexattr(descriptor, NAME)
