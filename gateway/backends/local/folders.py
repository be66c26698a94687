"""What lies in a folder, in the order of keys; large folders are remembered for as long as they do not change.

The time of modification of a folder tells whether it changed since it was read. But the clocks of file systems tick
slowly: a folder that was changed within the tick in which it was read may change once more and show the same time.
So what was read is trusted later only if the folder had been at rest for a few ticks.
"""

import os
import threading
import time
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from gateway.backends.local.names import RESERVED, goes_on, piece
from gateway.backends.local.root import ABSENT, Root

REST_NS: Final = 50_000_000  # the slowest clock in use ticks every 10 ms
WORTH_KEEPING: Final = 64  # entries; a smaller folder is read as fast as it is found unchanged
_STRIPES: Final = 64


class Names(Sequence[bytes]):
    """Sorted names in little more memory than their bytes need."""

    __slots__ = ("_bytes", "_starts")

    def __init__(self, names: Sequence[bytes]) -> None:
        self._bytes = b"".join(names)
        self._starts = array("Q" if len(self._bytes) >> 32 else "I", accumulate(map(len, names), initial=0))

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, index: int) -> bytes:  # type: ignore[override]  # slices are asked for by nobody
        return self._bytes[self._starts[index] : self._starts[index + 1]]

    @property
    def size(self) -> int:
        """How many bytes of memory they take."""
        return len(self._bytes) + len(self._starts) * self._starts.itemsize


class Escaped(NamedTuple):
    """An entry whose name is not natural: what it adds to a key, and its name."""

    piece: bytes
    name: bytes


class Folder:
    """The entries of a folder by what they add to a key; of a folder that ends in a slash."""

    __slots__ = ("escaped", "inode", "lengths", "modified_ns", "natural", "rested")

    def __init__(self, natural: list[bytes], escaped: list[Escaped], stat: os.stat_result, started_ns: int) -> None:
        natural.sort()
        self.natural = Names(natural)
        self.escaped = sorted(escaped)
        self.lengths = {len(entry.piece) for entry in escaped if goes_on(entry.name)}
        self.inode, self.modified_ns = stat.st_ino, stat.st_mtime_ns
        self.rested = stat.st_mtime_ns + REST_NS < started_ns

    def __len__(self) -> int:
        return len(self.natural) + len(self.escaped)

    @property
    def size(self) -> int:
        """How many bytes of memory it takes, roughly."""
        return self.natural.size + sum(2 * len(entry.name) + 200 for entry in self.escaped)

    def is_as(self, stat: os.stat_result) -> bool:
        """Say whether the folder has surely not changed since it was read."""
        return self.rested and (self.inode, self.modified_ns) == (stat.st_ino, stat.st_mtime_ns)

    def natural_from(self, start: bytes) -> int:
        """Return where in `natural` keys from `start` on may be: a folder that `start` lies in counts."""
        index = bisect_left(self.natural, start)
        if index:
            before = self.natural[index - 1]
            if before.endswith(b"/") and start.startswith(before):
                return index - 1
        return index

    def escaped_from(self, start: bytes) -> Iterator[int]:
        """Return where in `escaped` keys from `start` on may be: single entries that `start` lies in, then the rest."""
        index = bisect_left(self.escaped, (start,))
        lengths = {*self.lengths, start.find(b"/") + 1}
        for length in lengths:
            inside = bisect_left(self.escaped, (start[:length],)) if 0 < length <= len(start) else index
            while inside < index and self.escaped[inside].piece == start[:length]:
                yield inside
                inside += 1
        yield index


class Folders:
    """The folders of a root, the large ones remembered within a budget of bytes."""

    def __init__(self, root: Root, budget: int) -> None:
        self._root = root
        self._budget = budget
        self._size = 0
        self._kept: OrderedDict[bytes, Folder] = OrderedDict()
        self._lock = threading.Lock()
        self._reading = [threading.Lock() for _ in range(_STRIPES)]  # so that a large folder is read by one thread

    def read(self, path: bytes) -> Folder | None:
        """Return what lies in a folder now, None if there is no such folder."""
        with self._reading[hash(path) % _STRIPES]:
            try:
                with self._root.folder(path) as descriptor:
                    started_ns, stat = time.time_ns(), os.fstat(descriptor)
                    kept = self._recall(path)
                    if kept and kept.is_as(stat):
                        return kept
                    folder = _scan(descriptor, stat, started_ns)
            except OSError as error:
                if error.errno not in ABSENT:
                    raise
                return None
            self._keep(path, folder)
            return folder

    def _recall(self, path: bytes) -> Folder | None:
        with self._lock:
            if path in self._kept:
                self._kept.move_to_end(path)
            return self._kept.get(path)

    def _keep(self, path: bytes, folder: Folder) -> None:
        with self._lock:
            old = self._kept.pop(path, None)
            self._size -= old.size if old else 0
            if folder.rested and len(folder) >= WORTH_KEEPING and folder.size <= self._budget:
                self._kept[path] = folder
                self._size += folder.size
            while self._size > self._budget:
                _, oldest = self._kept.popitem(last=False)
                self._size -= oldest.size


def _scan(descriptor: int, stat: os.stat_result, started_ns: int) -> Folder:
    natural: list[bytes] = []
    escaped: list[Escaped] = []
    with os.scandir(descriptor) as entries:
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            if not is_folder and not entry.is_file(follow_symlinks=False):
                continue
            name = os.fsencode(entry.name)
            added = piece(name, is_folder=is_folder)
            if added is None:
                continue
            if name.startswith(RESERVED):
                escaped.append(Escaped(added, name))
            else:
                natural.append(added)
    return Folder(natural, escaped, stat, started_ns)
