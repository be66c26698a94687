"""`gateway images rebuild` and `gateway images prune`: what goes through all images of a bucket."""

import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import click

from gateway.app import opened_storage
from gateway.cli.configured import config_option
from gateway.cli.images.bucket import check_bucket
from gateway.cli.ordered import ordered, status
from gateway.cli.route import fail, perform
from gateway.cli.words import amount, printable
from gateway.config import Config
from gateway.images.going import Plan, Prune, Rebuild, Step, TooManyError, Wanted
from gateway.images.keeper import Keeper, Pictures
from gateway.imaging import finder, workers_of
from gateway.storage import Backend

INCOMPLETE: Final = 2
REFRESH: Final = 0.2  # seconds between two states of the progress
WIDTH: Final = 30  # characters of a bar


@click.command()
@click.argument("bucket")
@click.option("--prefix", default="", help="Only images whose keys begin with this.")
@click.option("--variant", "variants", multiple=True, metavar="NAME", help="Only this variant; may be said again.")
@click.option("--after", default="", metavar="KEY", help="Only images behind this one: to go on where it was stopped.")
@click.option("--force", is_flag=True, help="Make all anew, not only what is missing or not as it should be.")
@click.option("--concurrency", type=click.IntRange(1, 256), default=4, show_default=True, help="Images at once.")
@click.option("--dry-run", is_flag=True, help="Say what would be made, and make nothing.")
@config_option
def rebuild(  # noqa: PLR0913  click passes each option by its name
    config: Config,
    bucket: str,
    *,
    prefix: str,
    variants: Sequence[str],
    after: str,
    force: bool,
    concurrency: int,
    dry_run: bool,
) -> None:
    """Make the variants of BUCKET that are missing, of an older state of their image, or not as the rules want them.

    First they are counted; then they are made, and never more than were counted. It may be stopped at any time, and
    done again: what is there is not made again. Exit status 1: something could not be made.
    """
    check_bucket(config, bucket)
    _check_variants(config, bucket, variants)
    wanted = Wanted(bucket, prefix, after, frozenset(variants), force, concurrency)
    work = _rebuild(config, wanted, dry_run=dry_run)
    raise SystemExit(perform(work if dry_run else ordered(config, bucket, work, status), INCOMPLETE))


@click.command()
@click.argument("bucket")
@click.option("--prefix", default="", help="All keys that begin with this, whatever the rules say of them.")
@click.option("--concurrency", type=click.IntRange(1, 256), default=16, show_default=True, help="Keys at once.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@config_option
def prune(config: Config, bucket: str, *, prefix: str, concurrency: int, dry_run: bool) -> None:
    """Remove the variants of BUCKET whose image is gone, or that no rule makes any more; print a line for each.

    Only what bears the marks of a variant is ever removed. Exit status 1: something could not be looked at.
    """
    check_bucket(config, bucket)
    wanted = Wanted(bucket, prefix, at_once=concurrency)
    work = _prune(config, wanted, dry_run=dry_run)
    raise SystemExit(perform(work if dry_run else ordered(config, bucket, work, status), INCOMPLETE))


class _Progress:
    """Counts, and shows how far it is where somebody looks."""

    def __init__(self, doing: str, done: str, plan: Plan | None = None, *, show: bool = False) -> None:
        self.images = self.variants = self.failed = 0
        self.last = ""
        self._doing, self._done, self._plan, self._show = doing, done, plan, show
        self._tty, self._next = sys.stderr.isatty(), 0.0

    def tell(self, steps: Sequence[Step]) -> None:
        """Take in what was done."""
        for step in steps:
            self.images += 1
            self.variants += step.made
            self.failed += bool(step.error)
            self.last = step.key
            if step.error or (self._show and step.made):
                self._clear()
                mark = f"! {printable(step.key)}\t{step.error}" if step.error else f"- {printable(step.key)}"
                click.echo(mark)
        if self._tty and time.monotonic() >= self._next:
            self._next = time.monotonic() + REFRESH
            click.echo(f"\r\x1b[K{self._doing} {self._bar()}{self.summary()}", nl=False, err=True)

    def summary(self) -> str:
        """Return what was done, as words."""
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{amount(self.images, 'key')}, {amount(self.variants, 'variant')} {self._done}{failed}"

    def end(self) -> None:
        """Leave the sum of it."""
        self._clear()
        click.echo(self.summary(), err=True)

    def _bar(self) -> str:
        if self._plan is None or not self._plan.images:
            return ""
        filled = min(WIDTH * self.images // self._plan.images, WIDTH)
        return f"[{'#' * filled}{'-' * (WIDTH - filled)}] "

    def _clear(self) -> None:
        if self._tty:
            click.echo("\r\x1b[K", nl=False, err=True)


@asynccontextmanager
async def _opened(config: Config, wanted: Wanted) -> AsyncIterator[tuple[Backend, Pictures, Keeper]]:
    find = finder(config)
    pictures = find(wanted.bucket)
    if pictures is None:
        fail(f"{wanted.bucket}: nothing is made of its images")
    async with AsyncExitStack() as opened:
        storage = await opened.enter_async_context(opened_storage(config))
        workers = await opened.enter_async_context(workers_of(config))
        yield storage, pictures, Keeper(storage, workers, find)


async def _rebuild(config: Config, wanted: Wanted, *, dry_run: bool) -> int:
    async with _opened(config, wanted) as (storage, pictures, keeper):
        going = Rebuild(storage, keeper, pictures, wanted)
        counting = _Progress("counting", "to be made")
        plan = await going.plan(counting.tell)
        counting.end()
        if dry_run or not plan.variants:
            return 1 if counting.failed else 0
        making = _Progress("making", "made", plan)
        try:
            await going.run(plan, making.tell)
        except TooManyError:
            making.end()
            click.echo(f"stopped: more than the {plan.variants} that were counted would be made", err=True)
            return INCOMPLETE
        finally:
            if making.images < plan.images and making.last:
                click.echo(f"\nto go on: --after {making.last!r}", err=True)
        making.end()
        return 1 if making.failed else 0


async def _prune(config: Config, wanted: Wanted, *, dry_run: bool) -> int:
    async with _opened(config, wanted) as (storage, pictures, _):
        progress = _Progress("looking", "of no image" if dry_run else "removed", show=True)
        await Prune(storage, pictures, wanted, remove=not dry_run).run(progress.tell)
        progress.end()
        return 1 if progress.failed else 0


def _check_variants(config: Config, bucket: str, variants: Sequence[str]) -> None:
    pictures = finder(config)(bucket)
    known = {planned.variant.name for rule in pictures.rules for planned in rule.variants} if pictures else set()
    for name in variants:
        if name not in known:
            fail(f"{bucket}: there is no variant {name}, there are: {', '.join(sorted(known))}")
