"""Options that are durations and sizes, as the configuration writes them."""

from collections.abc import Callable
from typing import Any

import click


def read_by(parse: Callable[[object], object]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """Return a callback that reads an option; one that is not given stays None."""

    def read(_context: click.Context, _parameter: click.Parameter, value: str | None) -> object:
        try:
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return read
