"""What a worker serves, and where it learns that it is to serve something else."""

import mmap
import pickle
import zlib
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final, Protocol

import structlog

from gateway import metrics

APPLIED, INVALID, FIXED, FAILED = "applied", "invalid", "restart_needed", "failed"
RESULTS: Final = (APPLIED, INVALID, FIXED, FAILED)
ROOM: Final = 8 * 1024 * 1024  # bytes; of a page nobody has written to, there is none

_HEAD: Final = Struct("<QQI")  # number, length and checksum of what is posted

log = structlog.get_logger()


def begin_reloads() -> None:
    """Note that what was there at the start is in force."""
    for result in RESULTS:
        metrics.RELOADS.labels(result)
    metrics.RELOADED.set(1)


def note_reload(result: str) -> None:
    """Note what became of settings that were looked at."""
    metrics.RELOADS.labels(result).inc()
    metrics.RELOADED.set(result == APPLIED)


class Source(Protocol):
    """Where settings come from."""

    @property
    def current(self) -> Any:
        """The settings to serve by."""

    def look(self, *, asked: bool = False) -> bool:
        """Look whether there are others, and say whether `current` is to be taken. It may take a while.

        `asked` is whether somebody said so: then even those that have not changed are to be taken.
        """


@dataclass(frozen=True, slots=True)
class Unchanging:
    """A source that has said all."""

    current: Any

    def look(self, *, asked: bool = False) -> bool:
        """Take what is there, for who asks."""
        return asked


class Relay:
    """Passes what the parent learns on to its children, through memory that they share.

    So there is one who decides, all children get the same, and one that is started again gets it, too.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._taken, self.current = 0, source.current
        self._cells = mmap.mmap(-1, 2 * ROOM)
        self._head = mmap.mmap(-1, _HEAD.size)

    def post(self, asked: bool) -> bool:  # noqa: FBT001  it is passed on
        """Look, as the parent, and say whether there is something that the children are to be told of."""
        if not self._source.look(asked=asked):
            return False
        content = pickle.dumps(self._source.current)
        if len(content) > ROOM:
            log.error("config_refused", problem="too large", bytes=len(content))
            note_reload(FAILED)
            return False
        number = self._taken + 1
        start = number % 2 * ROOM  # what was posted before may be being read
        self._cells[start : start + len(content)] = content
        self._head[:] = _HEAD.pack(number, len(content), zlib.crc32(content))
        self._taken, self.current = number, self._source.current  # for children that are yet to be born
        return True

    def look(self, *, asked: bool = False) -> bool:  # noqa: ARG002  the parent decides what is to be taken
        """Take, as a child, what was posted since the last look."""
        number, length, checksum = _HEAD.unpack(self._head[:])
        if number == self._taken:
            return False
        start = number % 2 * ROOM
        content = self._cells[start : start + length]
        if zlib.crc32(content) != checksum:  # it is being written: at the next look, then
            return False
        self._taken, self.current = number, pickle.loads(content)  # noqa: S301  the parent's own memory
        return True
