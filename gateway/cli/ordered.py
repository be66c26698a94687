"""What an operator orders by a command, for the audit log."""

import os
import pwd
import socket
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from gateway.cli.route import opened_state
from gateway.config import Config
from gateway.errors import S3Error
from gateway.orders import leave
from gateway.replication.records import new_id
from gateway.server.audit import DONE, FAILED
from gateway.server.bind import StartError

T = TypeVar("T")


async def ordered(
    config: Config, bucket: str, work: Coroutine[Any, Any, T], failed: Callable[[T], str] = lambda _: ""
) -> T:
    """Do what is ordered, and leave word of it, and of what became of it, for the audit log of a gateway.

    `failed` says of what it returns why it is no success.
    """
    context, moment = click.get_current_context(), datetime.now(UTC)
    said = {
        "operation": context.command_path.partition(" ")[2],
        "bucket": bucket,
        "options": _options(context),
        "by": f"{who()}@{socket.gethostname()}",
        "ordered": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    error = ""
    try:
        result = await work
        error = failed(result)
    except BaseException as problem:
        error = problem.code if isinstance(problem, S3Error) else type(problem).__name__
        raise
    else:
        return result
    finally:
        if config.log.audit and config.keeps_state:
            await _leave(config, {**said, "error": error, "result": FAILED if error else DONE})


def status(code: int) -> str:
    """Return what the audit log says of the exit status of a command."""
    return f"status {code}" if code else ""


def who() -> str:
    """Return who runs this program."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def _options(context: click.Context) -> str:
    """Return what else was said."""
    said = []
    for parameter in context.command.params:
        name = parameter.name or ""
        if name in {"config", "bucket"} or context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value = context.params[name]
        named = name if isinstance(parameter, click.Argument) else parameter.opts[0]
        said.append(
            f"{named}" if value is True else f"{named}={','.join(value) if isinstance(value, tuple) else value}"
        )
    return " ".join(said)


async def _leave(config: Config, said: dict[str, str]) -> None:
    try:
        async with opened_state(config) as store:
            await leave(store, new_id(), said)
    except (StartError, S3Error) as problem:
        click.echo(f"the audit log will not tell of this: {problem}", err=True)
