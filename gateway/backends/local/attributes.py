"""The extended attribute in which an object's metadata stands, where the file system has such a thing."""

import errno
import os
import sys
from typing import Final

NAME: Final = b"user.s3gateway"

_ABSENT: Final = {errno.ENODATA, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
_NO_ROOM: Final = {errno.ENOSPC, errno.E2BIG, errno.ERANGE, errno.EDQUOT}
_NO_SUPPORT: Final = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM, errno.EACCES}


def read(descriptor: int) -> bytes | None:
    """Return what is kept with an open file, None if there is nothing."""
    if sys.platform != "linux":
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
