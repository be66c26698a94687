"""`gateway migrate copy`."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from typing import Final

import click

from gateway.backends.memory import Memory
from gateway.cli.migrate.sides import NOT_DONE, ends_of, ends_options, explained, opened_sides
from gateway.cli.migrate.telling import Steps
from gateway.cli.ordered import ordered, status
from gateway.cli.route import perform
from gateway.cli.units import read_by
from gateway.config import Config
from gateway.config.units import size
from gateway.errors import NoSuchBucket
from gateway.migration.bulk import Bulk
from gateway.migration.walking import Sides, Sign

QUIET: Final = frozenset({Sign.SAME})


@click.command()
@ends_options
@click.option("--limit", metavar="SIZE", callback=read_by(size), help="Bytes that are written in a second: 20MiB.")
@click.option("--overwrite-older", is_flag=True, help="Replace what others have put to TO, if it is older.")
@click.option("--exclusive", is_flag=True, help="Nobody else writes to TO: its server need not know conditions.")
@click.option("--all", "show_all", is_flag=True, help="Name the keys that were copied before, too.")
@click.option("--dry-run", is_flag=True, help="Say what would be copied, and write nothing.")
def copy(  # noqa: PLR0913  click passes each option by its name
    config: Config,
    source: str,
    target: str,
    *,
    prefix: str,
    jobs: int,
    limit: int | None,
    overwrite_older: bool,
    exclusive: bool,
    show_all: bool,
    dry_run: bool,
) -> None:
    """Copy all that FROM holds to TO, and print a line for each key.

    \b
    + KEY  copied, or to be copied     * KEY  something else is there, and stays
    = KEY  copied before (with --all)  ! KEY  failed, and why

    It may be stopped at any time, and done again: what was copied is not copied again, unless FROM has another state
    of it now. What others have put to TO stays there.

    Exit status 0: TO has all. 1: something else was in the way. 2: something could not be copied.
    """  # noqa: D301  \b is a word of click's
    ends = ends_of(config, source, target)
    steps = Steps(() if show_all else QUIET, dry_run=dry_run)
    bulk = partial(Bulk, dry_run=dry_run, overwrite_older=overwrite_older, exclusive=exclusive)
    opening = opened_sides(config, ends, prefix, jobs, limit or 0)
    work = explained(target, _copy(opening, bulk, steps, dry_run=dry_run))
    raise SystemExit(perform(work if dry_run else ordered(config, ends.bucket, work, status), NOT_DONE))


async def _copy(
    opening: AbstractAsyncContextManager[Sides], bulk: Callable[[Sides], Bulk], steps: Steps, *, dry_run: bool
) -> int:
    async with opening as sides:
        async for step in bulk(await _prepared(sides, dry_run=dry_run)).run():
            steps.take(step)
    steps.end()
    return 1 if steps.counted[Sign.TAKEN] else NOT_DONE if steps.counted[Sign.FAILED] else 0


async def _prepared(sides: Sides, *, dry_run: bool) -> Sides:
    """Have the bucket there, for a dry run an empty one that is gone with it. Raises: NoSuchBucket of the source."""
    labels = (await sides.source.head_bucket(sides.bucket)).labels
    try:
        await sides.target.head_bucket(sides.bucket)
    except NoSuchBucket:
        target = Memory() if dry_run else sides.target
        await target.create_bucket(sides.bucket, labels)
        return replace(sides, target=target)
    return sides
