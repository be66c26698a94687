"""Tells the process that makes variants, beside the workers, that they have left something for it in the queue.

The queue says the same to whoever asks it: who is not told in time comes a moment later.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

_MANY: Final = 4096  # rings that are answered together


class Bell:
    """Made before the processes are forked that ring it, and the one that answers."""

    def __init__(self, number: int) -> None:
        """Be for the process of this number."""
        self._number = number
        self._heard, self._rung = os.pipe()
        for end in (self._heard, self._rung):
            os.set_blocking(end, False)

    def is_for(self, number: int) -> bool:
        """Say whether it is the process of this number that answers."""
        return number == self._number

    def ring(self) -> None:
        """Have `heard` be called there; it neither waits nor fails."""
        with suppress(BlockingIOError):  # so many rings wait that one more makes no difference
            os.write(self._rung, b"\0")

    @contextmanager
    def answered(self, heard: Callable[[], None]) -> Iterator[None]:
        """Call `heard` when somebody has rung; for a while there may be two who answer, of two configurations."""
        loop, end = asyncio.get_running_loop(), os.dup(self._heard)

        def answer() -> None:
            with suppress(BlockingIOError):  # the other one has read it
                os.read(end, _MANY)
            heard()

        loop.add_reader(end, answer)
        try:
            yield
        finally:
            loop.remove_reader(end)
            os.close(end)
