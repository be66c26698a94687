"""The connections of one process: accepted, watched for deadlines, drained."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from gateway import metrics
from gateway.budget import BUDGET
from gateway.server.connection import Connection
from gateway.server.descriptors import room_for_connections
from gateway.server.exchange import Exchange
from gateway.server.limits import Limits

BACKLOG: Final = 1024
HANDSHAKE_TIMEOUT: Final = 15.0
SEEN_OFF: Final = 128  # connections that were one too many and may read so, at once
SHARE: Final = 8  # and of those that there is room for, no more than one in so many
LAST_CALL: Final = 2.0  # seconds for which idle connections are kept when no more are accepted


class Listener:
    """Accepts connections on sockets that are bound already, and has `handle` answer what comes in."""

    def __init__(self, handle: Callable[[Exchange], Awaitable[None]], limits: Limits) -> None:
        self.handle = handle
        self.loop = asyncio.get_running_loop()
        self._connections: set[Connection] = set()
        self._leaving: set[Connection] = set()
        self._servers: list[asyncio.Server] = []
        self._empty = asyncio.Event()
        self._empty.set()
        self.set_limits(limits)
        self._sweeper = self.loop.call_later(self._interval, self._sweep)

    async def start(self, sockets: Sequence[socket.socket], context: ssl.SSLContext | None = None) -> None:
        """Begin to accept."""
        timeout = HANDSHAKE_TIMEOUT if context else None
        for sock in sockets:
            server = await self.loop.create_server(
                lambda: Connection(self), sock=sock, ssl=context, backlog=BACKLOG, ssl_handshake_timeout=timeout
            )
            self._servers.append(server)

    def set_limits(self, limits: Limits) -> None:
        """Hold connections to other limits from now on; sizes of headers hold for those that come."""
        self.limits = limits
        self._most = room_for_connections(limits.connections)
        self._interval = min(1.0, limits.shortest / 4)
        for connection in self._connections:
            connection.limits = limits

    async def drain(self, seconds: float) -> None:
        """Accept nothing more, and give what is being answered so many seconds to end.

        A client may be asking on a connection that looks idle from here, and could not know why it gets no answer: so
        it gets one, with the word that the connection ends, and only what stays idle for a while is closed without.
        """
        for server in self._servers:
            server.close()
        for connection in self._connections:
            connection.retire()
        try:
            async with asyncio.timeout(seconds):
                await self._wait_for_the_idle(min(LAST_CALL, seconds / 2))
                await self._empty.wait()
        except TimeoutError:
            for connection in list(self._connections):
                connection.cancel()
        self._sweeper.cancel()

    async def _wait_for_the_idle(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        for connection in list(self._connections):
            connection.finish()

    # --- what connections tell ---

    def admit(self, connection: Connection) -> bool:
        """Take note of a new connection; False if there are too many."""
        if len(self._connections) >= self._most:
            return False
        self._connections.add(connection)
        self._empty.clear()
        return True

    def see_off(self, connection: Connection) -> bool:
        """Watch over a connection that was not admitted, until its deadline; False if there are too many of those."""
        if len(self._leaving) >= room_for_connections(SEEN_OFF * SHARE) // SHARE:
            return False
        self._leaving.add(connection)
        return True

    def release(self, connection: Connection) -> None:
        """Take note of the end of a connection."""
        self._leaving.discard(connection)
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def _sweep(self) -> None:
        """Look after every deadline at once: cheaper than a timer for each wait of each connection."""
        now = self.loop.time()
        for connection in [*self._connections, *self._leaving]:
            if connection.deadline <= now:
                connection.expire()
        metrics.BODY_MEMORY.set(BUDGET.used)
        metrics.CONNECTIONS.set(len(self._connections))
        metrics.IN_FLIGHT.set(sum(connection.is_busy for connection in self._connections))
        self._sweeper = self.loop.call_later(self._interval, self._sweep)
