"""Bodies on their way over the disk: a worker reads files, and is given no connection to anything else."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

from gateway.storage import PIECE, Body, Download, File
from gateway.transfer import chunks_of, room_at_once

_ENOUGH: Final = 1024 * 1024  # bytes that are written at once
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Spool:
    """A file that is written piece by piece; `size` is what it holds, `is_whole` whether the last piece has come.

    It is made when something is written to it, by the thread that writes.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.size = 0
        self.is_whole = False
        self._limit = limit
        self._descriptor = -1
        self._is_closed = False
        self._lock = Lock()  # a thread goes on when its caller is cancelled: nobody closes what it writes to
        self._waiting: list[bytes] = []
        self._waits = 0

    async def take(self, chunks: AsyncIterable[bytes]) -> None:
        """Write all there is."""
        async for _ in self.passing(chunks):
            pass

    async def fill(self, download: Download) -> None:
        """Write what a download holds; an open file is copied in one turn of a thread."""
        with room_at_once(download):
            if isinstance(download.content, File):
                await self._copy(download.content, download.stop - download.start)
            else:
                await self.take(chunks_of(download))

    async def _copy(self, file: File, size: int) -> None:
        self.size = size
        if size <= self._limit:
            self.size = await asyncio.to_thread(self._send, file, size)
        self.is_whole = self.size == size <= self._limit

    async def passing(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """Give chunks on, and write them beside; what is beyond the limit is not written, and the file not whole."""
        async for chunk in chunks:
            self.size += len(chunk)
            if self.size <= self._limit:
                self._waiting.append(chunk)
                self._waits += len(chunk)
            if self._waits >= _ENOUGH:
                await self._write()
            yield chunk
        await self._write()
        self.is_whole = self.size <= self._limit

    async def clear(self) -> None:
        """Forget what was written."""
        if self.size:
            self.size, self.is_whole = 0, False
            self._waiting, self._waits = [], 0
            await asyncio.to_thread(self._empty)

    async def _write(self) -> None:
        waiting, self._waiting, self._waits = self._waiting, [], 0
        if waiting or self._descriptor < 0:
            await asyncio.to_thread(self._write_all, waiting)

    def _write_all(self, pieces: Iterable[bytes]) -> None:
        with self._opened() as descriptor:
            for piece in pieces if descriptor >= 0 else ():
                left = memoryview(piece)
                while left:
                    left = left[os.write(descriptor, left) :]

    def _send(self, file: File, size: int) -> int:
        """Have the kernel copy an open file; return how many bytes there were."""
        sent = 0
        with self._opened() as descriptor:
            while descriptor >= 0 and sent < size:
                count = os.sendfile(descriptor, file.descriptor, file.offset + sent, size - sent)
                if not count:
                    break
                sent += count
        return sent

    def _empty(self) -> None:
        with self._opened() as descriptor:
            if descriptor >= 0:
                os.ftruncate(descriptor, 0)
                os.lseek(descriptor, 0, os.SEEK_SET)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Give the file to a thread, for itself alone; -1 once it is closed."""
        with self._lock:
            if self._descriptor < 0 and not self._is_closed:
                self._descriptor = os.open(self.path, _NEW, 0o600)
            yield self._descriptor

    def close(self) -> None:
        """Remove the file."""
        with self._lock:
            self._is_closed = True
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self.path.unlink(missing_ok=True)
            self._descriptor = -1


@asynccontextmanager
async def spooled(folder: Path, limit: int) -> AsyncIterator[Spool]:
    """Make a file that is gone when the context is left."""
    spool = Spool(folder / f"spool-{uuid.uuid4().hex}", limit)
    try:
        yield spool
    finally:
        await asyncio.shield(asyncio.to_thread(spool.close))


async def body_of(path: Path) -> Body:
    """Return a file as an upload; a small one is read in one turn of a thread."""
    first, size = await asyncio.to_thread(_begin, path)
    return Body(_chunks(path, first, size), size)


def _begin(path: Path) -> tuple[bytes, int]:
    with path.open("rb", buffering=0) as file:
        return file.read(PIECE), os.fstat(file.fileno()).st_size


async def _chunks(path: Path, first: bytes, size: int) -> AsyncIterator[bytes]:
    yield first
    offset = len(first)
    while offset < size:
        chunk = await asyncio.to_thread(_read, path, offset)
        if not chunk:
            return  # cut off meanwhile: the body is refused as too short
        yield chunk
        offset += len(chunk)


def _read(path: Path, offset: int) -> bytes:
    with path.open("rb", buffering=0) as file:
        return os.pread(file.fileno(), _ENOUGH, offset)
