"""A way to a server, on which whatever can happen to TCP happens on order."""

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.gateway_process import free_port

PIECE: Final = 64 * 1024
PATIENCE_S: Final = 30
NO_LINGER: Final = struct.pack("ii", 1, 0)  # closing sends a reset then


class CutError(Exception):
    """The connection is to be cut here."""

    def __init__(self, reset: bool) -> None:  # noqa: FBT001  it is what is told
        super().__init__()
        self.reset = reset


@dataclass
class Fault:
    """What happens to all that is on the way from now on; without anything said, it passes.

    `request`, `answer`: the connection is cut behind so many bytes in that direction, once, whichever connection
    brings them; 0 for `answer` cuts it when the answer comes, which is lost. It is cut by a reset or, without `reset`,
    as if all had been said. `delay`: seconds for every piece. `lost`: nothing arrives, and nobody is told; `silent`: no
    answer does. `held`: what is sent to the server arrives when `release` is called, though the client may have gone
    meanwhile.
    """

    request: int | None = None
    answer: int | None = None
    reset: bool = True
    delay: float = 0.0
    lost: bool = False
    silent: bool = False
    held: bool = False

    def passes(self, direction: str, data: bytes) -> bytes:
        """Return what of a piece comes through, less than all of it where the connection is cut."""
        left: int | None = getattr(self, direction)
        if left is None:
            return data
        setattr(self, direction, left - len(data) if len(data) <= left else None)
        return data[:left]


@dataclass(eq=False)
class Proxy:
    """Listens on `port` for those who want the server on port `upstream` of this machine, or on that file.

    Where that is to be decided for each connection, `upstream` says which port it is.
    """

    upstream: int | Path | Callable[[], int]
    port: int = 0
    fault: Fault = field(default_factory=Fault)
    connections: int = 0  # that are open now, seen from the clients
    accepted: int = 0  # ever
    _released: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def up(self) -> None:
        """Listen, after `down` on the same port again."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=PIECE)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Refuse connections, and reset those that are open."""
        if self._server:
            for listening in self._server.sockets:
                asyncio.get_running_loop().remove_reader(listening.fileno())
            await asyncio.sleep(0)  # what was accepted just now is left open if its server ends before it is begun
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def release(self) -> None:
        """Let go on what is held."""
        self.fault.held = False
        self._released.set()
        self._released = asyncio.Event()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        if self._server is None or not self._server.is_serving():  # it came just before `down`, which did not know it
            _reset(writer)
            return
        self._tasks.add(task)
        self.connections += 1
        self.accepted += 1
        try:
            await self._connect(reader, writer)
        except (OSError, asyncio.CancelledError):  # also where the server does not answer: so it looks to the client
            _reset(writer)
        finally:
            self.connections -= 1
            self._tasks.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if isinstance(self.upstream, Path):
            there, to_server = await asyncio.open_unix_connection(self.upstream, limit=PIECE)
        else:
            port = self.upstream if isinstance(self.upstream, int) else self.upstream()
            there, to_server = await asyncio.open_connection("127.0.0.1", port, limit=PIECE)
        answered = asyncio.Event()
        ways = [
            asyncio.create_task(self._pass("request", reader, to_server, answered)),
            asyncio.create_task(self._pass("answer", there, writer, answered)),
        ]
        end = _reset
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
            if all(way.exception() is None for way in done) or any(_is_end(way.exception()) for way in done):
                end = _close
        finally:
            for way in ways:
                way.cancel()
            end(to_server)
            end(writer)
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pass(
        self, direction: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answered: asyncio.Event
    ) -> None:
        """Pass pieces on until their sender ends. Raises CutError, OSError."""
        was_held = False
        while data := await _read(reader, patiently=was_held):
            if direction == "answer":
                answered.set()
            fault = self.fault
            if fault.delay:
                await asyncio.sleep(fault.delay)
            while fault.held and direction == "request":
                was_held = True
                await self._released.wait()
                answered.clear()
            if fault.lost or (fault.silent and direction == "answer"):
                continue
            passed = fault.passes(direction, data)
            writer.write(passed)
            await writer.drain()
            if len(passed) < len(data):
                raise CutError(fault.reset)
        if was_held:  # a server that hears of the end before it has done what it was sent may not do it
            with suppress(TimeoutError):
                await asyncio.wait_for(answered.wait(), PATIENCE_S)
        writer.write_eof()


async def _read(reader: asyncio.StreamReader, *, patiently: bool) -> bytes:
    """Return the next piece. What was held back arrives whole, though its sender has broken the connection since."""
    try:
        return await reader.read(PIECE)
    except OSError:
        if not patiently:
            raise
        left = bytes(reader._buffer)  # type: ignore[attr-defined]  what came before the connection broke
        reader._buffer.clear()  # type: ignore[attr-defined]
        return left


def _is_end(error: BaseException | None) -> bool:
    return isinstance(error, CutError) and not error.reset


def _close(writer: asyncio.StreamWriter) -> None:
    """End a connection as if all had been said."""
    writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection, with what was written on its way already, as a crash does."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    writer.transport.abort()


@asynccontextmanager
async def proxied(upstream: int) -> AsyncIterator[Proxy]:
    """Put a proxy in front of a server, on the loop of the test."""
    proxy = Proxy(upstream)
    await proxy.up()
    try:
        yield proxy
    finally:
        await proxy.down()


class Remote:
    """A proxy on a loop of its own, for tests without one: what is said to it has happened when the call returns."""

    def __init__(self, upstream: int | Path | Callable[[], int]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.proxy = Proxy(upstream, port=free_port())  # while it is down, nobody else gets it
        self.up()

    @property
    def port(self) -> int:
        return self.proxy.port

    def up(self) -> None:
        asyncio.run_coroutine_threadsafe(self.proxy.up(), self._loop).result(PATIENCE_S)

    def down(self) -> None:
        asyncio.run_coroutine_threadsafe(self.proxy.down(), self._loop).result(PATIENCE_S)

    def set(self, fault: Fault) -> None:
        self.proxy.fault = fault

    def release(self) -> None:
        asyncio.run_coroutine_threadsafe(self._release(), self._loop).result(PATIENCE_S)

    async def _release(self) -> None:
        self.proxy.release()

    def close(self) -> None:
        self.down()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()


@contextmanager
def proxying(upstream: int | Path | Callable[[], int]) -> Iterator[Remote]:
    """Put a proxy in front of a server, for tests that wait for real processes."""
    remote = Remote(upstream)
    try:
        yield remote
    finally:
        remote.close()
