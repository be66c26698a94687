"""What is found or done about each of many keys, told line by line, with the sum of it."""

import sys
import time
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final, Protocol

import click

from gateway.cli.words import amount, printable

REFRESH: Final = 0.2  # seconds between two states of the progress


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
        self._progress, self._next = sys.stderr.isatty(), 0.0

    def tell(self, told: Told) -> None:
        """Print what is told of a key, and how far it is."""
        self.counted[told.mark] += 1
        if told.mark not in self._quiet:
            self._clear()
            why = f"\t{told.why}" if told.why else ""
            click.echo(f"{told.mark} {printable(told.key)}{why}")
        if self._progress and time.monotonic() >= self._next:
            self._next = time.monotonic() + REFRESH
            click.echo(f"\r\x1b[K{self.summary()}", nl=False, err=True)

    def summary(self) -> str:
        """Return how many keys were seen, and what they are."""
        parts = [f"{self.counted[mark]} {words}" for mark, words in self._words.items() if self.counted[mark]]
        return ", ".join([amount(self.counted.total(), "key"), *parts])

    def end(self) -> None:
        """Leave the sum of it."""
        self._clear()
        click.echo(self.summary(), err=True)

    def _clear(self) -> None:
        if self._progress:
            click.echo("\r\x1b[K", nl=False, err=True)
