"""`gateway mirror status`: in which mode a bucket is, what its primary lacks, what its mirrors lack."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import click

from gateway.cli.configured import config_option
from gateway.cli.route import entry_of, fail, journal_of, opened_state, perform
from gateway.cli.words import amount, duration, size, table
from gateway.config import Config
from gateway.replication.records import Dead, Healing, Mode
from gateway.replication.reporting import Report, Target
from gateway.routes import is_replicated

SHOWN: Final = 20  # keys that were given up, of each mirror


class _Known(NamedTuple):
    report: Report
    dead: Mapping[str, Sequence[Dead]]


@click.command()
@click.argument("bucket", required=False)
@click.option("--json", "as_json", is_flag=True, help="For programs; durations in seconds.")
@config_option
def status(bucket: str | None, config: Config, *, as_json: bool) -> None:
    """Say in which mode BUCKET is, what its primary lacks, and how far its mirrors are behind.

    Without BUCKET, of all buckets that have a fallback or mirrors.
    """
    entries = [name for name, said in config.buckets.items() if is_replicated(said)]
    if bucket is not None:
        entries = [entry_of(config, bucket)]
    if not entries:
        fail("no bucket has a fallback or mirrors")
    known = perform(_ask(config, entries))
    if as_json:
        click.echo(json.dumps([_document(config, entry, each) for entry, each in known.items()], indent=2))
        return
    click.echo("\n\n".join("\n".join(_lines(config, entry, each)) for entry, each in known.items()))


async def _ask(config: Config, entries: Sequence[str]) -> Mapping[str, _Known]:
    known = {}
    async with opened_state(config) as store:
        for entry in entries:
            journal = journal_of(config, entry, store)
            report = await journal.report()
            dead = {name: await journal.dead(name, SHOWN) for name, target in report.targets.items() if target.lag.dead}
            known[entry] = _Known(report, dead)
    return known


def _document(config: Config, entry: str, known: _Known) -> Mapping[str, Any]:
    said, (state, healing, targets) = config.buckets[entry], known.report
    configured = {mirror.backend for mirror in said.mirrors}
    return {
        "bucket": entry,
        "primary": said.backend,
        "fallback": said.fallback.backend if said.fallback else None,
        "failover": said.failover,
        "mode": state.mode.name,
        "epoch": state.epoch,
        "since": state.since,
        "reason": state.reason,
        "pinned": state.pinned,
        "unhealed": healing._asdict(),
        "mirrors": [
            {
                "backend": name,
                "configured": name in configured,
                **target.replica._asdict(),
                **target.lag._asdict(),
                "dead_keys": [
                    {"bucket": dead.at.bucket, "key": dead.at.key, "error": dead.error}
                    for dead in known.dead.get(name, ())
                ],
            }
            for name, target in targets.items()
        ],
    }


def _lines(config: Config, entry: str, known: _Known) -> Iterator[str]:
    said, (state, healing, targets) = config.buckets[entry], known.report
    since = f" for {duration(state.since)}" if state.epoch else ""
    pinned = ", by order, until told otherwise" if state.pinned else ""
    yield f"{entry}: {state.mode.name}{since}{pinned}"
    rows = [("writes go to", _writes(said.backend, said.fallback.backend if said.fallback else "", state.mode))]
    if state.reason:
        rows.append(("because", state.reason))
    if state.mode is not Mode.NORMAL or healing.objects or healing.tombstones or healing.buckets:
        rows.append((f"{said.backend} lacks", _lacks(healing)))
    yield from table(rows)
    if targets:
        yield ""
        configured = {mirror.backend for mirror in said.mirrors}
        header = ("MIRROR", "BASELINE", "LACKS", "BYTES", "BEHIND", "GIVEN UP", "")
        yield from table([header, *(_row(name, each, configured) for name, each in targets.items())])
    for name, given_up in known.dead.items():
        yield ""
        yield f"{name} refuses, and is asked no more until `gateway mirror retry {entry}`:"
        yield from table([(f"  {dead.at.bucket}/{dead.at.key}", dead.error) for dead in given_up])


def _lacks(healing: Healing) -> str:
    what = f"{amount(healing.objects, 'object')} ({size(healing.bytes)}), {amount(healing.tombstones, 'deletion')}"
    made = f"{amount(healing.buckets, 'bucket')} made in the outage, " if healing.buckets else ""
    return f"{made}{what}, the oldest for {duration(healing.oldest)}"


def _writes(primary: str, fallback: str, mode: Mode) -> str:
    if mode is Mode.NORMAL:
        return primary
    if mode is Mode.RECONCILE:
        return "nowhere, nor is anything read, until `gateway journal rebuild`"
    if not fallback:
        return "nowhere, there is no fallback" if mode is Mode.FAILOVER else primary
    return fallback if mode is Mode.FAILOVER else f"{primary}, but to {fallback} for what {primary} still lacks"


def _row(name: str, target: Target, configured: set[str]) -> Sequence[str]:
    replica, lag = target
    notes = {
        "no longer configured": name not in configured,
        "paused": replica.paused,
        "deletes wait for `resume`": replica.braked,
        "lacks more than is counted": replica.overflowed,
    }
    note = next((note for note, holds in notes.items() if holds), "")
    behind = duration(lag.oldest) if lag.pending else "no"
    return (name, replica.baseline.value, str(lag.pending), size(lag.bytes), behind, str(lag.dead), note)
