"""FROM and TO of `gateway migrate`: how they are said, and opened."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, NamedTuple

import click
from pydantic import ValidationError

from gateway.app import open_backends
from gateway.cli.configured import config_option
from gateway.cli.route import fail
from gateway.config import Config
from gateway.config.models import Elsewhere
from gateway.errors import NotImplementedByGateway
from gateway.migration.walking import Sides, concerns_all
from gateway.rates import Ledger
from gateway.replication.window import Window
from gateway.routes import placed
from gateway.routing.sparing import Allowance, Sparing

NOT_DONE: Final = 2  # the exit status where something could not be done, or told


class Ends(NamedTuple):
    """Where a bucket lies, and where it goes."""

    source: Elsewhere
    target: Elsewhere

    @property
    def bucket(self) -> str:
        """The name by which both are known here: that of the bucket at its old place."""
        return str(self.source.name)


def ends_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add FROM and TO, and what all three commands know, to a command."""
    options = (
        click.argument("source", metavar="FROM"),
        click.argument("target", metavar="TO"),
        click.option("--prefix", default="", help="Only keys that begin with this."),
        click.option("--jobs", type=click.IntRange(1, 512), default=32, show_default=True, help="Keys at once."),
        config_option,
    )
    for option in reversed(options):  # the last that is added comes first
        command = option(command)
    return command


def ends_of(config: Config, source: str, target: str) -> Ends:
    """Return what FROM and TO say, or end the program."""
    ends = Ends(_read(config, source), _read(config, target))
    if _are_one(config, *ends):
        fail(f"{source} and {target} are the same, or one is in the other", NOT_DONE)
    return ends


@asynccontextmanager
async def opened_sides(config: Config, ends: Ends, prefix: str, jobs: int, limit: int = 0) -> AsyncIterator[Sides]:
    """Open both; no more than `limit` bytes are written in a second, 0 is as many as may be. Raises: StartError."""
    allowance = Allowance(Ledger(), ends.bucket, ends.target.backend, bandwidth=limit)
    window = Window(allowance.at_once(jobs))
    async with AsyncExitStack() as opened:
        backends = await open_backends(config, (each.backend for each in ends), opened)
        source, target = (Sparing(placed(ends.bucket, each, backends), window, allowance) for each in ends)
        yield Sides(source, target, ends.bucket, window, prefix)


async def explained(place: str, work: Coroutine[Any, Any, int]) -> int:
    """Do something; where a storage lacks what every key needs, end the program and say what can be done about it."""
    try:
        return await work
    except NotImplementedByGateway as error:
        if not concerns_all(error):
            raise
        fail(f"{place}: its server knows no such conditions; if nobody else writes there: --exclusive", NOT_DONE)


def _read(config: Config, said: str) -> Elsewhere:
    backend, colon, place = said.partition(":")
    bucket, _, prefix = place.partition("/")
    if not colon:
        fail(f"{said}: expected a backend and a bucket there, such as aws:media", NOT_DONE)
    if backend not in config.backends:
        fail(f'{said}: there is no backend "{backend}", there are: {", ".join(config.backends)}', NOT_DONE)
    try:
        return Elsewhere.model_validate({"backend": backend, "name": bucket, "prefix": prefix})
    except ValidationError as error:
        fail(f"{said}: {error.errors()[0]['msg']}", NOT_DONE)


def _are_one(config: Config, one: Elsewhere, other: Elsewhere) -> bool:
    """Say whether keys of both are the same objects."""
    is_one_backend = config.backends[one.backend] == config.backends[other.backend]
    is_nested = one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix)
    return is_one_backend and one.name == other.name and is_nested
