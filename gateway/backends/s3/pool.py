"""Connections to the hosts of one account, kept for the next request."""

import asyncio
import socket
import ssl
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


class Pool:
    """Gives out one connection for each request, at most `settings.connections` of them at the same time."""

    def __init__(self, settings: Settings, scheme: str) -> None:
        self._settings = settings
        self._port = 443 if scheme == "https" else 80
        self._context = _context(settings) if scheme == "https" else None
        self._slots = asyncio.Semaphore(settings.connections)
        self._open: dict[Wire, str] = {}
        self._idle: dict[str, list[Wire]] = {}
        self._busy: set[Wire] = set()
        self._emptied = asyncio.Event()

    async def take(self, host: str) -> Wire:
        """Return a connection nobody uses. Raises NotConnectedError."""
        await self._slots.acquire()
        try:
            wire = self._kept(host) or await self._connect(host)
        except BaseException:
            self._slots.release()
            raise
        self._busy.add(wire)
        return wire

    async def close(self) -> None:
        """Break all connections."""
        for wire in list(self._open):
            wire.fail(NotConnectedError("closed"))
        self._emptied.clear()
        if self._open:
            await self._emptied.wait()

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
        if wire in self._busy:
            self._busy.discard(wire)
            self._slots.release()
            self._idle.setdefault(self._open[wire], []).append(wire)
            wire.rest(IDLE)

    def _lost(self, wire: Wire) -> None:
        if wire in self._busy:
            self._busy.discard(wire)
            self._slots.release()
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
