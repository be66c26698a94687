"""Whether the gateway is ready: workers write what they know on a board in shared memory, the admin port reads it."""

import asyncio
import mmap
import secrets
import time
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple

from gateway.errors import CredentialsRefused, NoSuchBucket, S3Error, SlowDown
from gateway.routing.observe import NEVER, Observe
from gateway.storage import ListQuery

PATIENCE: Final = 5.0
TICK: Final = 1.0
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
    """A row of bytes for each worker: its state, and whether it reaches each of the backends."""

    def __init__(self, workers: int, backends: Sequence[str]) -> None:
        self.backends = tuple(backends)
        self.workers = workers
        self._width = 1 + len(self.backends)
        self._cells = mmap.mmap(-1, workers * self._width)

    def state(self, worker: int) -> State:
        """Return what a worker is at."""
        return State(self._cells[worker * self._width])

    def set_state(self, worker: int, state: State) -> None:
        """Note what a worker is at."""
        self._cells[worker * self._width] = state

    def reach(self, worker: int, backend: str) -> Reach:
        """Return whether a worker reaches a backend."""
        return Reach(self._cells[worker * self._width + 1 + self.backends.index(backend)])

    def set_reach(self, worker: int, backend: str, reach: Reach) -> None:
        """Note whether a worker reaches a backend."""
        self._cells[worker * self._width + 1 + self.backends.index(backend)] = reach

    def report(self) -> tuple[bool, dict[str, Any]]:
        """Say whether requests should be sent here, and why: one storage that is reached is worth being asked."""
        states = [self.state(worker) for worker in range(self.workers)]
        serving = [worker for worker, state in enumerate(states) if state is State.READY]
        reached = {name: self._reach(serving, index) for index, name in enumerate(self.backends)}
        ready = (
            bool(serving)
            and State.DRAINING not in states
            and Reach.UNKNOWN not in reached.values()
            and Reach.REACHABLE in reached.values()
        )
        return ready, {
            "ready": ready,
            "degraded": Reach.UNREACHABLE in reached.values(),
            "workers": [state.name.lower() for state in states],
            "backends": {name: reach.name.lower() for name, reach in reached.items()},
        }

    def _reach(self, serving: Sequence[int], backend: int) -> Reach:
        """Return the worst of what the serving workers see."""
        seen = [Reach(self._cells[worker * self._width + 1 + backend]) for worker in serving]
        return max(seen, default=Reach.UNKNOWN) if Reach.UNKNOWN not in seen else Reach.UNKNOWN


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

    async def look(self) -> None:
        """Ask every backend."""
        await asyncio.gather(*map(self._ask, self._watched))

    async def keep_looking(self) -> None:
        """Follow what is told of the backends, and ask where nothing is, until cancelled."""
        while True:
            await asyncio.sleep(TICK)
            await asyncio.gather(*(self._ask(name) for name in self._watched if self._is_to_be_asked(name)))

    def _is_to_be_asked(self, name: str) -> bool:
        backend, _, every, again = self._watched[name]
        now, asked = time.monotonic(), self._asked[name]
        if backend.answered > max(asked, backend.failed):
            self._board.set_reach(self._worker, name, Reach.REACHABLE)
        elif backend.failed > asked or self._board.reach(self._worker, name) is not Reach.REACHABLE:
            return now - asked >= again
        return self._worker == 0 and now - max(asked, backend.answered) >= every

    async def _ask(self, name: str) -> None:
        reached = await _answers(self._watched[name])
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
