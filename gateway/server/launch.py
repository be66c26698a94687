"""One process or several: how the workers, the admin port and their metrics are set up around a plan."""

import asyncio
import gc
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import uvloop
from prometheus_client.multiprocess import mark_process_dead

from gateway.server.admin import admin_server
from gateway.server.descriptors import raise_limit
from gateway.server.health import State
from gateway.server.process import Plan, work
from gateway.server.relay import Relay
from gateway.server.workers import Job, Supervisor


@dataclass(frozen=True, slots=True)
class Launch:
    """What runs a plan. `shared` is the folder where the metrics of several processes meet."""

    plan: Plan
    admin: Sequence[socket.socket]
    shared: str

    def run(self) -> int:
        """Serve until told to end. Return the exit code."""
        raise_limit()
        if self._count == 1 and not self.plan.beside:
            uvloop.run(work(replace(self.plan, admin=self.admin)))
            return 0
        relay = Relay(self.plan.source)
        return replace(self, plan=replace(self.plan, source=relay)).supervise(relay)

    def supervise(self, relay: Relay) -> int:
        """Have children serve, and pass on to them what is new. Return the exit code."""
        gc.collect()
        gc.freeze()  # who looks for cycles among what is there now would write on pages that all share
        workers: dict[str, Job] = {str(number): partial(self._worker, number) for number in range(self._count)}
        helpers: dict[str, Job] = {"admin": self._admin} if self.admin else {}
        helpers |= {
            name: partial(self._beside, name, number) for number, name in enumerate(self.plan.beside, self._count)
        }
        return Supervisor(workers, helpers, self._was_ready, self._clean_up, relay.post).run()

    @property
    def _count(self) -> int:
        return self.plan.board.workers

    def _worker(self, number: int, parent: int) -> None:
        uvloop.run(work(self.plan, number, parent))

    def _beside(self, name: str, number: int, parent: int) -> None:
        uvloop.run(work(self.plan.without_port(name), number, parent))

    def _admin(self, parent: int) -> None:
        uvloop.run(_serve_admin(self, parent))

    def _was_ready(self, name: str) -> bool:
        return not name.isdecimal() or self.plan.board.state(int(name)) is not State.STARTING

    def _clean_up(self, name: str, pid: int) -> None:
        """Forget what a process that ended has left: its row, and its gauges, which count the living."""
        mark_process_dead(pid, self.shared)  # type: ignore[no-untyped-call]  # missing in prometheus_client
        if name.isdecimal() and self._was_ready(name):
            self.plan.board.set_state(int(name), State.GONE)


async def _serve_admin(launch: Launch, parent: int) -> None:
    plan, stop, loop = launch.plan, asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGHUP, plan.source.look)
    loop.add_reader(parent, stop.set)
    async with admin_server(launch.admin, plan.board, launch.shared, plan.examiner()):
        await stop.wait()
