"""Rates that many are held to, each by name, in memory of a fixed size that all workers share."""

import mmap
from typing import Final

ROWS: Final = 2
CELLS: Final = 2**19  # in each row; a page of memory is only there once it was written to


class Ledger:
    """When each of many will be even again, on the clock of `time.monotonic`, which all processes of a machine share.

    A name stands in one cell of each row, and is taken to owe the least of what these say: two who share one cell do
    not notice, and those who share all, one in 10^11 pairs, are as one. Nothing grows, however many there are. The
    seed of `hash` is secret, and the same in all workers, which are forked. Two workers that write at the same moment
    may forget one of two debts: a limit is a little too mild then.
    """

    def __init__(self) -> None:
        self._cells = memoryview(mmap.mmap(-1, ROWS * CELLS * 8)).cast("d")

    def ahead(self, name: str, now: float) -> float:
        """Return for how many seconds a name has already taken what it may have."""
        return max(0.0, min([self._cells[cell] for cell in _cells(name)]) - now)

    def take(self, name: str, seconds: float, now: float) -> float:
        """Note that a name takes what it may have in so many seconds, and return how far it is ahead then."""
        cells = _cells(name)
        even = max(now, min([self._cells[cell] for cell in cells])) + seconds
        for cell in cells:
            self._cells[cell] = max(self._cells[cell], even)
        return even - now


def _cells(name: str) -> tuple[int, int]:
    digest = hash(name)
    return digest % CELLS, CELLS + (digest >> 24) % CELLS
