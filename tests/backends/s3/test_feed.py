"""Pieces on their way to a server: passed on as they come, and held by nobody longer than they must be."""

import asyncio
from collections.abc import AsyncIterator
from typing import Self

import pytest

from gateway.backends.s3.feed import Feed
from gateway.checksums import MD5
from gateway.storage import PIECE, Body


class Piece(bytes):
    """Bytes of which is known how many there are."""

    alive = 0

    def __new__(cls, size: int) -> Self:
        cls.alive += 1
        return super().__new__(cls, size)

    def __del__(self) -> None:
        type(self).alive -= 1


async def sent(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        async with asyncio.timeout(10):
            while Piece.alive:  # noqa: ASYNC110  until the thread that hashes it is through with it
                await asyncio.sleep(0)
        yield Piece(PIECE)


@pytest.mark.parametrize("trailer", [None, "CRC32"])
async def test_no_piece_that_was_passed_on_is_held_while_more_is_waited_for(trailer):
    body = Body(sent(8), 8 * PIECE)
    body.digest.want(MD5)
    body.digest.want("CRC32")
    size = 0
    async for piece in Feed(body, trailer):
        size += len(piece) if isinstance(piece, Piece) else 0
        del piece
    assert size == 8 * PIECE
    assert Piece.alive == 0
