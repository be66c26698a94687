"""`gateway journal`: what is done about a database that was lost or set back."""

import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import Final, NamedTuple

import click

from gateway.app import open_backends
from gateway.cli.configured import config_option
from gateway.cli.ordered import ordered, status
from gateway.cli.route import entry_of, fail, journal_of, opened_state, perform
from gateway.cli.words import amount, printable
from gateway.config import Config
from gateway.config.models import EVERY_OTHER
from gateway.replication.beacon import Beacon
from gateway.replication.echo import Echo
from gateway.replication.rebuild import Found, Rebuild, Step
from gateway.replication.records import Mode
from gateway.routes import buckets_on, is_replicated, placed, shares_fallback
from gateway.server.bind import StartError
from gateway.state import Store
from gateway.storage import Backend

REFRESH: Final = 0.2  # seconds between two states of the progress
SOME_MISSING: Final = 2
WORDS: Final = {
    Found.OBJECT: "to be brought back from the fallback",
    Found.DELETED: "deleted",
    Found.OVER: "brought back already",
    Found.MISSING: "missing on the fallback",
}


class _Result(NamedTuple):
    mode: Mode
    was: Mode
    counted: Counter[Found]
    lacking: int = 0  # buckets

    @property
    def status(self) -> int:
        """What the command exits with."""
        return SOME_MISSING if self.counted[Found.MISSING] else 0


@click.group()
def command() -> None:
    """Have the journal again that says what the primary lacks, when its database was lost or set back."""


@command.command()
@click.argument("bucket", required=False)
@click.option("--all", "every", is_flag=True, help="All buckets that have a fallback or mirrors.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@config_option
def rebuild(bucket: str | None, config: Config, *, every: bool, dry_run: bool) -> None:
    """Rebuild what is written down of BUCKET from what its fallback says.

    That is asked for where the mode is RECONCILE, and does nothing where it is not. It may be broken off and begun
    anew. Afterwards the mode is HEALING: the primary is given what it lacks, and mirrors are walked through anew.

    Exit status 0: it is rebuilt, or nothing had to be. 1: it could not be. 2: it is, but something that was
    acknowledged is not on the fallback any more; it is named with a "!".
    """
    if every == (bucket is not None):
        raise click.UsageError("say BUCKET or --all")
    entries = [name for name, said in config.buckets.items() if is_replicated(said)]
    if bucket is not None:
        entries = [entry_of(config, bucket)]
    if not entries:
        fail("no bucket has a fallback or mirrors")
    raise SystemExit(max([_rebuild(config, entry, dry=dry_run) for entry in entries]))


def _rebuild(config: Config, entry: str, *, dry: bool) -> int:
    """Rebuild one entry, say so, and return the exit status."""
    work = _perform(config, entry, dry=dry)
    result = perform(work if dry else ordered(config, entry, work, lambda done: status(done.status)))
    if result.was is not Mode.RECONCILE:
        click.echo(f"{entry}: {result.was.name}. Nothing has to be rebuilt.")
        return 0
    parts = [f"{result.counted[found]} {words}" for found, words in WORDS.items() if result.counted[found]]
    click.echo(f"{entry}: {', '.join([amount(result.counted.total(), 'key'), *parts])}")
    if result.lacking:
        primary = config.buckets[entry].backend
        click.echo(f"{entry}: {amount(result.lacking, 'bucket')} that {primary} lacks, to be made there first")
    if dry:
        click.echo(f"{entry}: nothing was written down; without --dry-run it is")
    else:
        click.echo(f"{entry}: {result.mode.name}. `gateway mirror status {entry}` tells how much is left.")
    return result.status


async def _perform(config: Config, entry: str, *, dry: bool) -> _Result:
    async with AsyncExitStack() as opened:
        store = await opened.enter_async_context(opened_state(config))
        rebuilding = await _Opened(config, entry, store).open(opened)
        was = await rebuilding.beacon.compare(mend=not dry)
        if was is not Mode.RECONCILE:
            return _Result(was, was, Counter())
        return await rebuilding.run(dry=dry)


class _Opened:
    """An entry, opened to be rebuilt."""

    def __init__(self, config: Config, entry: str, store: Store) -> None:
        self._config, self._entry = config, entry
        self._journal = journal_of(config, entry, store)
        self._counted = Counter[Found]()
        self._progress, self._next = sys.stderr.isatty(), 0.0
        self.beacon: Beacon

    async def open(self, opened: AsyncExitStack) -> "_Opened":
        """Open its storages. Raises: StartError."""
        said = self._config.buckets[self._entry]
        backends = await open_backends(self._config, (where.backend for where in said.copies.values()), opened)
        copies = [placed(self._entry, mirror, backends) for mirror in said.mirrors]
        self._primary = await self._open_primary(opened)
        self._fallback = placed(self._entry, said.fallback, backends) if said.fallback else None
        self._echo = Echo(self._entry, self._fallback) if self._fallback else None
        self.beacon = Beacon(self._journal, self._fallback, copies, self._buckets_on, self._echo)
        return self

    async def _open_primary(self, opened: AsyncExitStack) -> Backend | None:
        """Open the primary, which is not needed: only it can say which buckets it lacks."""
        said = self._config.buckets[self._entry]
        try:
            backends = await open_backends(self._config, (said.backend,), opened)
        except StartError:
            return None
        return placed(self._entry, said, backends)

    async def run(self, *, dry: bool) -> _Result:
        """Rebuild it. Raises: S3Error."""
        if self._fallback is None or self._echo is None:  # comparing does it
            return _Result(Mode.RECONCILE, Mode.RECONCILE, self._counted)
        alone = not shares_fallback(self._config, self._entry)
        rebuild = Rebuild(self._journal, self.beacon, self._echo, self._fallback, alone=alone, dry=dry)
        async for step in rebuild.run(await self._buckets_on(self._fallback)):
            self._tell(step)
        if self._progress:
            click.echo("\r\x1b[K", nl=False, err=True)
        if self._primary:
            await rebuild.ask(self._primary)
        mode = Mode.RECONCILE if dry else await rebuild.end()
        return _Result(mode, Mode.RECONCILE, self._counted, len(rebuild.lacking))

    async def _buckets_on(self, storage: Backend) -> list[str]:
        return list(await buckets_on(self._config, self._entry, storage))

    def _tell(self, step: Step) -> None:
        if step.found:
            self._counted[step.found] += 1
        if step.found is Found.MISSING and step.at:
            click.echo(
                f"! {printable(f'{step.at.bucket}/{step.at.key}' if self._entry == EVERY_OTHER else step.at.key)}"
            )
        if self._progress and time.monotonic() >= self._next:
            self._next = time.monotonic() + REFRESH
            said = f"{amount(step.read, 'note')} read, {amount(self._counted.total(), 'key')}"
            click.echo(f"\r\x1b[K{said}", nl=False, err=True)
