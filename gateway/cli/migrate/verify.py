"""`gateway migrate verify`."""

from contextlib import AbstractAsyncContextManager

import click

from gateway.cli.compared import WORDS, status_of
from gateway.cli.migrate.sides import NOT_DONE, ends_of, ends_options, opened_sides
from gateway.cli.route import perform
from gateway.cli.telling import Telling
from gateway.config import Config
from gateway.migration.checking import Check
from gateway.migration.walking import Sides
from gateway.replication.comparing import Level, Mark


@click.command()
@ends_options
@click.option("--level", type=click.Choice([level.name for level in Level]), default="L1", show_default=True)
@click.option("--all", "show_same", is_flag=True, help="Name the keys that are the same, too.")
def verify(  # noqa: PLR0913  click passes each option by its name
    config: Config, source: str, target: str, *, prefix: str, jobs: int, level: str, show_same: bool
) -> None:
    """Compare FROM with TO, and print a line for each key that is not the same.

    \b
    = KEY  the same (with --all)     + KEY  TO lacks it
    * KEY  different, and in what    - KEY  only TO has it
    ~ KEY  being written             ! KEY  one of them could not be read

    L0 compares names and sizes; L1 asks both about each object, and compares metadata, checksums, and which state of
    FROM's the copy is one of; L2 reads all bytes of both.

    Exit status 0: all is the same. 1: something is not. 2: nothing is known to differ, but not all could be told.
    """  # noqa: D301  \b is a word of click's
    telling = Telling(WORDS, () if show_same else {Mark.SAME})
    opening = opened_sides(config, ends_of(config, source, target), prefix, jobs)
    perform(_verify(opening, Level[level], telling), NOT_DONE)
    raise SystemExit(status_of(telling.counted))


async def _verify(opening: AbstractAsyncContextManager[Sides], level: Level, telling: Telling) -> None:
    async with opening as sides:
        async for finding in Check(sides, level).run():
            telling.tell(finding)
    telling.end()
