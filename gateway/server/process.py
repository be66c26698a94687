"""The life of one worker: open the gateway, accept, wait to be told to end, drain."""

import asyncio
import ctypes
import gc
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog

from gateway import metrics
from gateway.server.admin import admin_server
from gateway.server.bind import StartError
from gateway.server.checkup import Examine
from gateway.server.health import Board, Lookout, State
from gateway.server.listener import Listener
from gateway.server.relay import FAILED, Source, note_reload
from gateway.server.succession import Gateway, Succession
from gateway.server.tls import Certificate
from gateway.storage import PIECE

INTERVAL: Final = 2.0  # seconds between two looks for other settings
AGAIN: Final = 30.0  # seconds after which settings that could not be taken are tried again
NEVER: Final = float("inf")
KEPT_FREE: Final = 32 * 1024 * 1024  # bytes, of each arena of malloc: the pieces of a hundred bodies at once

_TRIM_THRESHOLD: Final = -1  # as malloc.h has them
_MMAP_THRESHOLD: Final = -3

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a worker is to serve, and how."""

    build: Callable[[Any, int], AbstractAsyncContextManager[Gateway]]  # given settings and the number of the worker
    source: Source
    board: Board
    sockets: Sequence[socket.socket]
    certificate: Certificate | None
    admin: Sequence[socket.socket] = ()  # only where one process does everything
    beside: Sequence[str] = ()  # processes that have work of their own and no port, numbered after the workers
    name: str = ""  # of such a process
    ready: Callable[[], None] = lambda: None
    examine: Callable[[Any], Awaitable[dict[str, Any]]] | None = None  # the backends, for who asks at the admin port

    def without_port(self, name: str) -> "Plan":
        """Return what a process does that nobody connects to."""
        return replace(self, name=name, sockets=(), certificate=None, ready=lambda: None)

    def examiner(self) -> Examine | None:
        """Return what examines the backends of the settings that are current then."""
        examine = self.examine
        return (lambda: examine(self.source.current)) if examine else None


async def work(plan: Plan, number: int = 0, parent: int = -1) -> None:
    """Serve until SIGTERM or SIGINT, or until the pipe `parent` ends with the process that holds its other end."""
    name = plan.name or number
    stop, hangup = _stop_on_signals(plan.certificate, alone=parent < 0)
    if parent >= 0:
        asyncio.get_running_loop().add_reader(parent, stop.set)
    metrics.set_build()
    started = time.monotonic()
    async with AsyncExitStack() as opened:
        if plan.admin:
            await opened.enter_async_context(admin_server(plan.admin, plan.board, examine=plan.examiner()))
        succession = await opened.enter_async_context(Succession())
        gateway = await succession.follow(plan.build(plan.source.current, number))
        lookout = Lookout(gateway.backends, plan.board, number)
        await lookout.look()
        _collect_less()
        _keep_freed_memory()
        listener = Listener(succession, gateway.limits)
        await listener.start(plan.sockets, plan.certificate.context if plan.certificate else None)
        log.info("serving", worker=name, seconds=round(time.monotonic() - started, 6))
        plan.board.set_state(number, State.READY)
        plan.ready()
        renewal = Renewal(plan, number, succession, listener, lookout, gateway)
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(lookout.keep_looking()), tasks.create_task(renewal.run(hangup))]
            if plan.certificate:
                background.append(tasks.create_task(plan.certificate.follow()))
            await stop.wait()
            plan.board.set_state(number, State.DRAINING)
            log.info("draining", worker=name, limit=renewal.gateway.drain)
            await listener.drain(renewal.gateway.drain)
            for task in background:
                task.cancel()
    plan.board.set_state(number, State.GONE)


@dataclass
class Renewal:
    """Has a worker serve by other settings whenever there are any."""

    plan: Plan
    number: int
    succession: Succession
    listener: Listener
    lookout: Lookout
    gateway: Gateway

    @property
    def _name(self) -> str | int:
        return self.plan.name or self.number

    async def run(self, hangup: asyncio.Event) -> None:
        """Look for ever for settings to take; at once when `hangup` is set."""
        failed = NEVER
        while True:
            asked = await _is_set_within(hangup, INTERVAL)
            hangup.clear()
            found = await asyncio.to_thread(self.plan.source.look, asked=asked)
            if found or time.monotonic() - failed >= AGAIN:
                failed = NEVER if await self.renew() else time.monotonic()

    async def renew(self) -> bool:
        """Serve by the settings of now, and say whether that could be done: if not, all stays as it is."""
        started = time.monotonic()
        try:
            self.gateway = await self.succession.follow(self.plan.build(self.plan.source.current, self.number))
        except StartError as error:
            return self._refuse(str(error))
        except Exception:  # whatever it is: what served until now goes on
            log.exception("config_failed", worker=self._name)
            return self._refuse("it cannot be opened")
        self.listener.set_limits(self.gateway.limits)
        log.info("config_reloaded", worker=self._name, seconds=round(time.monotonic() - started, 6))
        await self.lookout.watch(self.gateway.backends)
        return True

    def _refuse(self, problem: str) -> bool:
        log.error("config_refused", worker=self._name, problem=problem)
        note_reload(FAILED)
        return False


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()


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


def _stop_on_signals(certificate: Certificate | None, *, alone: bool) -> tuple[asyncio.Event, asyncio.Event]:
    """Return what the first SIGTERM or SIGINT sets, and what each SIGHUP sets.

    The second SIGTERM or SIGINT ends a process that is `alone` at once.

    A worker hears most signals twice: terminals and systemd send them to every process, and the parent passes its own
    on. Only the parent is impatient, and kills.
    """
    loop, stop, hangup = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def end(number: signal.Signals) -> None:
        if alone and stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number)

    def reload() -> None:
        if certificate:
            certificate.reload()
        hangup.set()

    loop.add_signal_handler(signal.SIGHUP, reload)
    return stop, hangup
