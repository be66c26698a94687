"""`gateway snapshot verify`: what has become of the objects of a snapshot, and which can be had again."""

from collections.abc import Mapping
from typing import Final

import click

from gateway.cli.compared import COULD_NOT_TELL
from gateway.cli.configured import config_option
from gateway.cli.route import perform
from gateway.cli.snapshot.bucket import Spot, Where, opened, options, where_of
from gateway.cli.telling import Telling
from gateway.config import Config
from gateway.replication.comparing import Level
from gateway.snapshots.comparing import Comparison, Finding, Mark
from gateway.snapshots.finding import Past

WORDS: Final[Mapping[str, str]] = {
    Mark.SAME: "as they were",
    Mark.CHANGED: "changed since",
    Mark.GONE: "gone",
    Mark.NEW: "new",
    Mark.ERROR: "wrong or not to be read",
}


@click.command()
@options
@click.argument("snapshot_id", metavar="[ID]", default="latest")
@click.option("--level", type=click.Choice(["L1", "L2"]), default="L1", show_default=True)
@click.option("--all", "show_same", is_flag=True, help="Name the keys that are as they were, too.")
@config_option
def verify(  # noqa: PLR0913  click passes each option by its name
    config: Config, bucket: str, snapshot_id: str, *, of: str | None, store: Spot | None, level: str, show_same: bool
) -> None:
    """Compare the snapshot ID of BUCKET, the latest if none is named, with what is there now.

    \b
    = KEY  as it was (with --all)    + KEY  new
    * KEY  changed since             - KEY  gone
    ! KEY  it could not be read, or its bytes are not what they were

    Behind "changed" and "gone" stands whether the old state is "kept", and can be restored, or "lost". L1 asks about
    each object, L2 reads all bytes of those that can be restored.

    Exit status 0: all of the snapshot can be restored. 1: some of it is lost. 2: not all could be told. A snapshot
    that is not what was signed is not looked at: 1.
    """  # noqa: D301  \b is a word of click's
    told = _Told(show_same=show_same)
    perform(_compare(config, where_of(config, bucket, of, store), snapshot_id, Level[level], told))
    raise SystemExit(1 if told.lost else COULD_NOT_TELL if told.counted[Mark.ERROR] else 0)


async def _compare(config: Config, where: Where, identity: str, level: Level, told: "_Told") -> None:
    async with opened(config, where) as (storage, shelf, _):
        told.snapshot = await shelf.identity_of(identity)
        async with shelf.opened(told.snapshot) as manifest:
            past = Past(storage, where.bucket, manifest.head.since)
            async for finding in Comparison(past, manifest, level).run():
                told.note(finding)
    told.end()


class _Told(Telling):
    """What is told on the way, and how much of the snapshot is lost."""

    def __init__(self, *, show_same: bool) -> None:
        super().__init__(WORDS, () if show_same else {Mark.SAME})
        self.lost, self.snapshot = 0, ""

    def note(self, finding: Finding) -> None:
        """Print a finding, and how far it is."""
        self.lost += finding.lost
        self.tell(finding)

    def summary(self) -> str:
        """Return how many keys were seen, what has become of them, and how many states are lost."""
        lost = f", {self.lost} of the snapshot lost" if self.lost else ""
        return f"{self.snapshot}: {super().summary()}{lost}"
