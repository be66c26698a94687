"""Whether a backend is worth asking: trips on failures, and lets nobody through until probes have succeeded."""

import random
from collections import deque
from typing import Final

WINDOW: Final = 10.0  # seconds of which failures are counted
ENOUGH: Final = 20  # calls in the window before a ratio says anything
RATIO: Final = 0.5
IN_A_ROW: Final = 5  # connections that failed one after another
FIRST_PAUSE: Final = 5.0  # seconds until the first probe, doubled with each that fails
LONGEST_PAUSE: Final = 60.0
SUCCESSES: Final = 3  # probes in a row that close it again


class Breaker:
    """Counts what became of the calls of one kind (reads, or writes) to one backend.

    Times are seconds of a clock that never goes back. Only failures of the backend are told to `record`: what the
    client did wrong is a success, and what the client broke off is nothing at all.
    """

    def __init__(self, now: float) -> None:
        self.changed = now  # since when it has been open, or closed
        self.open = False
        self._calls: deque[tuple[float, bool]] = deque()
        self._failed = 0
        self._unreached = 0  # in a row
        self._pause = FIRST_PAUSE
        self._probe_at = now
        self._good_probes = 0

    def record(self, now: float, *, ok: bool, reached: bool = True) -> bool:
        """Count a call, and say whether it is the one that opens it. `reached`: there was a connection."""
        if self.open:
            return False  # one that was under way when it tripped
        self._forget(now)
        self._calls.append((now, ok))
        self._failed += not ok
        self._unreached = self._unreached + 1 if not (ok or reached) else 0
        if self._unreached >= IN_A_ROW or (len(self._calls) >= ENOUGH and self._failed >= RATIO * len(self._calls)):
            self._trip(now)
        return self.open

    def idle_for(self, now: float) -> float:
        """Return for how long nothing has been heard of the backend."""
        return now - (self._calls[-1][0] if self._calls else self.changed)

    @property
    def in_doubt(self) -> bool:
        """Whether the last that was heard of the backend is that it could not be reached."""
        return self._unreached > 0

    def probe_due(self, now: float) -> bool:
        """Say whether it is open and may be tried."""
        return self.open and now >= self._probe_at

    def probed(self, now: float, *, ok: bool) -> None:
        """Count a probe: some in a row close it, one that fails lets it rest for longer."""
        if not self.open:
            self.record(now, ok=ok, reached=ok)
            return
        if not ok:
            self._good_probes = 0
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            self._probe_at = now + self._pause * random.uniform(0.75, 1.25)  # noqa: S311  no secret
            return
        self._good_probes += 1
        self._probe_at = now
        if self._good_probes >= SUCCESSES:
            self.open, self.changed = False, now
            self._pause, self._unreached = FIRST_PAUSE, 0

    def _trip(self, now: float) -> None:
        self.open, self.changed = True, now
        self._calls.clear()
        self._failed = self._good_probes = 0
        self._probe_at = now + self._pause * random.uniform(0.75, 1.25)  # noqa: S311  no secret

    def _forget(self, now: float) -> None:
        while self._calls and self._calls[0][0] < now - WINDOW:
            self._failed -= not self._calls.popleft()[1]
