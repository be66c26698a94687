"""What is found of keys that two storages hold, in words and as an exit status."""

from collections.abc import Collection, Mapping
from typing import Final

from gateway.replication.comparing import Mark

COULD_NOT_TELL: Final = 2  # the exit status where not all could be told
WORDS: Final[Mapping[str, str]] = {
    Mark.SAME: "the same",
    Mark.MISSING: "missing",
    Mark.EXTRA: "only there",
    Mark.DIFFERENT: "different",
    Mark.ERROR: "could not be read",
    Mark.PENDING: "being written",
}
WRONG: Final = frozenset({Mark.MISSING, Mark.EXTRA, Mark.DIFFERENT})
_UNCLEAR: Final = frozenset({Mark.ERROR, Mark.PENDING})


def status_of(found: Collection[str], wrong: Collection[str] = WRONG) -> int:
    """Return the exit status: 1 if anything is wrong, else 2 if not all could be told."""
    return 1 if set(wrong) & set(found) else COULD_NOT_TELL if _UNCLEAR & set(found) else 0
