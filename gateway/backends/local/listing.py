"""Pages of a listing, at the cost of the page: folders are walked in the order of keys, from where the page begins."""

import heapq
import os
import stat as modes
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Final, NamedTuple, Self

from gateway.backends.assembly import behind, fold
from gateway.backends.local import attributes, records, sidecars
from gateway.backends.local.contents import Contents, Escaped
from gateway.backends.local.finding import seek
from gateway.backends.local.folders import Folders
from gateway.backends.local.kernel import FOLDER, READ, close_at_once
from gateway.backends.local.names import LONGEST_KEY, goes_on, is_continued, piece, place
from gateway.backends.local.names import folder as folder_of
from gateway.backends.local.root import ABSENT, Root
from gateway.storage import Address, ListPage, ListQuery, ObjectInfo

_GLANCE: Final = 8  # entries of a folder that are looked at to see whether there is an object in it


def list_objects(root: Root, folders: Folders, bucket: str, query: ListQuery) -> ListPage:
    """Return a page of objects and common prefixes. Raises: NoSuchBucket.

    Where nothing stands beside any object of the bucket, nobody has to look for it once for each: it is enough that
    it is so when the last of them was looked at, and that the bucket is the same.
    """
    with root.opened_bucket(bucket) as opened:
        if not sidecars.are_there(root, bucket):
            page = _page(Walk(root, folders, bucket, query, looks_beside=False))
            if not sidecars.are_there(root, bucket) and _is_still(root, bucket, opened):
                return page
    return _page(Walk(root, folders, bucket, query))


def _page(walk: "Walk") -> ListPage:
    with walk:
        page = fold(walk.seek, walk.query)
    return ListPage([walk.found[key] for key in page.keys], page.prefixes, page.last)


def _is_still(root: Root, bucket: str, opened: int) -> bool:
    """Say whether the bucket is the one whose folder was opened."""
    with root.opened_bucket(bucket) as now:
        return os.path.samestat(os.fstat(now), os.fstat(opened))


class Entry(NamedTuple):
    """A file or folder on the way: the least key that it can stand for, the folder that it is in, and its name."""

    key: bytes
    folder: bytes
    name: bytes
    is_folder: bool

    @property
    def path(self) -> bytes:
        """The path from the root."""
        return b"%b/%b" % (self.folder, self.name)


class Merge:
    """Runs of ordered entries as one; more may be added on the way if they begin no earlier than it has come."""

    def __init__(self, runs: Iterable[Iterator[Entry]]) -> None:
        self._heap: list[tuple[bytes, int, Entry, Iterator[Entry]]] = []
        self._ranks = count()  # of two entries with one key, that of the earlier run comes first
        self.add(runs)

    def add(self, runs: Iterable[Iterator[Entry]]) -> None:
        """Merge further runs."""
        for run in runs:
            entry = next(run, None)
            if entry:
                heapq.heappush(self._heap, (entry.key, next(self._ranks), entry, run))

    def __iter__(self) -> Iterator[Entry]:
        while self._heap:
            _, rank, entry, run = self._heap[0]
            following = next(run, None)
            if following:
                heapq.heapreplace(self._heap, (following.key, rank, following, run))
            else:
                heapq.heappop(self._heap)
            yield entry


