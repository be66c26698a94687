"""`gateway snapshot create`, `list` and `delete`: snapshots as they come and go."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from gateway.cli.configured import config_option
from gateway.cli.ordered import ordered
from gateway.cli.progress import Progress
from gateway.cli.route import fail, perform
from gateway.cli.snapshot.bucket import Spot, Where, opened, options, since_when, where_of
from gateway.cli.words import amount, duration, size, table
from gateway.config import Config
from gateway.snapshots import textfile
from gateway.snapshots.manifest import Draft, Head, Subject
from gateway.snapshots.shelf import Kept
from gateway.snapshots.taking import take

NOT_TRUSTED: Final = 2


def metrics_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --metrics."""
    kind = click.Path(dir_okay=False, path_type=Path)
    told = "A file for the textfile collector of Prometheus' node exporter, told of it."
    return click.option("--metrics", type=kind, help=told)(command)


@click.command()
@options
@click.option("--prefix", default="", help="Only keys that begin with this.")
@metrics_option
@config_option
def create(  # noqa: PLR0913  click passes each option by its name
    config: Config, bucket: str, *, of: str | None, store: Spot | None, prefix: str, metrics: Path | None
) -> None:
    """Write down what BUCKET holds, and print the id of that snapshot.

    Every object is asked for; none is read. Clients may write meanwhile: each object is named in the state it was in
    when it was asked for. Exit status 1: there is no snapshot, and standard error says why.
    """
    where = where_of(config, bucket, of, store)
    head = perform(ordered(config, bucket, _take(config, where, prefix)))
    click.echo(head.id)
    click.echo(f"{where.backend}: {_said(head)}", err=True)
    if metrics:
        told = {textfile.SNAPSHOT_OBJECTS: head.objects, textfile.SNAPSHOT_BYTES: head.bytes}
        tell(metrics, bucket, {textfile.SNAPSHOT_SUCCESS: head.until.timestamp(), **told})


def tell(file: Path, bucket: str, values: Mapping[str, float]) -> None:
    """Tell Prometheus, or end the program."""
    try:
        textfile.tell(file, bucket, values)
    except (OSError, ValueError) as error:
        fail(f"{file}: cannot be written: {error}")


async def _take(config: Config, where: Where, prefix: str) -> Head:
    since, progress = await since_when(config, where), Progress()

    def show(draft: Draft) -> None:
        progress.show(lambda: f"{amount(draft.objects, 'object')}, {size(draft.bytes)}")

    async with opened(config, where, make=True) as (storage, shelf, _):
        labels = (await storage.head_bucket(where.bucket)).labels
        subject = Subject(where.bucket, where.entry, where.backend, prefix, labels)
        try:
            return await take(storage, subject, shelf, since, show)
        finally:
            progress.clear()


def _said(head: Head) -> str:
    span = duration((head.until - head.since).total_seconds())
    return f"{amount(head.objects, 'object')}, {size(head.bytes)}, each as it was within {span}"


@click.command("list")
@options
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
def list_(config: Config, bucket: str, *, of: str | None, store: Spot | None, as_json: bool) -> None:
    """Name the snapshots of BUCKET, the oldest first, and what the last rehearsal with each has found.

    Exit status 2: one of them is not what was signed.
    """
    found = perform(_list(config, where_of(config, bucket, of, store)))
    if as_json:
        click.echo(json.dumps([_document(kept) for kept in found], indent=2))
    elif found:
        rows = [("ID", "OF", "PREFIX", "OBJECTS", "BYTES", "AGE", "LAST DRILL"), *map(_row, found)]
        click.echo("\n".join(table(rows)))
    raise SystemExit(NOT_TRUSTED if any(kept.head is None for kept in found) else 0)


async def _list(config: Config, where: Where) -> Sequence[Kept]:
    async with opened(config, where) as (_, shelf, _):
        return [kept async for kept in shelf.list()]


def _document(kept: Kept) -> Mapping[str, Any]:
    if kept.head is None:
        return {"id": kept.id, "problem": kept.problem}
    return {**kept.head.document(), "drill": kept.drill}


def _row(kept: Kept) -> Sequence[str]:
    if kept.head is None:
        return kept.id, f"not to be believed: {kept.problem}", "", "", "", "", ""
    head, age = kept.head, (datetime.now(UTC) - kept.head.since).total_seconds()
    drill = str(kept.drill["result"]) if kept.drill else "none"
    return kept.id, head.subject.backend, head.subject.prefix, str(head.objects), size(head.bytes), duration(age), drill


@click.command()
@options
@click.argument("snapshot_id", metavar="ID")
@config_option
def delete(config: Config, bucket: str, snapshot_id: str, *, of: str | None, store: Spot | None) -> None:
    """Delete the snapshot ID of BUCKET, and the reports of rehearsals with it. No object of a client is touched."""
    where = where_of(config, bucket, of, store)
    perform(ordered(config, bucket, _delete(config, where, snapshot_id)))


async def _delete(config: Config, where: Where, identity: str) -> None:
    async with opened(config, where) as (_, shelf, _):
        await shelf.delete(identity)
