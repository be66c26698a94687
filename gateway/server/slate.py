"""A document in memory that processes share: one writes it, all read it, and whoever reads gets it whole."""

import json
import mmap
import zlib
from struct import Struct
from typing import Any, Final

import structlog

ROOM: Final = 1024 * 1024  # bytes; of a page nobody has written to, there is none
_HEAD: Final = Struct("<QII")  # number, length and checksum of the last that was written

log = structlog.get_logger()


class Slate:
    """Made before the processes are forked that share it."""

    def __init__(self) -> None:
        self._cells = mmap.mmap(-1, _HEAD.size + 2 * ROOM)

    def write(self, document: Any) -> None:
        """Replace what is there; what is too large is left out, and what was there before stays."""
        content = json.dumps(document).encode()
        if len(content) > ROOM:
            log.error("status_too_large", bytes=len(content))
            return
        number = self._head[0] + 1
        start = _start(number)  # what was written before may be being read
        self._cells[start : start + len(content)] = content
        self._cells[: _HEAD.size] = _HEAD.pack(number, len(content), zlib.crc32(content))

    def read(self) -> Any:
        """Return what was written last, None if nothing was, or if it changes faster than it can be read."""
        number, length, checksum = self._head
        start = _start(number)
        content = self._cells[start : start + length]
        return json.loads(content) if content and zlib.crc32(content) == checksum else None

    @property
    def _head(self) -> tuple[int, int, int]:
        number, length, checksum = _HEAD.unpack(self._cells[: _HEAD.size])
        return number, length, checksum


def _start(number: int) -> int:
    return _HEAD.size + number % 2 * ROOM
