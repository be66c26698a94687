"""A server that answers as it is told, byte for byte, and counts what it is asked."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Request:
    """A request whose head was read."""

    head: str
    reader: asyncio.StreamReader

    async def body(self) -> bytes:
        """Read the body that the head declares."""
        _, found, rest = self.head.partition("content-length: ")
        if found:
            return await self.reader.readexactly(int(rest.split("\r\n")[0]))
        return await self.reader.readuntil(b"0\r\n\r\n") if "chunked" in self.head else b""


Play = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Scripted:
    """`asked` are the heads of the requests that came, each played by the next of `plays`, the last again and again."""

    plays: Sequence[Play]
    asked: list[str] = field(default_factory=list)
    port: int = 0
    connections: int = 0  # ever
    deserted: asyncio.Event = field(default_factory=asyncio.Event)  # nobody is connected any more
    _open: int = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open += 1
        self.deserted.clear()
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.asked.append(head.decode())
                play = self.plays[min(len(self.asked), len(self.plays)) - 1]
                await play(Request(head.decode().lower(), reader), writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open -= 1
            if not self._open:
                self.deserted.set()
            writer.close()


@asynccontextmanager
async def scripted(*plays: Play) -> AsyncIterator[Scripted]:
    """Serve on a free port."""
    script = Scripted(plays)
    server = await asyncio.start_server(script.handle, "127.0.0.1", 0)
    script.port = server.sockets[0].getsockname()[1]
    try:
        yield script
    finally:
        server.close()


def answer(status: int, body: bytes | str = b"", headers: dict[str, str] | None = None, *, cut: int = 0) -> Play:
    """Read the body that a request declares and answer; with `cut`, end the connection so many bytes too early."""
    data = body.encode() if isinstance(body, str) else body
    said = {"Content-Length": str(len(data)), "Date": "Sat, 21 Nov 2026 09:00:00 GMT", **(headers or {})}
    head = f"HTTP/1.1 {status} Said\r\n" + "".join(f"{name}: {value}\r\n" for name, value in said.items()) + "\r\n"

    async def play(request: Request, writer: asyncio.StreamWriter) -> None:
        await request.body()
        writer.write(head.encode() + data[: len(data) - cut])
        await writer.drain()
        if cut:
            writer.close()

    return play


def error(status: int, code: str) -> Play:
    """Refuse in S3's words."""
    return answer(status, f"<Error><Code>{code}</Code><Message>told</Message></Error>")


async def hang(request: Request, writer: asyncio.StreamWriter) -> None:
    """Read what comes and never answer."""
    while await request.reader.read(65536):
        pass


async def choke(request: Request, writer: asyncio.StreamWriter) -> None:
    """Take nothing any more."""
    await asyncio.Event().wait()


async def hang_up(request: Request, writer: asyncio.StreamWriter) -> None:
    """End the connection."""
    writer.transport.abort()
