"""Whether the gateway is ready: workers write what they know on a board in shared memory, the admin port reads it."""

import asyncio
import mmap
import secrets
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, Final

from gateway.errors import NoSuchBucket, S3Error
from gateway.storage import Backend

INTERVAL: Final = 2.0
PATIENCE: Final = 5.0
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

    def set_reach(self, worker: int, backend: str, reach: Reach) -> None:
        """Note whether a worker reaches a backend."""
        self._cells[worker * self._width + 1 + self.backends.index(backend)] = reach

    def report(self) -> tuple[bool, dict[str, Any]]:
        """Say whether requests should be sent here, and why."""
        states = [self.state(worker) for worker in range(self.workers)]
        serving = [worker for worker, state in enumerate(states) if state is State.READY]
        reached = {name: self._reach(serving, index) for index, name in enumerate(self.backends)}
        ready = (
            bool(serving)
            and State.DRAINING not in states
            and all(reach is Reach.REACHABLE for reach in reached.values())
        )
        return ready, {
            "ready": ready,
            "workers": [state.name.lower() for state in states],
            "backends": {name: reach.name.lower() for name, reach in reached.items()},
        }

    def _reach(self, serving: Sequence[int], backend: int) -> Reach:
        """Return the worst of what the serving workers see."""
        seen = [Reach(self._cells[worker * self._width + 1 + backend]) for worker in serving]
        return max(seen, default=Reach.UNKNOWN) if Reach.UNKNOWN not in seen else Reach.UNKNOWN


async def look(backends: Mapping[str, Backend], board: Board, worker: int) -> None:
    """Note on the board which backends can be reached now."""
    for name, backend in backends.items():
        board.set_reach(worker, name, Reach.REACHABLE if await _reachable(backend) else Reach.UNREACHABLE)


async def keep_looking(backends: Mapping[str, Backend], board: Board, worker: int) -> None:
    """Look again and again, until cancelled."""
    while True:
        await look(backends, board, worker)
        await asyncio.sleep(INTERVAL)


async def _reachable(backend: Backend) -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            await backend.head_bucket(NO_BUCKET)
    except NoSuchBucket:
        return True
    except (S3Error, TimeoutError):
        return False
    return True
