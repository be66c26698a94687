"""`gateway images status`: how many images wait for their variants, and of which some could not be made."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import click

from gateway.cli.configured import config_option
from gateway.cli.images.bucket import check_bucket, entries_of
from gateway.cli.route import opened_state, perform
from gateway.cli.words import amount, duration, table
from gateway.config import Config
from gateway.images.queue import Failed, Queue, Waiting
from gateway.imaging import scope_of

SHOWN: Final = 20  # images whose variants could not be made


@click.command()
@click.argument("bucket", required=False)
@click.option("--json", "as_json", is_flag=True, help="For programs; durations in seconds.")
@config_option
def status(bucket: str | None, config: Config, *, as_json: bool) -> None:
    """Say how many images of BUCKET wait for their variants, and why some have none. Without BUCKET, of all."""
    if bucket is None:
        entries_of(config)
    else:
        check_bucket(config, bucket)
    waiting, failed = perform(_ask(config, bucket))
    if as_json:
        click.echo(json.dumps(_document(bucket, waiting, failed), indent=2))
        return
    for line in _lines(waiting, failed):
        click.echo(line)


async def _ask(config: Config, bucket: str | None) -> tuple[Waiting, Sequence[Failed]]:
    async with opened_state(config) as store:
        queue = Queue(store, scope_of(config))
        return await queue.waiting(bucket), await queue.failed(bucket, SHOWN)


def _document(bucket: str | None, waiting: Waiting, failed: Sequence[Failed]) -> dict[str, Any]:
    keys = [
        {"bucket": each.at.bucket, "key": each.at.key, "reason": each.reason, "since": each.since} for each in failed
    ]
    return {"bucket": bucket, **waiting._asdict(), "failed_keys": keys}


def _lines(waiting: Waiting, failed: Sequence[Failed]) -> Iterator[str]:
    since = f", the first for {duration(waiting.oldest)}" if waiting.jobs else ""
    yield from table(
        [
            ("being written", amount(waiting.writing, "image")),
            ("waiting", amount(waiting.jobs, "image") + since),
            ("of these tried before", amount(waiting.retried, "image")),
            ("given up", amount(waiting.failed, "image")),
        ]
    )
    if failed:
        yield ""
        yield "The latest that were given up, until they are written anew:"
        rows = [(f"  {each.at.bucket}/{each.at.key}", each.reason, f"{duration(each.since)} ago") for each in failed]
        yield from table(rows)
