"""`gateway migrate delete-source`."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import partial
from typing import Final

import click

from gateway.cli.migrate.sides import NOT_DONE, ends_of, ends_options, explained, opened_sides
from gateway.cli.migrate.telling import Steps
from gateway.cli.ordered import ordered, status
from gateway.cli.route import perform
from gateway.cli.units import read_by
from gateway.cli.words import amount, size
from gateway.config import Config
from gateway.config.units import seconds
from gateway.migration.deleting import Removal
from gateway.migration.walking import Sides, Sign
from gateway.replication.comparing import Level

LEVELS: Final = [Level.L1.name, Level.L2.name]


@click.command("delete-source")
@ends_options
@click.option(
    "--min-age", default="24h", show_default=True, callback=read_by(seconds), help="Younger objects are kept."
)
@click.option("--level", type=click.Choice(LEVELS), default="L1", show_default=True, help="L2 reads all bytes of both.")
@click.option("--exclusive", is_flag=True, help="Nobody else writes to FROM: its server need not know conditions.")
@click.option("--yes", is_flag=True, help="Do not count first, and do not ask.")
@click.option("--dry-run", is_flag=True, help="Say what would be deleted, and delete nothing.")
def delete_source(  # noqa: PLR0913  click passes each option by its name
    config: Config,
    source: str,
    target: str,
    *,
    prefix: str,
    jobs: int,
    min_age: float,
    level: str,
    exclusive: bool,
    yes: bool,
    dry_run: bool,
) -> None:
    """Delete from FROM what `copy` has brought to TO, and print a line for each key.

    \b
    - KEY  deleted, or to be deleted    ~ KEY  kept, and why    ! KEY  failed, and why

    An object is deleted if TO has a copy of just this state of it, whole, and it is older than --min-age. First they
    are counted, and you are asked; never more are deleted than were counted, and nothing more after a failure.

    Exit status 0: all was deleted. 1: something was kept. 2: it was stopped.
    """  # noqa: D301  \b is a word of click's
    ends = ends_of(config, source, target)
    opening = partial(opened_sides, config, ends, prefix, jobs)
    removal = partial(Removal, min_age=timedelta(seconds=min_age), level=Level[level], exclusive=exclusive)
    if dry_run:
        raise SystemExit(perform(_delete(opening(), partial(removal, dry_run=True), Steps(dry_run=True)), NOT_DONE))
    if not yes:
        removal = partial(removal, most=_confirmed(source, opening(), removal))
    work = explained(source, _delete(opening(), removal, Steps()))
    raise SystemExit(perform(ordered(config, ends.bucket, work, status), NOT_DONE))


def _confirmed(source: str, opening: AbstractAsyncContextManager[Sides], removal: Callable[..., Removal]) -> int:
    """Return how many objects may be deleted, or end the program."""
    steps = Steps(frozenset(Sign), dry_run=True)
    code = perform(_delete(opening, partial(removal, dry_run=True), steps), NOT_DONE)
    count = steps.counted[Sign.DELETED]
    if code == NOT_DONE or not count:
        raise SystemExit(code)
    click.confirm(f"Delete {amount(count, 'object')}, {size(steps.bytes)}, from {source}?", abort=True, err=True)
    return count


async def _delete(
    opening: AbstractAsyncContextManager[Sides], removal: Callable[[Sides], Removal], steps: Steps
) -> int:
    async with opening as sides:
        async for step in removal(sides).run():
            steps.take(step)
    steps.end()
    return NOT_DONE if steps.counted[Sign.FAILED] else 1 if steps.counted[Sign.KEPT] else 0
