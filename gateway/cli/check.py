"""`gateway check`: whether the configuration is good, and whether what it names can be reached."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

import click

from gateway.app import open_backends
from gateway.cli.configured import config_option
from gateway.config import Config
from gateway.config.models import KeyFile
from gateway.errors import S3Error
from gateway.server import logs
from gateway.server.bind import StartError
from gateway.server.tls import Certificate


@click.command()
@config_option
def command(config: Config) -> None:
    """Read the configuration, open every backend, and say what is there."""
    logs.configure(config.log.format, config.log.level)
    try:
        if config.tls:
            Certificate(config.tls.certificate, config.tls.key)
        rows = asyncio.run(_look(config))
    except StartError as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from error
    _print(_summary(config))
    _print([("BACKEND", "TYPE", "BUCKETS"), *rows])
    _print([("ROUTE", "BACKEND", "PUBLIC", "ACLS"), *_routes(config)])


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


async def _look(config: Config) -> Sequence[Sequence[str]]:
    """Return a row for each backend. Raises: StartError."""
    rows = []
    async with AsyncExitStack() as opened:
        for name, backend in (await open_backends(config, opened)).items():
            try:
                buckets = await backend.list_buckets()
            except S3Error as error:
                raise StartError(f"backends.{name}: cannot be read: {error}") from error
            rows.append((name, config.backends[name].type, str(len(buckets))))
    return rows


def _routes(config: Config) -> Sequence[Sequence[str]]:
    return [(name, bucket.backend, bucket.public or "no", bucket.acls) for name, bucket in config.buckets.items()]


def _print(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    click.echo()
