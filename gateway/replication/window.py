"""How much may be asked of a storage at once: found out by how it bears it."""

import asyncio
from typing import Final

from prometheus_client import Counter, Gauge

from gateway import metrics

AT_ONCE: Final = 32  # keys, unless something else is said
GUARD: Final = 1.0  # seconds in which all complaints are one: what was under way together fails together


class Window:
    """So many keys at once: one more with each second in which the storage does all, half as many when it complains.

    Additive increase and multiplicative decrease share what a storage can do fairly among all who ask it so, and
    find the new share when that changes. https://www.rfc-editor.org/rfc/rfc5681#section-3.1
    """

    def __init__(self, most: int = AT_ONCE, *, route: str = "", target: str = "") -> None:
        self._most = self._size = float(most)
        self._heard = self._halved = -GUARD
        self.in_doubt = False  # the last that was heard is a complaint
        self._told = _told(route, target) if route else None
        self._shown = 0
        self._tell()

    @property
    def size(self) -> int:
        """How many keys may be worked on at once."""
        return int(self._size)

    def bears(self) -> None:
        """Note that the storage has done something."""
        now, self.in_doubt = _now(), False
        if self._size < self._most:
            self._size = min(self._most, self._size + min(now - self._heard, GUARD))
            self._tell()
        self._heard = now

    def complains(self) -> None:
        """Note that the storage is too busy, or does not answer."""
        now = _now()
        self._heard, self.in_doubt = now, True
        if now - self._halved >= GUARD:
            self._halved, self._size = now, max(1.0, self._size / 2)
            self._tell()
            if self._told:
                self._told[1].inc()

    def close(self) -> None:
        """Take back what was told: nobody works by it any more."""
        self._tell(0)

    def _tell(self, size: int | None = None) -> None:
        if self._told:
            before, self._shown = self._shown, self.size if size is None else size
            self._told[0].inc(self._shown - before)


def _told(route: str, target: str) -> tuple[Gauge, Counter]:
    return metrics.COPYING.labels(route, target), metrics.COPYING_HALVED.labels(route, target)


def _now() -> float:
    return asyncio.get_running_loop().time()
