"""Large folders, remembered for as long as they do not change or it is known what changed in them.

The kernel tells which names changed (`watching`). Where it does not, the time of modification of a folder tells whether
it changed since it was read. But the clocks of file systems tick slowly: a folder that was changed within the tick in
which it was read may change once more and show the same time. So that is trusted only of a folder that had been at rest
for a few ticks.
"""

import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

from gateway.backends.local.contents import Contents, has_more_than
from gateway.backends.local.contents import read as read_contents
from gateway.backends.local.root import ABSENT, Root
from gateway.backends.local.watching import Watches

REST_NS: Final = 50_000_000  # the slowest clock in use ticks every 10 ms
WORTH_KEEPING: Final = 64  # entries; a smaller folder is read as fast as it is found unchanged
WORTH_WATCHING: Final = 2048  # entries; a watch takes a kilobyte of the kernel's memory
MOST_CHANGES: Final = 20_000  # looking at so many names costs no less than reading the folder
_STRIPES: Final = 64


@dataclass(slots=True)
class Kept:
    """A folder that is remembered, as it was at a time."""

    contents: Contents
    inode: int
    modified_ns: int
    rested: bool
    watch: int | None

    def is_as(self, stat: os.stat_result) -> bool:
        """Say whether the folder looks as it did."""
        return (self.inode, self.modified_ns) == (stat.st_ino, stat.st_mtime_ns)


class Folders:
    """The folders of a root, the large ones remembered within a budget of bytes."""

    def __init__(self, root: Root, budget: int) -> None:
        self._root = root
        self._budget = budget
        self._size = 0
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self._watches = Watches()
        self._changed: dict[int, set[bytes] | None] = {}  # names by watch; None: too many, or not known
        self._lock = threading.Lock()
        self._reading = [threading.Lock() for _ in range(_STRIPES)]  # so that a large folder is read by one thread

    def close(self) -> None:
        """Watch nothing any more."""
        self._watches.close()

    def read(self, path: bytes) -> Contents | None:
        """Return what lies in a folder now, None if there is no such folder."""
        with self._reading[hash(path) % _STRIPES]:
            try:
                with self._root.folder(path) as folder:
                    contents = self._renewed(path, folder)
                    return self._read(path, folder) if contents is None else contents
            except OSError as error:
                if error.errno not in ABSENT:
                    raise
                self._keep(path, None)
                return None

    def _renewed(self, path: bytes, folder: int) -> Contents | None:
        """Return what is remembered, if it is as it was or it is known what changed."""
        kept = self._recall(path)
        if kept is None or kept.watch is None:
            return kept.contents if kept and kept.rested and kept.is_as(os.fstat(folder)) else None
        for _ in range(2):  # a change may be seen a moment before it is told
            names, stat = self._take_changes(kept.watch), os.fstat(folder)
            if names is None or stat.st_ino != kept.inode:
                return None
            if names:
                return self._change(path, kept, folder, names)
            if kept.is_as(stat):
                return kept.contents
        return None

    def _change(self, path: bytes, kept: Kept, folder: int, names: set[bytes]) -> Contents:
        try:
            contents, stat = kept.contents.changed(folder, names), os.fstat(folder)
        except BaseException:
            self._keep(path, None)  # what changed was taken, and is not known any more
            raise
        self._keep(path, replace(kept, contents=contents, modified_ns=stat.st_mtime_ns))
        return contents

    def _read(self, path: bytes, folder: int) -> Contents:
        self._keep(path, None)
        watch = self._watch(folder) if has_more_than(folder, WORTH_WATCHING) else None
        try:
            started_ns, stat = time.time_ns(), os.fstat(folder)
            contents = read_contents(folder)
        except BaseException:
            with self._lock:
                self._unwatch(watch)
            raise
        rested = stat.st_mtime_ns + REST_NS < started_ns
        self._keep(path, Kept(contents, stat.st_ino, stat.st_mtime_ns, rested, watch))
        return contents

    # --- what is remembered ---

    def _recall(self, path: bytes) -> Kept | None:
        with self._lock:
            if path in self._kept:
                self._kept.move_to_end(path)
            return self._kept.get(path)

    def _keep(self, path: bytes, kept: Kept | None) -> None:
        """Remember a folder in place of what is remembered of it, if it is worth it and there is room."""
        with self._lock:
            old = self._kept.pop(path, None)
            if old:
                self._forget(old, None if kept and kept.watch == old.watch else old.watch)
            if kept and self._is_worth_keeping(kept):
                self._kept[path] = kept
                self._size += kept.contents.size
            elif kept:
                self._unwatch(kept.watch)
            while self._size > self._budget:
                _, oldest = self._kept.popitem(last=False)
                self._forget(oldest, oldest.watch)

    def _is_worth_keeping(self, kept: Kept) -> bool:
        can_be_trusted = kept.rested or kept.watch is not None
        return can_be_trusted and len(kept.contents) >= WORTH_KEEPING and kept.contents.size <= self._budget

    def _forget(self, kept: Kept, watch: int | None) -> None:
        self._size -= kept.contents.size
        self._unwatch(watch)

    # --- what has changed ---

    def _watch(self, folder: int) -> int | None:
        with self._lock:
            watch = self._watches.add(folder)
            if watch is None or watch in self._changed:
                return None  # in the latter case it is remembered by another path, which needs to be told
            self._changed[watch] = set()
            return watch

    def _unwatch(self, watch: int | None) -> None:
        if watch is not None and self._changed.pop(watch, self) is not self:
            self._watches.remove(watch)

    def _take_changes(self, watch: int) -> set[bytes] | None:
        """Return the names that changed in a folder since it was asked the last time, None if that is not known."""
        with self._lock:
            for change in self._watches.changes():
                for told in self._changed if change.watch is None else {change.watch} & self._changed.keys():
                    self._changed[told] = self._with(self._changed[told], change.name)
            names = self._changed.get(watch)
            if names:
                self._changed[watch] = set()
            return names

    def _with(self, names: set[bytes] | None, name: bytes) -> set[bytes] | None:
        if names is None or not name or len(names) >= MOST_CHANGES:
            return None
        names.add(name)
        return names
