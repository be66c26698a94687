"""The bytes of one storage on their way into another, at constant memory."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager

from gateway.budget import BUDGET
from gateway.errors import InternalError, ServiceUnavailable
from gateway.storage import HELD, PIECE, Address, Backend, Body, Download, File, ObjectInfo


def room_for(download: Download) -> AbstractAsyncContextManager[None]:
    """Wait until there is memory for the bytes of a download on their way into a storage. Raises: SlowDown."""
    return BUDGET.held(_most_of(download))


def room_at_once(download: Download) -> AbstractContextManager[None]:
    """Count their memory, and do not wait: for what others wait for who hold some, and for what is done beside all."""
    return BUDGET.counted(_most_of(download))


def body_of(download: Download) -> Body:
    """Return a download as an upload; it must stay open until that is through.

    Where the source knows the checksum of all the bytes, it is compared before the last of them is passed on.
    """
    size = download.stop - download.start
    body = Body(chunks_of(download), size)
    checksum = download.info.checksum
    if checksum and not checksum.composite and size == download.info.size:
        body.digest.want(checksum.algorithm)

        def compare() -> None:
            if body.digest.checksum(checksum.algorithm) != checksum:
                raise InternalError("The bytes that were read do not have the checksum that is stored with them.")

        body.check(compare)
    return body


async def bytes_of(download: Download) -> bytes:
    """Return what a download holds; only for what is known to be small."""
    return b"".join([chunk async for chunk in chunks_of(download)])


async def chunks_of(download: Download) -> AsyncIterator[bytes]:
    """Give the bytes of a download, as they are."""
    content = download.content
    if isinstance(content, bytes):
        yield content
    elif isinstance(content, File):
        async for chunk in _read(content, download.stop - download.start):
            yield chunk
    else:
        async for chunk in content:
            yield chunk
            del chunk  # else it is held while the next one is waited for


async def read_through(storage: Backend, at: Address, update: Callable[[bytes], None]) -> ObjectInfo:
    """Give all bytes of an object to what hashes them, and return what is told of it. Raises: S3Error."""
    received = 0
    async with storage.get(at) as download:
        with room_at_once(download):
            async for chunk in chunks_of(download):
                await asyncio.to_thread(update, chunk)
                received += len(chunk)
        if received != download.info.size:
            raise ServiceUnavailable
        return download.info


async def _read(file: File, size: int) -> AsyncIterator[bytes]:
    offset, stop = file.offset, file.offset + size
    while offset < stop:
        chunk = await asyncio.to_thread(os.pread, file.descriptor, min(PIECE, stop - offset), offset)
        if not chunk:
            return  # cut off underneath: the body is refused as too short
        yield chunk
        offset += len(chunk)


def _most_of(download: Download) -> int:
    return min(download.stop - download.start, HELD)
