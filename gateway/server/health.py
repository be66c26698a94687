"""Whether the gateway is ready: workers write what they know on a board in shared memory, the admin port reads it."""

import asyncio
import json
import mmap
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple

from gateway import metrics
from gateway.errors import CredentialsRefused, NoSuchBucket, S3Error, SlowDown
from gateway.routing.observe import NEVER, Observe
from gateway.server.slate import Slate
from gateway.storage import ListQuery

PATIENCE: Final = 5.0
TICK: Final = 1.0
WIDTH: Final = 4096  # bytes: a state, and backends
NAMES: Final = 256 * 1024  # bytes
# A storage that says that this does not exist has been reached. In clouds all accounts share the names of buckets, so
# that it is one which nobody can have taken.
NO_BUCKET: Final = f"gateway-readiness-{secrets.token_hex(12)}"


class State(IntEnum):
    """Of a worker."""

    STARTING = 0
    READY = 1
    DRAINING = 2
    GONE = 3


class Reach(IntEnum):
    """Of a backend, as a worker sees it."""

    UNKNOWN = 0
    REACHABLE = 1
    UNREACHABLE = 2


class Board:
    """A row of bytes for each worker: its state, and whether it reaches each of the backends.

    Processes `beside` the workers have rows, too, that nobody is told of: whether requests are answered is not theirs
    to say. What a byte is about never changes: backends are added, and one that is gone is known to no worker any more.
    """

    def __init__(self, workers: int, backends: Iterable[str], beside: int = 0) -> None:
        self.workers = workers
        self.slate = Slate()  # what is told of the configuration and of replicated buckets
        self._cells = mmap.mmap(-1, (workers + beside) * WIDTH)
        self._names = mmap.mmap(-1, NAMES)  # a line for each, in JSON
        self._columns: dict[str, int] = {}
        self._read = 0  # how much of the names
        self.add(backends)

    def add(self, backends: Iterable[str]) -> None:
        """Make room for backends, before any worker has them. One process does that; without room, none is told of."""
        known = self._known()
        added = "".join(f"{json.dumps(name)}\n" for name in backends if name not in known).encode()
        if self._read + len(added) < NAMES and len(known) + added.count(b"\n") < WIDTH:
            self._names[self._read : self._read + len(added)] = added

    def state(self, worker: int) -> State:
        """Return what a worker is at."""
        return State(self._cells[worker * WIDTH])

    def set_state(self, worker: int, state: State) -> None:
        """Note what a worker is at; one that is gone knows of no backend."""
        if state is State.GONE:
            self._cells[worker * WIDTH : (worker + 1) * WIDTH] = bytes(WIDTH)
        self._cells[worker * WIDTH] = state

    def reach(self, worker: int, backend: str) -> Reach:
        """Return whether a worker reaches a backend."""
        column = self._known().get(backend)
        return Reach.UNKNOWN if column is None else Reach(self._cells[worker * WIDTH + column])

    def set_reach(self, worker: int, backend: str, reach: Reach) -> None:
        """Note whether a worker reaches a backend."""
        column = self._known().get(backend)
        if column is not None:
            self._cells[worker * WIDTH + column] = reach

    def report(self) -> tuple[bool, dict[str, Any]]:
        """Say whether requests should be sent here, and why: one storage that is reached is worth being asked."""
        states = [self.state(worker) for worker in range(self.workers)]
        serving = [worker for worker, state in enumerate(states) if state is State.READY]
        seen = {name: self._reach(serving, column) for name, column in self._known().items()}
        reached = {name: reach for name, reach in seen.items() if reach is not Reach.UNKNOWN or not serving}
        ready = bool(serving) and State.DRAINING not in states and Reach.REACHABLE in reached.values()
        return ready, {
            "ready": ready,
            "degraded": Reach.UNREACHABLE in reached.values(),
            "workers": [state.name.lower() for state in states],
            "backends": {name: reach.name.lower() for name, reach in reached.items()},
        }

    def _reach(self, serving: Sequence[int], column: int) -> Reach:
        """Return the worst of what the serving workers see: one that has just been told of a backend sees nothing."""
        return max((Reach(self._cells[worker * WIDTH + column]) for worker in serving), default=Reach.UNKNOWN)

    def _known(self) -> Mapping[str, int]:
        """Return the column of each backend."""
        end = self._names.find(b"\0", self._read)
        if end != self._read:
            *lines, begun = self._names[self._read : end].split(b"\n")
            for line in lines:
                self._columns[json.loads(line)] = 1 + len(self._columns)
            self._read = end - len(begun)
        return self._columns


class Watched(NamedTuple):
    """A backend, and how it is asked whether it is there: by a bucket, so often where nothing else tells."""

    backend: Observe
    bucket: str = NO_BUCKET
    every: float = 30.0
    again: float = 5.0  # where it could not be reached


class Lookout:
    """Notes on the board, for one worker, which backends can be reached.

    What clients ask of a backend tells it, too: only one that has not been heard of for long is asked, and only by the
    first worker, because clouds bill each question. One that has failed is asked by whoever saw it fail.
    """

    def __init__(self, watched: Mapping[str, Watched], board: Board, worker: int) -> None:
        self._watched, self._board, self._worker = watched, board, worker
        self._asked = dict.fromkeys(watched, NEVER)

    async def watch(self, watched: Mapping[str, Watched]) -> None:
        """Look after other backends from now on, and ask those that are new."""
        for name in self._watched.keys() - watched.keys():
            self._board.set_reach(self._worker, name, Reach.UNKNOWN)
        new = [name for name, one in watched.items() if self._is_new(name, one)]
        self._watched, self._asked = watched, {name: self._asked.get(name, NEVER) for name in watched}
        await asyncio.gather(*map(self._ask, new))

    async def look(self) -> None:
        """Ask every backend."""
        await asyncio.gather(*map(self._ask, self._watched))

    async def keep_looking(self) -> None:
        """Follow what is told of the backends, and ask where nothing is, until cancelled."""
        while True:
            await asyncio.sleep(TICK)
            for name, watched in self._watched.items():
                metrics.BACKEND_IN_FLIGHT.labels(name).set(watched.backend.under_way)
            await asyncio.gather(*(self._ask(name) for name in self._watched if self._is_to_be_asked(name)))

    def _is_new(self, name: str, watched: Watched) -> bool:
        return name not in self._watched or self._watched[name].backend is not watched.backend

    def _is_to_be_asked(self, name: str) -> bool:
        backend, _, every, again = self._watched[name]
        now, asked = time.monotonic(), self._asked[name]
        if backend.answered > max(asked, backend.failed):
            self._board.set_reach(self._worker, name, Reach.REACHABLE)
        elif backend.failed > asked or self._board.reach(self._worker, name) is not Reach.REACHABLE:
            return now - asked >= again
        return self._worker == 0 and now - max(asked, backend.answered) >= every

    async def _ask(self, name: str) -> None:
        watched = self._watched[name]
        reached = await _answers(watched)
        if self._watched.get(name, (None,))[0] is not watched.backend:  # meanwhile it was taken away
            return
        self._asked[name] = time.monotonic()
        self._board.set_reach(self._worker, name, Reach.REACHABLE if reached else Reach.UNREACHABLE)


async def _answers(watched: Watched) -> bool:
    """Say whether a storage answers; that it denies us this bucket, or knows of none, is an answer."""
    try:
        async with asyncio.timeout(PATIENCE):
            await watched.backend.list_objects(watched.bucket, ListQuery(limit=0))
    except (NoSuchBucket, CredentialsRefused, SlowDown):
        return True
    except (S3Error, TimeoutError):
        return False
    return True
