"""`gateway check`: whether the configuration is good, and whether what it names does what is said of it."""

import asyncio
import json
import signal
from collections.abc import Sequence

import click
import structlog

from gateway.app import patients
from gateway.cli.configured import config_option
from gateway.config import Config
from gateway.config.models import KeyFile
from gateway.doctor.examine import as_json, examine
from gateway.doctor.findings import Diagnosis, Result
from gateway.server.bind import StartError
from gateway.server.tls import Certificate


@click.command()
@click.option("--offline", is_flag=True, help="Ask no backend anything: the configuration alone.")
@click.option("--json", "as_document", is_flag=True, help="Print the result for programs.")
@config_option
def command(config: Config, *, offline: bool, as_document: bool) -> None:
    """Read the configuration, and try what its backends can do.

    Each backend is tried in a corner of a bucket that is named for it, below .gw/doctor/, which is removed again.
    Exit status 1: something is wrong, and standard error says what.
    """
    try:
        if config.tls:
            Certificate(config.tls.certificate, config.tls.key)
        diagnoses = [] if offline else asyncio.run(_examine(config))
    except StartError as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from error
    except KeyboardInterrupt as error:
        click.echo("interrupted; what was written is removed", err=True)
        raise SystemExit(130) from error
    if as_document:
        click.echo(json.dumps(as_json(diagnoses), indent=2))
    else:
        _tell(config, diagnoses)
    problems = [problem for diagnosis in diagnoses for problem in diagnosis.problems]
    if not as_document:
        click.echo("".join(f"{problem}\n" for problem in problems), nl=False, err=True)
    raise SystemExit(1 if problems else 0)


async def _examine(config: Config) -> Sequence[Diagnosis]:
    """Examine the backends without a log: the result tells the same in better order."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    running = asyncio.current_task()
    if running:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    try:
        return await examine(patients(config))
    except asyncio.CancelledError as error:
        raise KeyboardInterrupt from error


def _tell(config: Config, diagnoses: Sequence[Diagnosis]) -> None:
    _print(_summary(config))
    counted = {each.backend: each.bucket_count for each in diagnoses}
    rows = [
        (name, backend.type, "" if counted.get(name) is None else str(counted[name]))
        for name, backend in config.backends.items()
    ]
    _print([("BACKEND", "TYPE", "BUCKETS"), *rows])
    _print([("ROUTE", "BACKEND", "PUBLIC", "ACLS"), *_routes(config)])
    if diagnoses:
        _print(_capabilities(diagnoses))
        _print_reasons(diagnoses)


def _summary(config: Config) -> Sequence[Sequence[str]]:
    keys = f"made once, in {config.keys.file}" if isinstance(config.keys, KeyFile) else f"{len(config.keys)}"
    return [
        ("listen", f"{'https' if config.tls else 'http'}://{config.listen}"),
        ("admin", f"http://{config.admin}" if config.admin else "off"),
        ("region", config.region),
        ("domain", ", ".join(config.domain) or "none, buckets are addressed by path"),
        ("workers", str(config.worker_count)),
        ("keys", keys),
    ]


def _routes(config: Config) -> Sequence[Sequence[str]]:
    return [(name, bucket.backend, bucket.public or "no", bucket.acls) for name, bucket in config.buckets.items()]


def _capabilities(diagnoses: Sequence[Diagnosis]) -> Sequence[Sequence[str]]:
    """Return a row for each thing that was tried, and a column for each backend."""
    names = dict.fromkeys(each.name for diagnosis in diagnoses for each in diagnosis.findings)
    found = [{each.name: each.result for each in diagnosis.findings} for diagnosis in diagnoses]
    rows = [(name, *(results.get(name, Result.UNTRIED).value for results in found)) for name in names]
    return [("CAPABILITY", *(diagnosis.backend.upper() for diagnosis in diagnoses)), *rows]


def _print_reasons(diagnoses: Sequence[Diagnosis]) -> None:
    rows = [
        (f"{diagnosis.backend}: {each.name}", each.result.value, each.reason)
        for diagnosis in diagnoses
        for each in diagnosis.findings
        if each.reason and not each.problem
    ]
    if rows:
        _print([("NOTE", "", ""), *rows])


def _print(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    click.echo()
