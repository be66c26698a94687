"""Who waits for a database: where that are too many, or the first for too long, the next one is not let in."""

import time
from collections import OrderedDict
from typing import Final

from gateway import metrics
from gateway.errors import SlowDown

LONGEST: Final = 2000  # works: about a second of what a disk of a laptop commits, and a few MB of memory
SLOWEST: Final = 2.0  # seconds: a client that is told to repeat goes on sooner than one that waits for its timeout


class Line:
    """The works that wait, in the order in which they came."""

    def __init__(self) -> None:
        self._since: OrderedDict[object, float] = OrderedDict()

    def check(self) -> None:
        """Return if one more may come. Raises: SlowDown."""
        if not self._since:
            return
        first = next(iter(self._since.values()))
        if len(self._since) >= LONGEST or time.monotonic() - first > SLOWEST:
            metrics.LIMITED.labels("state").inc()
            raise SlowDown

    def enter(self) -> object:
        """Stand in line; what is returned is for `leave`."""
        place = object()
        self._since[place] = time.monotonic()
        return place

    def leave(self, place: object) -> None:
        """Wait no more."""
        self._since.pop(place, None)
