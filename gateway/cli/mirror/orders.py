"""`gateway mirror retry`, `pause` and `resume`: what the workers of mirrors are told."""

import click

from gateway.cli.configured import config_option
from gateway.cli.ordered import ordered
from gateway.cli.route import journal_of, mirrors_of, opened_state, perform, whole_entry
from gateway.config import Config


@click.command()
@click.argument("bucket")
@click.option("--mirror", metavar="BACKEND", help="Only this one.")
@config_option
def retry(bucket: str, mirror: str | None, config: Config) -> None:
    """Have keys tried again that were given up, because a mirror had refused them for long."""
    entry = whole_entry(config, bucket)
    for name in mirrors_of(config, entry, mirror):
        count = perform(ordered(config, entry, _revive(config, entry, name)))
        click.echo(f"{name}: {count} {'key is' if count == 1 else 'keys are'} tried again")


@click.command()
@click.argument("bucket")
@click.argument("mirror")
@config_option
def pause(bucket: str, mirror: str, config: Config) -> None:
    """Have nothing written to MIRROR until `resume`. What it lacks then is written down, and nothing is lost."""
    _order(config, bucket, mirror, paused=True)
    click.echo(f"{mirror}: is paused; what is being written there now is finished")


@click.command()
@click.argument("bucket")
@click.argument("mirror")
@config_option
def resume(bucket: str, mirror: str, config: Config) -> None:
    """Have MIRROR given what it lacks."""
    _order(config, bucket, mirror, paused=False)
    click.echo(f"{mirror}: is given what it lacks")


def _order(config: Config, bucket: str, mirror: str, *, paused: bool) -> None:
    entry = whole_entry(config, bucket)
    mirrors_of(config, entry, mirror)
    perform(ordered(config, entry, _pause(config, entry, mirror, paused=paused)))


async def _pause(config: Config, entry: str, mirror: str, *, paused: bool) -> None:
    async with opened_state(config) as store:
        await journal_of(config, entry, store).pause(mirror, paused=paused)


async def _revive(config: Config, entry: str, mirror: str) -> int:
    async with opened_state(config) as store:
        return await journal_of(config, entry, store).revive(mirror)
