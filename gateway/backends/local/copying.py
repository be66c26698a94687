"""Copying the bytes of an object: in the kernel, or through here where they have to be hashed."""

import errno
import os
import re
from collections.abc import Generator, Iterator
from typing import Final

from gateway.backends.assembly import span
from gateway.backends.local.finding import find
from gateway.backends.local.root import Root
from gateway.backends.local.scratch import Temp
from gateway.checksums import MD5, Checksum, Digest
from gateway.errors import PreconditionFailed, ServiceUnavailable
from gateway.storage import PIECE, Address, ObjectInfo, ReadOptions

STEP: Final = 64 * 1024 * 1024  # how much is copied before somebody can change his mind
_HASHED_STEP: Final = 16 * PIECE
_CANNOT: Final = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EPERM}
_MD5: Final = re.compile(r"[0-9a-f]{32}")


class Copy:
    """The bytes of an object on their way into a temporary file, and what is known of them in the end."""

    def __init__(self, root: Root, algorithm: str) -> None:
        self.temp = Temp(root.scratch)
        self.size = 0
        self._root, self._algorithm = root, algorithm
        self._digest = Digest()
        self._source = -1
        self._start = self._stop = 0
        self._info: ObjectInfo

    def begin(self, source: Address, options: ReadOptions, etag: str) -> None:
        """Open both files. Raises: NoSuchKey, InvalidRange, PreconditionFailed (another version by now)."""
        found = find(self._root, source)
        self._source, self._info = found.descriptor, found.info
        if found.info.etag != etag:
            raise PreconditionFailed
        self._start, self._stop = span(found.info.size, (), options)
        self.size = self._stop - self._start
        if not self._is_known():
            self._digest.want(MD5)
            self._digest.want(self._algorithm)
        self.temp.open()

    def steps(self) -> Generator[None, None, None]:
        """Copy, in steps that take no longer than a thread may be busy."""
        digest = self._digest if self._digest.algorithms else None
        for _ in copied(self._source, self.temp, range(self._start, self._stop), digest):
            yield

    @property
    def etag(self) -> str:
        """The ETag of what was copied: its MD5."""
        return self._digest[MD5].hex() if self._digest.algorithms else self._info.etag

    @property
    def checksum(self) -> Checksum | None:
        """The checksum of what was copied."""
        return self._digest.checksum(self._algorithm) if self._digest.algorithms else self._info.checksum

    def discard(self) -> None:
        """Close both files."""
        self.temp.discard()
        if self._source >= 0:
            os.close(self._source)
            self._source = -1

    def _is_known(self) -> bool:
        """Say whether the whole is copied and both its MD5 and the wanted checksum are known."""
        known, checksum = self._info, self._info.checksum
        is_checked = checksum is not None and (checksum.algorithm, checksum.composite) == (self._algorithm, False)
        return is_checked and self.size == known.size and _MD5.fullmatch(known.etag) is not None


def copied(source: int, temp: Temp, span: range, digest: Digest | None = None) -> Iterator[int]:
    """Copy bytes of an open file, some at each step; yield how many. With a `digest` they pass through it."""
    at = span.start
    while at < span.stop and digest is None:
        try:
            count = os.copy_file_range(source, temp.descriptor, min(STEP, span.stop - at), at)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            break
        if not count:
            raise ServiceUnavailable  # somebody cut the file meanwhile
        at += count
        yield count
    while at < span.stop:
        count = _through_here(source, temp, range(at, min(at + _HASHED_STEP, span.stop)), digest)
        at += count
        yield count


def _through_here(source: int, temp: Temp, span: range, digest: Digest | None) -> int:
    for at in range(span.start, span.stop, PIECE):
        size = min(PIECE, span.stop - at)
        piece = os.pread(source, size, at)
        if len(piece) != size:
            raise ServiceUnavailable
        if digest:
            digest.update(piece)
        temp.write(piece)
    return len(span)
