"""`gateway migrate status` and `finish`: a bucket that moves while it is used, until it has moved."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import click

from gateway.app import open_backends
from gateway.cli.configured import config_option
from gateway.cli.migrate.sides import NOT_DONE
from gateway.cli.migrate.telling import Steps
from gateway.cli.ordered import ordered
from gateway.cli.ordered import status as exit_of
from gateway.cli.route import fail, opened_state, perform
from gateway.cli.words import amount, table
from gateway.config import Config
from gateway.migration.ending import Ending, Left
from gateway.migration.walking import Sides, Sign
from gateway.replication.window import Window
from gateway.routes import origin_of, placed, tombs_of


@click.command()
@click.argument("bucket")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
def status(bucket: str, config: Config, *, as_json: bool) -> None:
    """Say how much of BUCKET, which has migrate_from, is still at the old backend only. All keys of both are listed."""
    _check(config, bucket)
    left = perform(_look(config, bucket), NOT_DONE)
    if as_json:
        click.echo(json.dumps({"bucket": bucket, **left._asdict()}, indent=2))
        return
    rows = [
        ("to be copied", amount(left.keys, "key")),
        ("deleted by clients", amount(left.buried, "key")),
        ("of these copies to be swept", amount(left.copies, "object")),
    ]
    for line in table(rows):
        click.echo(line)


@click.command()
@click.argument("bucket")
@config_option
def finish(bucket: str, config: Config) -> None:
    """Have BUCKET, which has migrate_from, need its old backend no more, and print a line for each key.

    \b
    + KEY  copied    - KEY  copy swept of what a client had deleted    ! KEY  failed, and why

    All that nobody has read yet is copied, while clients go on. The rest is done when the gateways run with read_only
    set for the bucket, so that nobody writes it meanwhile; that takes as long as to look at each key that clients have
    deleted. In the end all keys are listed once more: nothing may be missing.

    Exit status 0: migrate_from can be removed. 1: all is copied; set read_only, and do it again. 2: something failed.
    """  # noqa: D301  \b is a word of click's
    _check(config, bucket)
    raise SystemExit(perform(ordered(config, bucket, _finish(config, bucket), exit_of), NOT_DONE))


def _check(config: Config, bucket: str) -> None:
    """End the program if a bucket does not move."""
    if bucket not in config.buckets or not config.buckets[bucket].migrate_from:
        fail(f"{bucket}: has no migrate_from", NOT_DONE)


async def _look(config: Config, bucket: str) -> Left:
    async with _opened(config, bucket) as ending:
        return await ending.left()


async def _finish(config: Config, bucket: str) -> int:
    steps = Steps()
    async with _opened(config, bucket) as ending:
        async for step in ending.copy():
            steps.take(step)
        if not config.buckets[bucket].read_only:
            steps.end()
            return NOT_DONE if steps.counted[Sign.FAILED] else _ask_for_quiet(bucket)
        async for step in ending.sweep():
            steps.take(step)
        steps.end()
        left = await ending.left()
    if steps.counted[Sign.FAILED] or not left.is_nothing:
        return NOT_DONE
    click.echo(f"{bucket}: has moved. Remove migrate_from and read_only together.")
    return 0


def _ask_for_quiet(bucket: str) -> int:
    click.echo(f"{bucket}: all is copied. To end it, set read_only: true, reload all gateways, and do this again.")
    return 1


@asynccontextmanager
async def _opened(config: Config, bucket: str) -> AsyncIterator[Ending]:
    """Open what a bucket moves between, and what is written down of it. Raises: StartError."""
    said = config.buckets[bucket]
    origin = origin_of(said)
    async with AsyncExitStack() as opened:
        store = await opened.enter_async_context(opened_state(config))
        backends = await open_backends(config, (said.backend, origin.backend), opened)
        old, new = placed(bucket, origin, backends), placed(bucket, said, backends)
        yield Ending(Sides(old, new, bucket, Window(origin.limits.concurrency)), tombs_of(config, bucket, store))
