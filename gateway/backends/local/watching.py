"""What changes in a folder, told by the kernel: inotify of Linux, where there is such a thing.

https://man7.org/linux/man-pages/man7/inotify.7.html
"""

import ctypes
import os
import struct
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

_CREATE: Final = 0x100
_DELETE: Final = 0x200
_MOVED_FROM: Final = 0x40
_MOVED_TO: Final = 0x80
_ONLY_FOLDERS: Final = 0x0100_0000
_OVERFLOW: Final = 0x4000
_IGNORED: Final = 0x8000
_WANTED: Final = _CREATE | _DELETE | _MOVED_FROM | _MOVED_TO | _ONLY_FOLDERS
_HEADER: Final = struct.Struct("iIII")  # watch, what happened, cookie, length of the name
_AT_ONCE: Final = 256 * 1024  # bytes of events


class Change(NamedTuple):
    """An entry of a watched folder that may be another now. Without a name: anything may have changed.

    `watch` is that of the folder, None for all of them.
    """

    watch: int | None
    name: bytes = b""


class Watches:
    """Watched folders. A change is told to whoever looks after the call that made it has returned."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)
        self._descriptor = -1

    def add(self, folder: int) -> int | None:
        """Watch an open folder; None where that cannot be. A folder that is watched already keeps its watch."""
        if self._descriptor < 0 and sys.platform == "linux":
            self._descriptor = self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            return None
        watch: int = self._library.inotify_add_watch(self._descriptor, b"/proc/self/fd/%d" % folder, _WANTED)
        return watch if watch >= 0 else None

    def remove(self, watch: int) -> None:
        """Watch a folder no longer."""
        self._library.inotify_rm_watch(self._descriptor, watch)

    def changes(self) -> Iterator[Change]:
        """Yield what has changed since it was asked the last time."""
        while self._descriptor >= 0:
            try:
                events = os.read(self._descriptor, _AT_ONCE)
            except BlockingIOError:
                return
            yield from _parsed(events)

    def close(self) -> None:
        """Watch nothing any more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _parsed(events: bytes) -> Iterator[Change]:
    at = 0
    while at < len(events):
        watch, happened, _, length = _HEADER.unpack_from(events, at)
        at += _HEADER.size
        if happened & _OVERFLOW:
            yield Change(None)
        else:
            yield Change(watch, b"" if happened & _IGNORED else events[at : at + length].rstrip(b"\0"))
        at += length
