"""Sockets to listen on, bound before anything else is started."""

import socket
from contextlib import ExitStack
from typing import Final

BACKLOG: Final = 1024


class StartError(Exception):
    """Says in one line why the server cannot start."""


def bind(what: str, host: str, port: int) -> list[socket.socket]:
    """Listen on every address of a host. Raises: StartError, naming `what` is to listen."""
    with ExitStack() as bound:
        try:
            sockets = [
                bound.enter_context(_bound(family, address))
                for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            ]
        except OSError as error:
            raise StartError(f"{what}: cannot listen on {host}:{port}: {error.strerror or error}") from error
        bound.pop_all()
    return sockets


def _bound(family: int, address: tuple[object, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock
