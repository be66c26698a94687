"""Whether a history of one key can be explained by some order of its operations (Wing and Gong's search)."""

from collections.abc import Sequence
from typing import NamedTuple

LIMIT = 2_000_000  # states looked at before giving up


class Operation(NamedTuple):
    """One call of a client. `ended` is infinite, and `ok` false, where nobody knows what became of it.

    `kind` is get, put or delete, create (a put where nothing was), swap (a put where `result` was) or found (something
    was, whatever it was). `value` is what was put, `result` what was got (None: nothing was there).
    """

    kind: str
    value: str | None
    result: str | None
    began: float
    ended: float
    ok: bool

    @property
    def is_write(self) -> bool:
        return self.kind in {"put", "create", "swap", "delete"}

    def fits(self, held: str | None) -> bool:
        """Say whether it can have taken effect while the key held that."""
        if self.kind == "found":
            return held is not None
        return held == self.result if self.kind in {"get", "create", "swap"} else True


def is_linearizable(history: Sequence[Operation]) -> bool:
    """Say whether each operation can have taken effect at one moment between its beginning and its end.

    Reads that failed say nothing; writes that failed may have taken effect at any later time, or never.
    """
    known = [each for each in history if each.ok or each.is_write]
    must = sum(1 << index for index, each in enumerate(known) if each.ok)
    seen: set[tuple[int, str | None]] = set()
    states: list[tuple[int, str | None]] = [(0, None)]
    while states:
        state = states.pop()
        if state in seen:
            continue
        seen.add(state)
        if len(seen) > LIMIT:
            raise RuntimeError("too many orders to look at")
        done, value = state
        if done & must == must:
            return True
        left = [(index, each) for index, each in enumerate(known) if not done >> index & 1]
        first_end = min((each.ended for _, each in left if each.ok), default=float("inf"))
        for index, each in left:
            if each.began <= first_end and each.fits(value):
                states.append((done | 1 << index, each.value if each.is_write else value))
    return False
