"""What is found or done about each of many keys, told line by line, with the sum of it."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Protocol

import click

from gateway.cli.progress import Progress
from gateway.cli.words import amount, printable


class Told(Protocol):
    """What is told of one key: what it is, as a character, and why."""

    @property
    def mark(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def why(self) -> str: ...


class Telling:
    """Prints a line for each key but those with `quiet` marks, and on a terminal how far it is.

    `words` say what the marks mean, in the order of the sum.
    """

    def __init__(self, words: Mapping[str, str], quiet: Collection[str] = ()) -> None:
        self.counted: Counter[str] = Counter()
        self._words, self._quiet = words, quiet
        self._progress = Progress()

    def tell(self, told: Told) -> None:
        """Print what is told of a key, and how far it is."""
        self.counted[told.mark] += 1
        if told.mark not in self._quiet:
            self._progress.clear()
            why = f"\t{told.why}" if told.why else ""
            click.echo(f"{told.mark} {printable(told.key)}{why}")
        self._progress.show(self.summary)

    def summary(self) -> str:
        """Return how many keys were seen, and what they are."""
        parts = [f"{self.counted[mark]} {words}" for mark, words in self._words.items() if self.counted[mark]]
        return ", ".join([amount(self.counted.total(), "key"), *parts])

    def end(self) -> None:
        """Leave the sum of it."""
        self._progress.clear()
        click.echo(self.summary(), err=True)
