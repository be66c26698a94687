"""Connections to the hosts of one account, kept for the next request."""

import asyncio
import socket
import ssl
from collections import Counter
from typing import Final
from urllib.parse import urlsplit

import aiohappyeyeballs

from gateway.backends.s3.settings import Settings
from gateway.backends.s3.wire import Wire

IDLE: Final = 8.0  # seconds: shorter than servers wait themselves, so that few connections end under a request
NEXT_ADDRESS: Final = 0.25  # seconds for a connection to one address of a host, before another is tried beside it


class NotConnectedError(Exception):
    """There is no connection: nothing was sent."""


class ConnectTimeoutError(NotConnectedError):
    """There was no connection in time."""


class NoneFreeError(NotConnectedError):
    """All connections were in use for too long."""


_holders: Final[Counter[asyncio.Task[object] | None]] = Counter()  # how many connections, of any pool, a task uses


class Pool:
    """Gives out one connection for each request, at most `settings.connections` of them at the same time.

    A task that uses one already, of whatever pool, is given another at once: what is read with one and written with
    another could wait for ever for others that do the same.
    """

    def __init__(self, settings: Settings, scheme: str) -> None:
        self._settings = settings
        self._port = 443 if scheme == "https" else 80
        self._context = _context(settings) if scheme == "https" else None
        self._slots = asyncio.Semaphore(settings.connections)
        self._open: dict[Wire, str] = {}
        self._idle: dict[str, list[Wire]] = {}
        self._busy: dict[Wire, tuple[asyncio.Task[object] | None, bool]] = {}  # who uses it; whether it took a slot
        self._emptied = asyncio.Event()

    async def take(self, host: str) -> Wire:
        """Return a connection nobody uses. Raises NotConnectedError."""
        task = asyncio.current_task()
        waits = task not in _holders
        if waits:
            await self._wait()
        try:
            wire = self._kept(host) or await self._connect(host)
        except BaseException:
            if waits:
                self._slots.release()
            raise
        self._busy[wire] = task, waits
        _holders[task] += 1
        return wire

    async def close(self) -> None:
        """Break all connections."""
        for wire in list(self._open):
            wire.fail(NotConnectedError("closed"))
        self._emptied.clear()
        if self._open:
            await self._emptied.wait()

    async def _wait(self) -> None:
        if not self._slots.locked():
            await self._slots.acquire()
            return
        try:
            async with asyncio.timeout(self._settings.answer_timeout):
                await self._slots.acquire()
        except TimeoutError as error:
            raise NoneFreeError from error

    def _kept(self, host: str) -> Wire | None:
        kept = self._idle.get(host, [])
        while kept:
            wire = kept.pop()
            if wire.is_open:
                return wire
        return None

    async def _connect(self, host: str) -> Wire:
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                wire = await self._connected(host)
        except TimeoutError as error:
            raise ConnectTimeoutError(host) from error
        except (OSError, UnicodeError) as error:  # TLS's errors are among them, and names that cannot be one
            raise NotConnectedError(str(error)) from error
        if not wire.is_open:  # it was lost before anybody could know of it
            raise NotConnectedError("lost at once")
        self._open[wire] = host
        return wire

    async def _connected(self, host: str) -> Wire:
        loop, place = asyncio.get_running_loop(), urlsplit(f"//{host}")
        name = place.hostname or ""
        addresses = await loop.getaddrinfo(name, place.port or self._port, type=socket.SOCK_STREAM)
        sock = await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS, loop=loop)
        try:
            _, wire = await loop.create_connection(
                lambda: Wire(self._released, self._lost, self._settings.stall_timeout),
                sock=sock,
                ssl=self._context,
                server_hostname=name if self._context else None,
            )
        except BaseException:
            sock.close()
            raise
        return wire

    def _released(self, wire: Wire) -> None:
        if self._freed(wire):
            self._idle.setdefault(self._open[wire], []).append(wire)
            wire.rest(IDLE)

    def _freed(self, wire: Wire) -> bool:
        if wire not in self._busy:
            return False
        task, waited = self._busy.pop(wire)
        _holders[task] -= 1
        if not _holders[task]:
            del _holders[task]
        if waited:
            self._slots.release()
        return True

    def _lost(self, wire: Wire) -> None:
        self._freed(wire)
        host = self._open.pop(wire, "")
        kept = self._idle.get(host, [])
        if wire in kept:
            kept.remove(wire)
        if not kept:
            self._idle.pop(host, None)
        if not self._open:
            self._emptied.set()


def _context(settings: Settings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca)
    context.set_alpn_protocols(["http/1.1"])
    return context