class Walk:
    """The keys of a bucket in order, as one page needs them: each folder is looked at once."""

    def __init__(
        self, root: Root, folders: Folders, bucket: str, query: ListQuery, *, looks_beside: bool = True
    ) -> None:
        self.found: dict[str, ObjectInfo] = {}
        self.query = query
        self._root, self._folders, self._bucket = root, folders, bucket
        self._looks_beside = looks_beside
        self._prefix = _encoded(query.prefix)
        self._delimiter = _encoded(query.delimiter)
        self._seen: dict[bytes, Contents | None] = {}
        self._open: tuple[bytes, int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._open:
            close_at_once(self._open[1])

    def seek(self, start: str) -> Iterator[str]:
        """Yield the keys from `start` on; of keys that fold into one common prefix maybe only one, and any."""
        if self.query.after and start.startswith(self.query.after) and self._is_common(self.query.after):
            start = behind(self.query.after) or chr(0x10FFFF) * LONGEST_KEY
        bound, last = _encoded(start), b""
        for entry in self._entries(bound):
            if entry.key != last and entry.key >= bound and self._is_object(entry):
                last = entry.key
                yield last.decode()

    def _is_common(self, key: str) -> bool:
        """Say whether a key is a common prefix, so that nothing that begins with it is wanted after it."""
        delimiter, prefix = self.query.delimiter, self.query.prefix
        found = key.find(delimiter, len(prefix)) if delimiter and key.startswith(prefix) else -1
        return found >= 0 and found + len(delimiter) == len(key)

    def _entries(self, bound: bytes) -> Iterator[Entry]:
        """Yield files by key, merged from the folders that keys from `bound` on may lie in."""
        merge = Merge(self._runs(*self._base(), bound))
        for entry in merge:
            if entry.key > self._prefix and not entry.key.startswith(self._prefix):
                return
            if not entry.is_folder:
                yield entry
                continue
            sample = self._sample(entry) if self._folds(entry.key) and bound <= entry.key else entry
            if sample is entry:
                merge.add(self._runs(entry.path, entry.key, bound))
            elif sample:
                yield sample

    def _base(self) -> tuple[bytes, bytes]:
        """Return the innermost folder that everything with the prefix lies in, and what its keys begin with."""
        above, slash, _ = self._prefix.rpartition(b"/")
        bucket = self._bucket.encode()
        return (b"%b/%b" % (bucket, folder_of(above)), above + slash) if slash else (bucket, b"")

    def _runs(self, path: bytes, prefix: bytes, bound: bytes) -> Iterator[Iterator[Entry]]:
        """Yield the entries of a folder in which keys from `bound` on may be, in runs that are ordered."""
        if prefix < bound and not bound.startswith(prefix):
            return
        if path not in self._seen:
            self._seen[path] = self._folders.read(path)
        contents = self._seen[path]
        if contents is None:
            return
        start = bound[len(prefix) :] if bound > prefix else b""
        yield _natural(contents.natural_from(start), path, prefix)
        if contents.escaped:
            for run in contents.escaped_from(start):
                yield _escaped(run, path, prefix)

    def _folds(self, key: bytes) -> bool:
        """Say whether all that begins with `key` folds into one common prefix."""
        return bool(self._delimiter and key.startswith(self._prefix) and self._delimiter in key[len(self._prefix) :])

    def _sample(self, entry: Entry) -> Entry | None:
        """Return some file in a folder, None if there is none, or `entry` itself where a glance does not tell."""
        waiting, is_sure = [entry], True
        while waiting:
            for found in self._glance(waiting.pop()):
                if found is None:
                    is_sure = False
                elif found.is_folder:
                    waiting.append(found)
                elif self._is_object(found):
                    return found
        return None if is_sure else entry

    def _glance(self, folder: Entry) -> Iterator[Entry | None]:
        """Yield some entries of a folder, as they come; None stands for the rest, and for what may have moved."""
        try:
            with self._root.folder(folder.path) as opened, os.scandir(opened) as entries:
                modified_ns = os.fstat(opened).st_mtime_ns
                for number, entry in enumerate(_entries_of(folder, entries)):
                    yield entry if number < _GLANCE else None
                    if number == _GLANCE:
                        return
                if os.fstat(opened).st_mtime_ns != modified_ns:
                    yield None
        except OSError as error:
            if error.errno not in ABSENT:  # it is gone, or something else by now
                raise

    def _is_object(self, entry: Entry) -> bool:
        """Look at a file; what is known of it is `found` then."""
        key = entry.key.decode()
        if key in self.found:
            return True
        if len(entry.key) > LONGEST_KEY or not self._is_ours(entry, key):
            return False
        info = self._look(entry, key)
        if info:
            self.found[key] = info
        return info is not None

    def _is_ours(self, entry: Entry, key: str) -> bool:
        """Say whether the file is where its key is written: where a long segment goes on, names alone do not tell."""
        if not is_continued(entry.folder):
            return True
        where = place(key)
        return entry.path in {b"%b/%b/%b" % (self._bucket.encode(), where.folder, name) for name in where.names}

    def _look(self, entry: Entry, key: str) -> ObjectInfo | None:
        try:
            descriptor = os.open(entry.name, READ, dir_fd=self._folder(entry.folder))
        except PermissionError:
            stat = os.stat(entry.name, dir_fd=self._folder(entry.folder), follow_symlinks=False)
            return records.foreign(key, stat)
        except OSError:
            return self._find(key)
        try:
            stat = os.fstat(descriptor)
            raw = attributes.read(descriptor)
        finally:
            os.close(descriptor)
        if not modes.S_ISREG(stat.st_mode):
            return self._find(key)
        return (records.decode(raw, key, stat) if raw else self._foreign(entry, key, stat)) or self._find(key)

    def _foreign(self, entry: Entry, key: str, stat: os.stat_result) -> ObjectInfo | None:
        """Describe a file with nothing beside it, if it still is the one of that name: else its sidecar may be gone."""
        if not self._looks_beside:
            return records.foreign(key, stat)
        if sidecars.read(self._root, Address(self._bucket, key), stat, sidecars.RECORD) is not None:
            return None
        try:
            now = os.stat(entry.name, dir_fd=self._folder(entry.folder), follow_symlinks=False)
        except OSError:
            return None
        return records.foreign(key, stat) if os.path.samestat(now, stat) else None

    def _find(self, key: str) -> ObjectInfo | None:
        """Look with all care, at what has a sidecar, stands aside meanwhile, or is gone."""
        found = seek(self._root, Address(self._bucket, key))
        if found:
            os.close(found.descriptor)
        return found.info if found else None

    def _folder(self, path: bytes) -> int:
        """Return the open folder; neighbours in a listing mostly share it."""
        if self._open and self._open[0] == path:
            return self._open[1]
        descriptor = self._root.open(path, FOLDER)
        if self._open:
            close_at_once(self._open[1])
        self._open = path, descriptor
        return descriptor


def _natural(names: Iterator[bytes], path: bytes, prefix: bytes) -> Iterator[Entry]:
    for name in names:
        if name.endswith(b"/"):
            yield Entry(prefix + name, path, name[:-1], is_folder=True)
        else:
            yield Entry(prefix + name, path, name, is_folder=False)


def _escaped(run: Iterable[Escaped], path: bytes, prefix: bytes) -> Iterator[Entry]:
    for added, name in run:
        yield Entry(prefix + added, path, name, is_folder=added.endswith(b"/") or goes_on(name))


def _entries_of(folder: Entry, found: Iterable["os.DirEntry[str]"]) -> Iterator[Entry]:
    for there in found:
        name, is_folder = os.fsencode(there.name), there.is_dir(follow_symlinks=False)
        added = piece(name, is_folder=is_folder)
        if added is not None:
            yield Entry(folder.key + added, folder.path, name, is_folder)


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
