"""Bodies on their way over the disk: a worker reads files, and is given no connection to anything else."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from gateway.storage import PIECE, Body

_ENOUGH: Final = 1024 * 1024  # bytes that are written at once


class Spool:
    """A file that is written piece by piece; `size` is what it holds, `is_whole` whether the last piece has come."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.size = 0
        self.is_whole = False
        self._limit = limit
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._waiting: list[bytes] = []
        self._waits = 0

    async def take(self, chunks: AsyncIterable[bytes]) -> None:
        """Write all there is."""
        async for _ in self.passing(chunks):
            pass

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
        self.size, self.is_whole = 0, False
        await asyncio.to_thread(os.ftruncate, self._descriptor, 0)

    async def _write(self) -> None:
        waiting, self._waiting, self._waits = self._waiting, [], 0
        if waiting:
            await asyncio.to_thread(self._write_all, b"".join(waiting))

    def _write_all(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]

    def close(self) -> None:
        """Remove the file."""
        os.close(self._descriptor)
        self.path.unlink(missing_ok=True)


@asynccontextmanager
async def spooled(folder: Path, limit: int) -> AsyncIterator[Spool]:
    """Make a file that is gone when the context is left."""
    spool = await asyncio.to_thread(Spool, folder / f"spool-{uuid.uuid4().hex}", limit)
    try:
        yield spool
    finally:
        await asyncio.shield(asyncio.to_thread(spool.close))


async def body_of(path: Path) -> Body:
    """Return a file as an upload."""
    return Body(_chunks(path), (await asyncio.to_thread(path.stat)).st_size)


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb", buffering=0)
    with file:
        while chunk := await asyncio.to_thread(file.read, PIECE):
            yield chunk
