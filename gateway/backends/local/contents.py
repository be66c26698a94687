"""The entries of a folder by what they add to a key, sorted and in little memory."""

import os
import stat as modes
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple, Self

from gateway.backends.local.names import LONGEST_NAME, RESERVED, goes_on, piece

_READINGS: Final = 3  # of a folder that changes while it is read
_CHUNK: Final = 512  # names that are looked at together
_OVERHEAD: Final = 160  # bytes for each chunk of them


class Part(NamedTuple):
    """Some names that follow each other."""

    first: bytes
    joined: bytes

    @property
    def names(self) -> Sequence[bytes]:
        """The names one by one."""
        return self.joined.split(b"\0")


class Names:
    """Sorted names without a NUL in them. They never change: what is made of them shares most of their memory.

    `size` is how many bytes of it they take, roughly.
    """

    __slots__ = ("_firsts", "_length", "_parts", "size")

    def __init__(self, parts: Iterable[Part], length: int) -> None:
        self._parts = list(parts)
        self._firsts = [part.first for part in self._parts]
        self._length = length
        self.size = sum(map(len, self._firsts)) + sum(len(part.joined) + _OVERHEAD for part in self._parts)

    @classmethod
    def of(cls, names: Iterable[bytes]) -> Self:
        """Return names in order."""
        ordered = sorted(names)
        return cls(_cut(ordered), len(ordered))

    def __len__(self) -> int:
        return self._length

    def start_at(self, start: bytes) -> Iterator[bytes]:
        """Yield the names from `start` on, that one included."""
        first = self._place(start)
        for index in range(first, len(self._parts)):
            names = self._parts[index].names
            yield from names[bisect_left(names, start) :] if index == first else names

    def changed(self, removed: Iterable[bytes], added: Iterable[bytes]) -> Self:
        """Return the names without some, and then with others."""
        touched: dict[int, tuple[set[bytes], set[bytes]]] = defaultdict(lambda: (set(), set()))
        for which, names in enumerate((removed, added)):
            for name in names:
                touched[self._place(name)][which].add(name)
        parts, length = self._parts.copy(), self._length
        for index in sorted(touched, reverse=True):  # from the end, so that places before it hold good
            before = parts[index].names if parts else []
            after = sorted((set(before) - touched[index][0]) | touched[index][1])
            parts[index : index + 1] = _cut(after)
            length += len(after) - len(before)
        return type(self)(parts, length)

    def _place(self, name: bytes) -> int:
        return max(bisect_right(self._firsts, name) - 1, 0)


def _cut(ordered: Sequence[bytes]) -> Iterator[Part]:
    """Cut names into parts that have room to grow; few enough stay in one."""
    step = _CHUNK if len(ordered) > 2 * _CHUNK else max(len(ordered), 1)
    for start in range(0, len(ordered), step):
        yield Part(ordered[start], b"\0".join(ordered[start : start + step]))


class Escaped(NamedTuple):
    """An entry whose name is not natural: what it adds to a key, and its name."""

    piece: bytes
    name: bytes


class Contents:
    """What lies in a folder. A folder in it ends in a slash. It never changes: a change makes another.

    `size` is how many bytes of memory it takes, roughly.
    """

    __slots__ = ("_lengths", "escaped", "natural", "size")

    def __init__(self, natural: Names, escaped: Iterable[Escaped]) -> None:
        self.natural = natural
        self.escaped = sorted(escaped)
        self.size = natural.size + sum(2 * len(entry.name) + 200 for entry in self.escaped)
        self._lengths = {len(entry.piece) for entry in self.escaped if goes_on(entry.name)}

    def __len__(self) -> int:
        return len(self.natural) + len(self.escaped)

    def natural_from(self, start: bytes) -> Iterator[bytes]:
        """Yield what is natural and may hold keys from `start` on: a folder in which `start` lies counts."""
        above, slash, _ = start.partition(b"/")
        return self.natural.start_at(above + slash)

    def escaped_from(self, start: bytes) -> Iterator[Sequence[Escaped]]:
        """Yield what is escaped and may hold keys from `start` on, in runs that are sorted."""
        index = bisect_left(self.escaped, (start,))
        for length in {*self._lengths, start.find(b"/") + 1}:
            if 0 < length <= len(start):
                above = bisect_left(self.escaped, (start[:length],))
                yield [entry for entry in self.escaped[above:index] if entry.piece == start[:length]]
        yield self.escaped[index:]

    def changed(self, folder: int, names: Iterable[bytes]) -> "Contents":
        """Return what lies in the open folder if no more than these names changed in it."""
        known = set(names)
        natural: list[bytes] = []
        escaped = [entry for entry in self.escaped if entry.name not in known]
        for name in known:
            _sort_in(name, _kind(folder, name), natural, escaped)
        removed = (form for name in known for form in (name, name + b"/"))
        return Contents(self.natural.changed(removed, natural), escaped)


def read(folder: int) -> Contents:
    """Return what lies in an open folder.

    An object that is replaced moves within its folder on some file systems (btrfs, tmpfs), one that is set aside on
    any: a scan may have passed its new place and not yet come to its old one. So a folder that changes meanwhile is
    read again, and what any reading showed counts: who lists looks at each entry, and finds out what is gone.
    """
    natural, escaped, at = _scan(folder)
    for _ in range(_READINGS - 1):
        if os.fstat(folder).st_mtime_ns == at:
            break
        more, aside, at = _scan(folder)
        natural, escaped = list({*natural, *more}), list({*escaped, *aside})
    return Contents(Names.of(natural), escaped)


def _scan(folder: int) -> tuple[list[bytes], list[Escaped], int]:
    """Return what is natural and what is escaped, and when the folder had been modified before it was read."""
    natural: list[bytes] = []
    escaped: list[Escaped] = []
    modified_ns = os.fstat(folder).st_mtime_ns
    with os.scandir(folder) as entries:
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            kind = modes.S_IFDIR if is_folder else modes.S_IFREG if entry.is_file(follow_symlinks=False) else 0
            _sort_in(os.fsencode(entry.name), kind, natural, escaped)
    return natural, escaped, modified_ns


def has_more_than(folder: int, count: int) -> bool:
    """Say whether there are more than `count` entries in an open folder, at no more cost than looking at as many."""
    with os.scandir(folder) as entries:
        return next(islice(entries, count, None), None) is not None


def _sort_in(name: bytes, kind: int, natural: list[bytes], escaped: list[Escaped]) -> None:
    if kind not in {modes.S_IFDIR, modes.S_IFREG}:
        return
    is_folder = kind == modes.S_IFDIR
    if name.isascii() and len(name) <= LONGEST_NAME and not name.startswith(RESERVED):  # all that `piece` would see
        natural.append(name + b"/" if is_folder else name)
        return
    added = piece(name, is_folder=is_folder)
    if added is None:
        return
    if name.startswith(RESERVED):
        escaped.append(Escaped(added, name))
    else:
        natural.append(added)


def _kind(folder: int, name: bytes) -> int:
    try:
        return modes.S_IFMT(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return 0
