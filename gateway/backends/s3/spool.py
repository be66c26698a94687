"""A body of unknown length, kept until its length is known: servers want to be told it beforehand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import SpooledTemporaryFile
from typing import Final

from gateway.storage import PIECE, Body

IN_MEMORY: Final = 8 * 1024 * 1024  # bytes; what is larger goes to a file without a name


@asynccontextmanager
async def spooled(body: Body) -> AsyncIterator[Body]:
    """Read a body to its end, checks included, and give it again with its size."""
    with SpooledTemporaryFile(max_size=IN_MEMORY) as file:
        async for piece in body:
            await asyncio.to_thread(file.write, piece)
        await asyncio.to_thread(file.seek, 0)
        again = Body(_pieces(file), body.received)
        again.declared = body.declared
        yield again


async def _pieces(file: SpooledTemporaryFile[bytes]) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, PIECE):
        yield piece
