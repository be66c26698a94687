"""The examination of the backends that the admin port tells of: the last one, and a new one for who asks."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import structlog

EVERY: Final = 600.0  # seconds between two: each makes some hundred requests of every backend, which may cost money

Examine = Callable[[], Awaitable[dict[str, Any]]]

log = structlog.get_logger()


class Checkup:
    """Has the backends examined, one examination at a time, and keeps what came out."""

    def __init__(self, examine: Examine) -> None:
        self._examine = examine
        self._task: asyncio.Task[dict[str, Any]] | None = None
        self._free = 0.0  # when the next may begin
        self._last: dict[str, Any] | None = None
        self._ended: str | None = None

    def report(self) -> dict[str, Any]:
        """Return the last result, None if there is none yet, and whether one is on its way."""
        return {"running": self._is_running, "ended": self._ended, "result": self._last}

    def begin(self) -> float:
        """Begin an examination and return 0, or return the seconds to wait until one may be asked for."""
        left = self._free - time.monotonic()
        if self._is_running or left > 0:
            return max(left, 1.0)
        self._free = time.monotonic() + EVERY
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(_tell_failure)
        return 0.0

    async def close(self) -> None:
        """Give up what is on its way, once it has cleared away what it did."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    @property
    def _is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    async def _run(self) -> dict[str, Any]:
        log.info("check_began")
        self._last = await self._examine()
        self._ended = datetime.now(UTC).isoformat(timespec="seconds")
        log.info("check_ended", healthy=self._last.get("healthy"), problems=self._last.get("problems"))
        return self._last


def _tell_failure(task: asyncio.Task[dict[str, Any]]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("check_failed", exc_info=error)
