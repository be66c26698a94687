"""`gateway snapshot restore`: what a snapshot names, in another bucket again."""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import click

from gateway.cli.configured import config_option
from gateway.cli.ordered import ordered, status
from gateway.cli.progress import Progress
from gateway.cli.route import fail, perform
from gateway.cli.snapshot.bucket import Spot, Where, opened, options, read_spot, where_of
from gateway.cli.words import amount, printable, size
from gateway.config import Config
from gateway.snapshots.finding import Past
from gateway.snapshots.restoring import Outcome, Restore, Result, Room

COULD_NOT: Final = 2
DONE: Final = {Outcome.RESTORED, Outcome.KEPT, Outcome.THERE}


def target_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --to."""
    return click.option("--to", metavar="BACKEND:BUCKET", required=True, callback=read_spot, help="Where to.")(command)


@click.command()
@options
@click.argument("snapshot_id", metavar="ID")
@target_option
@click.option("--prefix", default="", help="Only keys that begin with this.")
@click.option("--dry-run", is_flag=True, help="Only say what could be restored; nothing is written.")
@config_option
def restore(  # noqa: PLR0913  click passes each option by its name
    config: Config,
    bucket: str,
    snapshot_id: str,
    *,
    of: str | None,
    store: Spot | None,
    to: Spot,
    prefix: str,
    dry_run: bool,
) -> None:
    """Copy what the snapshot ID of BUCKET names to an empty bucket: each object in the state of then, or not at all.

    What was replaced or deleted since is taken from what the mirror keeps. Nothing is ever overwritten. Broken off, it
    may be begun again, to the same bucket.

    \b
    - KEY  lost: that state is nowhere any more
    ! KEY  could not be restored, or something else is there

    Exit status 0: all is there. 1: some of it is lost, or the snapshot or the bucket cannot be used. 2: some of it
    could not be restored; another try may do it.
    """  # noqa: D301  \b is a word of click's
    check_target(config, to)
    told = _Told()
    work = _restore(config, where_of(config, bucket, of, store), snapshot_id, (to, prefix), told, dry=dry_run)
    perform(work if dry_run else ordered(config, bucket, work, lambda _: status(told.status)))
    raise SystemExit(told.status)


def check_target(config: Config, to: Spot) -> None:
    """End the program if there is no such backend."""
    if to.backend not in config.backends:
        fail(f"there is no backend {to.backend}, there are: {', '.join(config.backends)}")


async def _restore(  # noqa: PLR0913  all that was said
    config: Config, where: Where, identity: str, what: tuple[Spot, str], told: "_Told", *, dry: bool
) -> None:
    (to, prefix) = what
    async with opened(config, where, target=to.backend) as (storage, shelf, target), shelf.opened(identity) as manifest:
        assert target  # noqa: S101  for the type checker: it was named
        room, head = Room(target, to.bucket), manifest.head
        await (room.check(identity) if dry else room.enter(identity, head.subject.labels))
        work = Restore(Past(storage, where.bucket, head.since), target, to.bucket, dry=dry)
        async for result in work.run(manifest, prefix, lambda _: True):
            told.tell(result)
        told.end(f"{identity} to {to.backend}:{to.bucket}", dry=dry)
        if not dry and told.status != COULD_NOT:
            await room.leave()


class _Told:
    """What is told on the way."""

    def __init__(self) -> None:
        self._counted: Counter[Outcome] = Counter()
        self._bytes, self._progress = 0, Progress()

    @property
    def status(self) -> int:
        """What the command exits with."""
        if set(self._counted) - DONE - {Outcome.LOST}:
            return COULD_NOT
        return 1 if self._counted[Outcome.LOST] else 0

    def tell(self, result: Result) -> None:
        """Print what became of an object, if it is not there now, and how far it is."""
        self._counted[result.outcome] += 1
        if result.outcome in DONE:
            self._bytes += result.size
        else:
            self._progress.clear()
            click.echo(line(result))
        self._progress.show(self._summary)

    def end(self, what: str, *, dry: bool) -> None:
        """Leave the sum of it."""
        self._progress.clear()
        click.echo(f"{what}: {self._summary()}{'; nothing was written' if dry else ''}", err=True)

    def _summary(self) -> str:
        parts = [f"{self._counted[outcome]} {outcome.value}" for outcome in Outcome if self._counted[outcome]]
        return ", ".join([amount(self._counted.total(), "object"), size(self._bytes), *parts])


def line(result: Result) -> str:
    """Return what is printed of an object that could not be had again."""
    mark = "-" if result.outcome is Outcome.LOST else "!"
    return f"{mark} {printable(result.key)}\t{result.why or result.outcome.value}"
