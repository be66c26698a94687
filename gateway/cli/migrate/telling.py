"""What `gateway migrate` says of what it does."""

from collections.abc import Collection, Mapping
from typing import Final

from gateway.cli.telling import Telling
from gateway.cli.words import size
from gateway.migration.walking import Sign, Step

WORDS: Final[Mapping[str, str]] = {
    Sign.SAME: "there already",
    Sign.COPIED: "copied",
    Sign.DELETED: "deleted",
    Sign.TAKEN: "taken by another object",
    Sign.KEPT: "kept",
    Sign.FAILED: "failed",
}
LATER: Final[Mapping[str, str]] = {Sign.COPIED: "to be copied", Sign.DELETED: "to be deleted"}  # in a dry run


class Steps(Telling):
    """Counts the bytes, too."""

    def __init__(self, quiet: Collection[str] = (), *, dry_run: bool = False) -> None:
        super().__init__({**WORDS, **LATER} if dry_run else WORDS, quiet)
        self.bytes = 0

    def take(self, step: Step) -> None:
        """Tell of a step."""
        self.bytes += step.size
        self.tell(step)

    def summary(self) -> str:
        return f"{super().summary()}, {size(self.bytes)}"
