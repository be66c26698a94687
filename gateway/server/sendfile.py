"""Files sent by the kernel: their bytes never enter the process."""

import asyncio
import os
import socket
from typing import Final

from gateway.server.connection import ClientGoneError
from gateway.server.exchange import Exchange
from gateway.storage import File

SLICE: Final = 1024 * 1024  # what is sent at once: more would keep other clients waiting


async def send_file(exchange: Exchange, head: bytes, file: File, length: int) -> None:
    """Send a head and `length` bytes of a file. It may end short. Raises: ClientGoneError.

    The event loop of uvloop has no sendfile of its own, and the socket of a transport may not be touched: a duplicate
    of it may, once the transport has nothing left to send.
    """
    connection = exchange.connection
    await connection.flush()
    with connection.duplicate() as sock:
        try:
            await _send_head(exchange, sock, head)
            await _send_body(exchange, sock, file, length)
        except ConnectionError as error:
            raise ClientGoneError from error


async def _send_head(exchange: Exchange, sock: socket.socket, head: bytes) -> None:
    while head:
        try:
            head = head[sock.send(head, socket.MSG_MORE) :]
        except BlockingIOError:
            await exchange.connection.writable(sock)


async def _send_body(exchange: Exchange, sock: socket.socket, file: File, length: int) -> None:
    meter = exchange.meter
    slice_size = min(SLICE, meter.at_once) if meter else SLICE
    while exchange.sent < length:
        offset, size = file.offset + exchange.sent, min(slice_size, length - exchange.sent)
        try:
            if _is_cached(file.descriptor, offset, size):
                sent = os.sendfile(sock.fileno(), file.descriptor, offset, size)
            else:
                sent = await asyncio.to_thread(os.sendfile, sock.fileno(), file.descriptor, offset, size)
        except BlockingIOError:
            await exchange.connection.writable(sock)
            continue
        if not sent:
            return
        exchange.sent += sent
        if meter:
            await meter.passed(sent)


def _is_cached(descriptor: int, offset: int, size: int) -> bool:
    """Say whether the kernel holds both ends of a slice in memory, so that sending it waits for no disk."""
    probe = bytearray(1)
    try:
        os.preadv(descriptor, [probe], offset, os.RWF_NOWAIT)
        os.preadv(descriptor, [probe], offset + size - 1, os.RWF_NOWAIT)
    except OSError:
        return False
    return True
