"""Opening objects for their bytes: at once where nothing has to be waited for, else in a thread."""

import os
import stat as modes
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from gateway.backends.assembly import span
from gateway.backends.local import attributes, records
from gateway.backends.local.finding import Found, find, find_with_parts
from gateway.backends.local.kernel import open_cached
from gateway.backends.local.names import place
from gateway.backends.local.root import Root, is_bucket
from gateway.backends.local.threads import Threads
from gateway.errors import ServiceUnavailable
from gateway.storage import SMALL, Address, Download, File, ObjectInfo, Part, ReadOptions

_NOT_WAITING: Final = getattr(os, "RWF_NOWAIT", None)


class Reading:
    """An object open for reading, from entering to leaving."""

    __slots__ = ("_at", "_descriptor", "_options", "_root", "_threads")

    def __init__(self, root: Root, threads: Threads, at: Address, options: ReadOptions) -> None:
        self._root, self._threads, self._at, self._options = root, threads, at, options
        self._descriptor = -1

    async def __aenter__(self) -> Download:
        try:
            download = self._at_once()
            if download is None:
                download = await self._threads.run(self._in_time)
        except BaseException:
            self._close()
            raise
        return download

    async def __aexit__(self, *_: object) -> None:
        if self._descriptor < 0:
            return
        if os.fstat(self._descriptor).st_nlink:
            self._close()
        else:
            await self._threads.surely(self._close)  # the last to hold a deleted file frees its blocks

    def _at_once(self) -> Download | None:
        """Open the object if all that is needed of it is in memory."""
        found = glance(self._root, self._at, self._options)
        if found is None:
            return None
        self._descriptor = found.descriptor
        try:
            return self._download(found.info, (), _read_at_once)
        except BlockingIOError:
            self._close()
            return None

    def _in_time(self) -> Download:
        found, parts = _find(self._root, self._at, self._options)
        self._descriptor = found.descriptor
        return self._download(found.info, parts, _read)

    def _download(self, info: ObjectInfo, parts: Sequence[Part], read: Callable[[int, int, int], bytes]) -> Download:
        options = self._options
        if options.conditions:
            options.conditions.check_read(info)
        start, stop = span(info.size, parts, options)
        if options.parts:
            info = replace(info, parts=parts)
        if stop - start > SMALL:
            return Download(info, start, stop, File(self._descriptor, start))
        content = read(self._descriptor, start, stop - start)
        self._close()
        return Download(info, start, stop, content)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def glance(root: Root, at: Address, options: ReadOptions) -> Found | None:
    """Open an object if that needs no waiting; None says nothing about whether there is one."""
    if at.version is not None or not is_bucket(at.bucket):
        return None
    where = place(at.key)
    bucket = at.bucket.encode()
    try:
        path = b"%b/%b/%b" % (bucket, where.folder, where.name) if where.folder else b"%b/%b" % (bucket, where.name)
        descriptor = open_cached(root.descriptor, path)
    except OSError:
        return None
    try:
        stat = os.fstat(descriptor)
        raw = attributes.read(descriptor) if modes.S_ISREG(stat.st_mode) else None
        info = records.decode(raw, at.key, stat) if raw else None
        if info and not (info.part_count and (options.parts or options.part)):
            descriptor, found = -1, descriptor
            return Found(found, stat, info)
    except OSError:
        return None  # the long way tells what is wrong
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return None


def head(root: Root, at: Address, options: ReadOptions) -> ObjectInfo:
    """Return what is known of an object."""
    found, parts = _find(root, at, options)
    os.close(found.descriptor)
    return _told(found.info, parts, options)


def head_at_once(root: Root, at: Address, options: ReadOptions) -> ObjectInfo | None:
    """Return what is known of an object if that needs no waiting."""
    found = glance(root, at, options)
    if found is None:
        return None
    os.close(found.descriptor)
    return _told(found.info, (), options)


def _find(root: Root, at: Address, options: ReadOptions) -> tuple[Found, Sequence[Part]]:
    if options.parts or options.part is not None:
        return find_with_parts(root, at)
    return find(root, at), ()


def _told(info: ObjectInfo, parts: Sequence[Part], options: ReadOptions) -> ObjectInfo:
    if options.conditions:
        options.conditions.check_read(info)
    if options.part is not None:
        span(info.size, parts, replace(options, range=None))
    return replace(info, parts=parts) if options.parts else info


def _read(descriptor: int, start: int, size: int) -> bytes:
    data = os.pread(descriptor, size, start)
    if len(data) != size:
        raise ServiceUnavailable  # somebody cut the file meanwhile
    return data


def _read_at_once(descriptor: int, start: int, size: int) -> bytes:
    """Read what is in the page cache. Raises: BlockingIOError, if not all of it is."""
    if _NOT_WAITING is None:
        raise BlockingIOError
    data = bytearray(size)
    try:
        count = os.preadv(descriptor, [data], start, _NOT_WAITING)
    except OSError:
        raise BlockingIOError from None
    if count != size:
        raise BlockingIOError
    return bytes(data)
