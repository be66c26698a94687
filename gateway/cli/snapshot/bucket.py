"""A bucket whose snapshots are asked for: which storage they describe, and where they are kept."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import click

from gateway.app import hides_own_keys, open_backends
from gateway.cli.route import fail, journal_of, opened_state
from gateway.config import Config
from gateway.config.keyfile import KeyFileError, signing_keys
from gateway.config.models import EVERY_OTHER, Elsewhere
from gateway.replication.records import Baseline, Mode
from gateway.routes import is_replicated, placed
from gateway.server.bind import StartError
from gateway.snapshots.shelf import Shelf
from gateway.snapshots.signing import Signer
from gateway.storage import Backend

SETTLING: Final = 5.0  # seconds until it is written down, at the latest, that a mirror lacks what was acknowledged


class Spot(NamedTuple):
    """A bucket of a backend, as people write it: BACKEND:BUCKET."""

    backend: str
    bucket: str


class Where(NamedTuple):
    """Which storage of a bucket is described, and where snapshots are kept, if not there."""

    bucket: str
    entry: str
    place: Elsewhere
    store: Spot | None

    @property
    def backend(self) -> str:
        """The name of the storage that is described."""
        return self.place.backend


class Opened(NamedTuple):
    """The storages of a command; `target` where it names one."""

    storage: Backend
    shelf: Shelf
    target: Backend | None = None


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what all commands want to know: BUCKET, --of, --store."""
    for option in (
        click.argument("bucket"),
        click.option("--of", metavar="BACKEND", help="The storage that is described: the first mirror, if not said."),
        click.option(
            "--store",
            metavar="BACKEND:BUCKET",
            callback=read_spot,
            help="Where snapshots are kept. Without it: in the bucket they describe, hidden from clients.",
        ),
    ):
        command = option(command)
    return command


def read_spot(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Spot | None:
    """Read BACKEND:BUCKET. Raises: BadParameter."""
    if value is None:
        return None
    backend, _, bucket = value.partition(":")
    if not (backend and bucket) or "/" in bucket:
        raise click.BadParameter("expected BACKEND:BUCKET")
    return Spot(backend, bucket)


def where_of(config: Config, bucket: str, of: str | None, store: Spot | None) -> Where:
    """Return what a command is about, or end the program."""
    said = config.bucket(bucket)
    if said is None or bucket == EVERY_OTHER:
        fail(f'{bucket}: there is no entry for it under buckets, and none for "{EVERY_OTHER}"; name one bucket')
    places: dict[str, Elsewhere] = {each.backend: each for each in (*said.mirrors, said)}
    if of is not None and of not in places:
        fail(f"{bucket}: neither its backend nor a mirror is {of}, there are: {', '.join(places)}")
    place = places[of or next(iter(places))]
    entry = bucket if bucket in config.buckets else EVERY_OTHER
    check_hidden(config, store or Spot(place.backend, place.name or bucket))
    return Where(bucket, entry, place, store)


def check_hidden(config: Config, spot: Spot) -> None:
    """End the program if there is no such backend, or clients would see what the gateway keeps there for itself."""
    if spot.backend not in config.backends:
        fail(f"there is no backend {spot.backend}, there are: {', '.join(config.backends)}")
    for name, said in config.buckets.items():
        other = spot.bucket not in config.buckets and name == EVERY_OTHER
        is_served = said.backend == spot.backend and (other or (said.name or name) == spot.bucket)
        if is_served and not (is_replicated(said) or hides_own_keys(config, spot.backend)):
            fail(f'{spot.backend}:{spot.bucket}: clients see all of it, by buckets."{name}"; name another')


@asynccontextmanager
async def opened(config: Config, where: Where, *, target: str = "", make: bool = False) -> AsyncIterator[Opened]:
    """Open the storages. `make` a key to sign with, if there is none. Raises: StartError."""
    try:
        signer = Signer(signing_keys(config.snapshots.key, make=make))
    except KeyFileError as error:
        raise StartError(f"snapshots.key: {error}") from error
    names = [where.backend, *([where.store.backend] if where.store else []), *([target] if target else [])]
    async with AsyncExitStack() as stack:
        backends = await open_backends(config, names, stack)
        storage = placed(where.entry, where.place, backends)
        kept = backends[where.store.backend] if where.store else storage
        shelf = Shelf(kept, where.store.bucket if where.store else where.bucket, where.bucket, signer)
        yield Opened(storage, shelf, backends.get(target))


async def since_when(config: Config, where: Where) -> datetime:
    """Return a time at which, or later, each object that a storage holds was in its newest state, by the clock here.

    Raises: StartError, where nobody knows; S3Error.
    """
    said, now = config.buckets[where.entry], datetime.now(UTC)  # before the question: what comes later is no older
    if not is_replicated(said):
        return now
    async with opened_state(config) as store:
        journal = journal_of(config, where.entry, store)
        writing = await journal.writing()  # first: what is over by the next question is among what is pending there
        report = await journal.report()
    if report.state.mode is Mode.RECONCILE:
        raise StartError(f"{where.bucket}: nobody knows what is its newest state, until `gateway journal rebuild`")
    if where.backend == said.backend:
        return now - timedelta(seconds=report.healing.oldest)
    target = report.targets[where.backend]
    if target.replica.baseline is not Baseline.COMPLETE:
        told = f"its baseline is {target.replica.baseline.value}, so it does not hold the whole of {where.bucket}"
        raise StartError(f"{where.backend}: {told}; --of names another")
    lacking = target.lag.oldest + SETTLING if target.lag.pending else 0.0
    return now - timedelta(seconds=max(lacking, writing))
