"""The option --config, and what is told of a configuration that cannot be used."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from gateway.config import Config, ConfigError, is_exposed, load

FILE: Final = "gateway.config"  # a key of click's


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --config to a command; it is given a Config, the embedded default without the option."""
    return click.option(
        "--config",
        "-c",
        metavar="FILE",
        callback=_read,
        help="Configuration file. Without it: local disk in ./data, http://127.0.0.1:9000.",
    )(command)


def config_file() -> Path | None:
    """Return the file that the command was given by --config."""
    value: str | None = click.get_current_context().meta.get(FILE)
    return Path(value) if value else None


def _read(context: click.Context, _parameter: click.Parameter, value: str | None) -> Config:
    context.meta[FILE] = value
    if value is None:
        return Config.model_validate({})
    try:
        config = load(Path(value))
    except ConfigError as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from error
    if is_exposed(Path(value), config):
        click.echo(f"{value}: holds secret keys and can be read by everybody on this machine; chmod 600 it", err=True)
    return config
