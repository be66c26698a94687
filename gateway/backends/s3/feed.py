"""A body on its way to the server, in pieces."""

from collections.abc import AsyncIterator
from typing import Final, Self

from gateway.checksums import ALGORITHMS
from gateway.storage import Body

TRAILER_PAYLOAD: Final = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


class Feed:
    """What a request sends of a Body of known size, once.

    `error` is what the body raised, which breaks the connection. `ended` tells that the last byte was handed over.
    """

    def __init__(self, body: Body, trailer: str | None = None) -> None:
        self.body = body
        self.error: Exception | None = None
        self.ended = False
        self._pieces = self._framed(trailer) if trailer else self._plain()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._pieces)
        except StopAsyncIteration:
            raise
        except Exception as error:
            self.error = error
            raise

    async def _plain(self) -> AsyncIterator[bytes]:
        passed = 0
        async for piece in self.body:
            passed += len(piece)
            self.ended = passed == self.body.size  # the answer may come before anybody asks for a further piece
            yield piece
            del piece  # else it is held while the next one is waited for

    async def _framed(self, algorithm: str) -> AsyncIterator[bytes]:
        """Frame the body as aws-chunked with its checksum behind it.

        https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
        """
        end = b""
        async for piece in self.body:
            yield b"%s%x\r\n" % (end, len(piece))
            yield piece
            del piece
            end = b"\r\n"
        value = self.body.digest.checksum(algorithm).value
        self.ended = True
        yield b"%s0\r\n%s:%s\r\n\r\n" % (end, ALGORITHMS[algorithm].header.encode(), value.encode())
