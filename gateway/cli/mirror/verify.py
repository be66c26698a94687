"""`gateway mirror verify` and `gateway mirror repair`: whether a mirror holds what its primary does."""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import click

from gateway.cli.compared import COULD_NOT_TELL, WORDS, WRONG, status_of
from gateway.cli.configured import config_option
from gateway.cli.ordered import ordered
from gateway.cli.route import entry_of, fail, journal_of, mirrors_of, opened_sides, opened_state, perform
from gateway.cli.telling import Telling
from gateway.cli.units import read_by
from gateway.cli.words import amount
from gateway.config import Config
from gateway.config.models import EVERY_OTHER
from gateway.config.units import seconds
from gateway.replication.comparing import Finding, Level, Mark
from gateway.replication.verify import Verify

BATCH: Final = 500  # keys that are marked at once
MENDED: Final = {Mark.MISSING, Mark.DIFFERENT}


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.argument("bucket"),
        click.option("--mirror", metavar="BACKEND", help="Which one; needed where there are several."),
        click.option("--level", type=click.Choice([level.name for level in Level]), default="L1", show_default=True),
        click.option("--prefix", default="", help="Only keys that begin with this."),
        click.option(
            "--wait",
            default="10s",
            show_default=True,
            callback=read_by(seconds),
            help="How long, at the end, for what is to be copied yet.",
        ),
        click.option("--all", "show_same", is_flag=True, help="Name the keys that are the same, too."),
        config_option,
    ):
        command = option(command)
    return command


@click.command()
@_options
def verify(  # noqa: PLR0913  click passes each option by its name
    config: Config, bucket: str, *, mirror: str | None, level: str, prefix: str, wait: float, show_same: bool
) -> None:
    """Compare a mirror of BUCKET with the primary, and print a line for each key that is not the same.

    \b
    = KEY  the same (with --all)     + KEY  the mirror lacks it
    * KEY  different, and in what    - KEY  only the mirror has it
    ~ KEY  to be copied yet          ! KEY  one of them could not be read

    L0 compares names and sizes; L1 asks both about each object, and compares metadata, checksums, and which state of
    the original the copy is one of; L2 reads all bytes of both.

    Exit status 0: all is the same. 1: something is not. 2: nothing is known to differ, but not all could be told.
    """  # noqa: D301  \b is a word of click's
    counted = _compare(config, bucket, mirror, Level[level], _Told(prefix, wait, show_same=show_same))
    raise SystemExit(status_of(counted))


@click.command()
@_options
def repair(  # noqa: PLR0913  click passes each option by its name
    config: Config, bucket: str, *, mirror: str | None, level: str, prefix: str, wait: float, show_same: bool
) -> None:
    """Compare a mirror of BUCKET with the primary as `verify` does, and have the gateway copy what is not the same.

    What only the mirror has stays there. Exit status 0: all is the same now, or will be copied. 1: there is something
    that only the mirror has. 2: not all could be told.
    """
    counted = _compare(config, bucket, mirror, Level[level], _Told(prefix, wait, show_same=show_same, mend=True))
    if marked := sum(counted[mark] for mark in MENDED):
        click.echo(f"{amount(marked, 'key')} will be copied by the gateway", err=True)
    raise SystemExit(status_of(counted, WRONG - MENDED))


class _Told(Telling):
    """What is wanted, and what is told on the way."""

    def __init__(self, prefix: str, wait: float, *, show_same: bool, mend: bool = False) -> None:
        super().__init__({**WORDS, Mark.PENDING: "to be copied yet"}, () if show_same else {Mark.SAME})
        self.prefix, self.wait, self.mend = prefix, wait, mend


def _compare(config: Config, bucket: str, mirror: str | None, level: Level, told: _Told) -> Counter[str]:
    if bucket == EVERY_OTHER:
        fail("one bucket can be compared at a time")
    entry = entry_of(config, bucket)
    names = mirrors_of(config, entry, mirror)
    if len(names) > 1:
        fail(f"{bucket}: has several mirrors, say which: --mirror {', --mirror '.join(names)}", COULD_NOT_TELL)
    walk = _walk(config, (entry, bucket, names[0]), level, told)
    perform(ordered(config, bucket, walk) if told.mend else walk, COULD_NOT_TELL)
    return told.counted


async def _walk(config: Config, where: tuple[str, str, str], level: Level, told: _Told) -> None:
    entry, bucket, mirror = where
    to_mend: list[Finding] = []
    async with opened_state(config) as store, opened_sides(config, entry, mirror) as (primary, other):
        checking = Verify(journal_of(config, entry, store), mirror, primary, other, level)
        async for finding in checking.run(bucket, told.prefix, told.wait):
            told.tell(finding)
            if told.mend and finding.mark in MENDED:
                to_mend.append(finding)
            if len(to_mend) >= BATCH:
                await checking.mend(bucket, to_mend)
                to_mend = []
        await checking.mend(bucket, to_mend)
    told.end()
