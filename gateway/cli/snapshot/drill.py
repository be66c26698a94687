"""`gateway snapshot drill`: a restore rehearsed, measured and reported."""

import asyncio
import secrets
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click

from gateway.cli.configured import config_option
from gateway.cli.ordered import ordered
from gateway.cli.route import perform
from gateway.cli.snapshot.bucket import Spot, Where, check_hidden, opened, options, where_of
from gateway.cli.snapshot.keep import metrics_option, tell
from gateway.cli.snapshot.restore import line, target_option
from gateway.cli.words import amount, duration, size, table
from gateway.config import Config
from gateway.snapshots import textfile
from gateway.snapshots.drilling import PASSED, Drill, Report, Sample
from gateway.snapshots.restoring import Outcome


def _read_part(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    try:
        part = float(value.removesuffix("%")) / 100
    except ValueError as error:
        raise click.BadParameter("expected a percentage such as 5%") from error
    if not 0 < part <= 1:
        raise click.BadParameter("expected more than 0% and at most 100%")
    return part


class _Wanted(NamedTuple):
    """What is to be rehearsed."""

    identity: str
    to: Spot
    sample: Sample


@click.command()
@options
@click.argument("snapshot_id", metavar="[ID]", default="latest")
@target_option
@click.option(
    "--sample", metavar="PERCENT", default="100%", show_default=True, callback=_read_part, help="Only about this part."
)
@click.option("--prefix", default="", help="Only keys that begin with this.")
@metrics_option
@config_option
def drill(  # noqa: PLR0913  click passes each option by its name
    config: Config,
    bucket: str,
    snapshot_id: str,
    *,
    of: str | None,
    store: Spot | None,
    to: Spot,
    sample: float,
    prefix: str,
    metrics: Path | None,
) -> None:
    """Restore the snapshot ID of BUCKET, the latest if none is named, for a rehearsal, and read all of it back.

    It goes below .gw/drill/ of the bucket that --to names, hidden from clients, and is deleted again, whatever happens.
    A signed report is kept beside the snapshot. One drill of a bucket to the same place at a time.

    Exit status 0: all that was chosen came back as it was. 1: it did not, and standard output says what.
    """
    check_hidden(config, to)
    where = where_of(config, bucket, of, store)
    wanted = _Wanted(snapshot_id, to, Sample(prefix, sample, secrets.token_hex(8)))
    report = perform(ordered(config, bucket, _drill(config, where, wanted), _failed))
    click.echo("\n".join(table(_rows(report))))
    if metrics:
        tell(metrics, bucket, _metrics(report))
    raise SystemExit(0 if report.result == PASSED else 1)


async def _drill(config: Config, where: Where, wanted: _Wanted) -> Report:
    began = time.monotonic()
    with _ended_in_order():
        async with opened(config, where, target=wanted.to.backend) as (storage, shelf, target):
            assert target  # noqa: S101  for the type checker: it was named
            name = await shelf.identity_of(wanted.identity)
            async with shelf.opened(name) as manifest:
                report = Report(manifest.head, ":".join(wanted.to), wanted.sample)
                work = Drill(storage, target, wanted.to.bucket, lambda result: click.echo(line(result)))
                await work.run(manifest, report, time.monotonic() - began)
            await shelf.report(name, report.began, report.document())
            return report


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Have SIGTERM end it as Ctrl-C does: what was restored is cleared away."""
    running = asyncio.current_task()
    if running:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    try:
        yield
    except asyncio.CancelledError as error:
        raise KeyboardInterrupt from error


def _failed(report: Report) -> str:
    return "" if report.result == PASSED else report.result


def _metrics(report: Report) -> dict[str, float]:
    told = {textfile.DRILL_SECONDS: report.restoring, textfile.DRILL_FAILURES: float(report.failures)}
    return told | ({textfile.DRILL_SUCCESS: time.time()} if report.result == PASSED else {})


def _rows(report: Report) -> Sequence[Sequence[str]]:
    head, kept = report.head, report.outcomes[Outcome.KEPT]
    restored = f"{report.objects - report.failures} of {amount(report.objects, 'object')}, {size(report.bytes)}"
    seconds = f"{report.restoring:.1f} s, {size(report.rate)}/s; about {duration(report.whole)} for all of it"
    return [
        ("drill", f"{report.result}{f': {report.problem}' if report.problem else ''}"),
        ("snapshot", f"{head.id} of {head.subject.bucket}, {amount(head.objects, 'object')}, {size(head.bytes)}"),
        ("came back", f"{restored}{f', {kept} from what the mirror keeps' if kept else ''}"),
        ("restored in", seconds),
        ("read in", f"{report.reading:.1f} s"),
        ("age", duration(report.age)),
    ]
