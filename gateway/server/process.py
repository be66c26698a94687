"""The life of one worker: open the gateway, accept, wait to be told to end, drain."""

import asyncio
import ctypes
import gc
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Final

import structlog

from gateway import metrics
from gateway.server.admin import admin_server
from gateway.server.checkup import Examine
from gateway.server.exchange import Exchange
from gateway.server.health import Board, Lookout, State, Watched
from gateway.server.limits import Limits
from gateway.server.listener import Listener
from gateway.server.tls import Certificate
from gateway.storage import PIECE

KEPT_FREE: Final = 8 * 1024 * 1024  # bytes, of each arena of malloc

_TRIM_THRESHOLD: Final = -1  # as malloc.h has them
_MMAP_THRESHOLD: Final = -3

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Gateway:
    """What answers, and the backends it answers from."""

    handle: Callable[[Exchange], Awaitable[None]]
    backends: Mapping[str, Watched]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a worker is to serve, and how."""

    build: Callable[[int], AbstractAsyncContextManager[Gateway]]  # given the number of the worker
    board: Board
    sockets: Sequence[socket.socket]
    certificate: Certificate | None
    limits: Limits
    drain: float
    admin: Sequence[socket.socket] = ()  # only where one process does everything
    ready: Callable[[], None] = lambda: None
    examine: Examine | None = None  # the backends, for who asks at the admin port


async def work(plan: Plan, number: int = 0, parent: int = -1) -> None:
    """Serve until SIGTERM or SIGINT, or until the pipe `parent` ends with the process that holds its other end."""
    stop = _stop_on_signals(plan.certificate, alone=parent < 0)
    if parent >= 0:
        asyncio.get_running_loop().add_reader(parent, stop.set)
    metrics.set_build()
    async with AsyncExitStack() as opened:
        if plan.admin:
            await opened.enter_async_context(admin_server(plan.admin, plan.board, examine=plan.examine))
        gateway = await opened.enter_async_context(plan.build(number))
        lookout = Lookout(gateway.backends, plan.board, number)
        await lookout.look()
        _collect_less()
        _keep_freed_memory()
        listener = Listener(gateway.handle, plan.limits)
        await listener.start(plan.sockets, plan.certificate.context if plan.certificate else None)
        plan.board.set_state(number, State.READY)
        plan.ready()
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(lookout.keep_looking())]
            if plan.certificate:
                background.append(tasks.create_task(plan.certificate.follow()))
            await stop.wait()
            plan.board.set_state(number, State.DRAINING)
            log.info("draining", worker=number, limit=plan.drain)
            await listener.drain(plan.drain)
            for task in background:
                task.cancel()
    plan.board.set_state(number, State.GONE)


def _collect_less() -> None:
    """Look for cycles less often, and not among what is there now and stays: a fifth of a small request's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def _keep_freed_memory() -> None:
    """Have glibc keep some of what was freed: else each piece of an upload costs the kernel fresh pages of zeros.

    https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:  # elsewhere than in glibc there is nothing to be told
        mallopt(_TRIM_THRESHOLD, KEPT_FREE)
        mallopt(_MMAP_THRESHOLD, 4 * PIECE)


def _stop_on_signals(certificate: Certificate | None, *, alone: bool) -> asyncio.Event:
    """Return what the first SIGTERM or SIGINT sets; the second ends a process that is `alone` at once.

    A worker hears most signals twice: terminals and systemd send them to every process, and the parent passes its own
    on. Only the parent is impatient, and kills.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def end(number: signal.Signals) -> None:
        if alone and stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number)
    loop.add_signal_handler(signal.SIGHUP, certificate.reload if certificate else lambda: None)
    return stop
