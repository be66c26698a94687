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


@contextmanager
def translated() -> Iterator[None]:
    """Turn an OSError into what a client is told; which file it was about stays in the log."""
    try:
        yield
    except OSError as error:
        kind = _ERRORS.get(error.errno or 0, ServiceUnavailable)
        cause = errno.errorcode.get(error.errno or 0, str(error.errno))
        log.warning(
            "local_disk_failed", extra={"cause": cause, "reason": os.strerror(error.errno or 0)}, exc_info=error
        )
        raise kind from error
