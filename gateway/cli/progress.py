"""How far a command is: one line on a terminal, written over and over; elsewhere nothing."""

import sys
import time
from collections.abc import Callable
from typing import Final

import click

_REFRESH: Final = 0.2  # seconds between two states of it


class Progress:
    """The line. What else is printed is printed after `clear`."""

    def __init__(self) -> None:
        self._shown, self._next = sys.stderr.isatty(), 0.0

    def show(self, said: Callable[[], str]) -> None:
        """Show what is said, if it is time to."""
        if self._shown and time.monotonic() >= self._next:
            self._next = time.monotonic() + _REFRESH
            click.echo(f"\r\x1b[K{said()}", nl=False, err=True)

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            click.echo("\r\x1b[K", nl=False, err=True)
