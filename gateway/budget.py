"""How much memory the bodies on their way through this process may take, all of them together."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from gateway import metrics
from gateway.errors import SlowDown

PATIENCE: Final = 10.0  # seconds for which a body waits for room: longer than a wave, shorter than a client's patience


class Budget:
    """Bytes that are in use, and those who wait until enough are not: who came first is given room first.

    What a body may hold at most is taken for it before its first byte is, and given back when it is through. Nobody
    takes twice, so that nobody waits for room while he keeps others from it.
    """

    def __init__(self, limit: float = float("inf")) -> None:
        self.limit, self.used = limit, 0
        self._waiting: OrderedDict[asyncio.Future[None], int] = OrderedDict()

    def set_limit(self, limit: float) -> None:
        """Hold bodies to another limit from now on."""
        self.limit = limit
        self._admit()

    async def take(self, size: int) -> int:
        """Return, when there is room for so many bytes, how many are to be given back. Raises: SlowDown.

        Who wants more than there ever is gets all there is.
        """
        size = int(min(size, self.limit))
        if not self._waiting and self.used + size <= self.limit:
            self.used += size
            return size
        turn = asyncio.get_running_loop().create_future()
        self._waiting[turn] = size
        try:
            async with asyncio.timeout(PATIENCE):
                await turn
        except TimeoutError as error:
            self._leave(turn, size)
            raise _refusal() from error
        except BaseException:
            self._leave(turn, size)
            raise
        return size

    def give(self, size: int) -> None:
        """Give back what was taken."""
        self.used -= size
        self._admit()

    @asynccontextmanager
    async def held(self, size: int) -> AsyncIterator[None]:
        """Hold so many bytes, waiting for them. Raises: SlowDown."""
        taken = await self.take(size)
        try:
            yield
        finally:
            self.give(taken)

    @contextmanager
    def counted(self, size: int) -> Iterator[None]:
        """Hold so many bytes at once, also if that is too much."""
        self.used += size
        try:
            yield
        finally:
            self.give(size)

    def _leave(self, turn: "asyncio.Future[None]", size: int) -> None:
        """Wait no longer; what was given just now is given back."""
        if self._waiting.pop(turn, None) is None:
            self.give(size)
        else:
            self._admit()

    def _admit(self) -> None:
        while self._waiting:
            turn, size = next(iter(self._waiting.items()))
            if self.used and self.used + size > self.limit:  # alone he is let in: the limit may be smaller by now
                return
            self.used += size
            del self._waiting[turn]
            if not turn.done():  # else whoever waited was cancelled, and gives it back as soon as he notices
                turn.set_result(None)


def _refusal() -> SlowDown:
    metrics.LIMITED.labels("memory").inc()
    error = SlowDown()
    error.headers = {"Retry-After": "1"}
    return error


BUDGET: Final = Budget()
