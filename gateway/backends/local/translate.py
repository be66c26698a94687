"""What the operating system says, in S3's words."""

import errno
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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


@contextmanager
def translated() -> Iterator[None]:
    """Turn an OSError into what a client is told; which file it was about stays in the log."""
    try:
        yield
    except OSError as error:
        kind = _ERRORS.get(error.errno or 0, ServiceUnavailable)
        cause = errno.errorcode.get(error.errno or 0, str(error.errno))
        is_plain = error.errno in _PLAIN
        log.warning(
            "local_disk_failed", extra={"cause": cause, "reason": os.strerror(error.errno or 0)}, exc_info=not is_plain
        )
        raise kind from error
