"""`gateway failover`: the order to leave a primary, and to return to it."""

import click

from gateway.cli.configured import config_option
from gateway.cli.ordered import ordered, who
from gateway.cli.route import fail, journal_of, opened_state, perform, whole_entry
from gateway.config import Config
from gateway.replication.records import Mode


@click.command()
@click.argument("bucket")
@click.option("--to", type=click.Choice(["fallback"]), help="Have writes go to the fallback, until told otherwise.")
@click.option("--back", is_flag=True, help="Bring what was written meanwhile to the primary, and return to it.")
@click.option("--reason", help="What `gateway mirror status` tells of it.")
@config_option
def command(bucket: str, to: str | None, reason: str | None, config: Config, *, back: bool) -> None:
    """Send the writes of BUCKET to its fallback, or back to its primary.

    Nothing is lost either way: on the way back each key goes to the primary when that holds its newest state.
    """
    if bool(to) == back:
        raise click.UsageError("say --to fallback or --back")
    entry = whole_entry(config, bucket)
    if to and not config.buckets[entry].fallback:
        fail(f"{entry}: has no fallback")
    turning = _turn(config, entry, Mode.FAILOVER if to else Mode.NORMAL, reason or f"by order of {who()}")
    mode = perform(ordered(config, entry, turning))
    click.echo(f"{entry}: {mode.name}. {_next(config, entry, mode)}")


async def _turn(config: Config, entry: str, to: Mode, reason: str) -> Mode:
    async with opened_state(config) as store:
        return await journal_of(config, entry, store).turn(to, reason, pin=to is Mode.FAILOVER)


def _next(config: Config, entry: str, mode: Mode) -> str:
    said = config.buckets[entry]
    fallback = said.fallback.backend if said.fallback else "the fallback"
    automatic = said.failover == "auto"
    match mode:
        case Mode.FAILOVER:
            return f"Within seconds writes go to {fallback}, until `gateway failover {entry} --back`."
        case Mode.HEALING:
            again = f" If {said.backend} is down, the gateway goes to FAILOVER again by itself." if automatic else ""
            return (
                f"What {said.backend} lacks is brought there, key by key; then the mode is NORMAL. "
                f"`gateway mirror status {entry}` tells how much is left.{again}"
            )
        case Mode.NORMAL:
            return f"Writes go to {said.backend}."
        case Mode.RECONCILE:
            return f"Nothing is written before `gateway journal rebuild {entry}`."
