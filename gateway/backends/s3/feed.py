"""A body on its way to the server: in pieces, watched for a server that takes no more of them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final, Self

from gateway.checksums import ALGORITHMS
from gateway.storage import Body

TRAILER_PAYLOAD: Final = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


class Feed:
    """What a request sends of a Body of known size, once.

    `error` is what the body raised: aiohttp reports it as a broken connection. `ended` tells that the last byte was
    handed over, `idle` that nobody waits for the body.
    """

    def __init__(self, body: Body, trailer: str | None = None) -> None:
        self.body = body
        self.error: Exception | None = None
        self.ended = False
        self.idle = asyncio.Event()
        self.idle.set()
        self._pieces = self._framed(trailer) if trailer else self._plain()
        self._deadline: asyncio.Timeout | None = None
        self._stall = 0.0

    def watch(self, deadline: asyncio.Timeout, stall: float) -> None:
        """Have the deadline pass when the server takes no byte for `stall` seconds."""
        self._deadline, self._stall = deadline, stall

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        self.idle.clear()
        self._expect(None)
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            raise
        except Exception as error:
            self.error = error
            raise
        finally:
            self.idle.set()
        self._expect(self._stall)
        return piece

    def _expect(self, seconds: float | None) -> None:
        if self._deadline and not self._deadline.expired():
            self._deadline.reschedule(None if seconds is None else asyncio.get_running_loop().time() + seconds)

    async def _plain(self) -> AsyncIterator[bytes]:
        passed = 0
        async for piece in self.body:
            passed += len(piece)
            self.ended = passed == self.body.size  # the answer may come before anybody asks for a further piece
            yield piece

    async def _framed(self, algorithm: str) -> AsyncIterator[bytes]:
        """Frame the body as aws-chunked with its checksum behind it.

        https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
        """
        end = b""
        async for piece in self.body:
            yield b"%s%x\r\n" % (end, len(piece))
            yield piece
            end = b"\r\n"
        value = self.body.digest.checksum(algorithm).value
        self.ended = True
        yield b"%s0\r\n%s:%s\r\n\r\n" % (end, ALGORITHMS[algorithm].header.encode(), value.encode())
