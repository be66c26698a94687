"""Syncs of folders, shared: what is done while one is under way needs one more, however many have done something."""

import errno
import os
from threading import Lock
from typing import Final

_STRIPES: Final = 64


class Syncs:
    """Who asks for a sync of a folder gets one that begins after that: the same for all who wait for it to begin."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._next: dict[tuple[int, int], _Turn] = {}
        self._busy = [Lock() for _ in range(_STRIPES)]  # so that a folder is synced by one thread

    def sync(self, folder: int) -> None:
        """Have what was done to an open folder outlast a power cut. Raises: OSError, to all who share it."""
        stat = os.fstat(folder)
        which = stat.st_dev, stat.st_ino
        with self._lock:
            turn = self._next.setdefault(which, _Turn())
            turn.shared_by += 1
            is_first = turn.shared_by == 1
        if is_first:
            self._take(turn, which, folder)
        else:
            turn.wait()

    def _take(self, turn: "_Turn", which: tuple[int, int], folder: int) -> None:
        try:
            with self._busy[hash(which) % _STRIPES]:
                with self._lock:
                    del self._next[which]  # who comes now may have done something that this one misses
                os.fsync(folder)
            turn.failure = 0
        except OSError as error:
            turn.failure = error.errno or errno.EIO
            raise
        finally:
            turn.under_way.release()


class _Turn:
    """A sync that is to come, made by the first who asks for it."""

    __slots__ = ("failure", "shared_by", "under_way")

    def __init__(self) -> None:
        self.shared_by = 0
        self.failure = errno.EIO  # until it is known that it went well
        self.under_way = Lock()
        self.under_way.acquire()

    def wait(self) -> None:
        """Return when it is over. Raises: OSError, as whoever made it was told."""
        with self.under_way:
            pass
        if self.failure:
            raise OSError(self.failure, os.strerror(self.failure))
