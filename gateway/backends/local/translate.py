"""What the operating system says, in S3's words."""

import errno
import logging
import os
from collections.abc import Mapping
from typing import Final

from gateway.errors import EntityTooLarge, KeyTooLongError, S3Error, ServiceUnavailable, SlowDown

log = logging.getLogger(__name__)

_ERRORS: Final[Mapping[int, type[S3Error]]] = {
    errno.EFBIG: EntityTooLarge,
    errno.ENAMETOOLONG: KeyTooLongError,
    errno.EMFILE: SlowDown,
    errno.ENFILE: SlowDown,
    errno.ENOMEM: SlowDown,
    errno.ENOLCK: SlowDown,
}

_PLAIN: Final = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EMFILE, errno.ENFILE}  # clear without more


def told(error: OSError) -> S3Error:
    """Return what a client is told of an OSError; which file it was about stays in the log."""
    number = error.errno or 0
    cause, is_plain = errno.errorcode.get(number, str(error.errno)), number in _PLAIN
    log.warning(
        "local_disk_failed",
        extra={"cause": cause, "reason": os.strerror(number)},
        exc_info=None if is_plain else error,
    )
    failure = _ERRORS.get(number, ServiceUnavailable)()
    failure.__cause__ = error
    return failure
