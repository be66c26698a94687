"""docs/replication.md names every metric, command and option that an operator of replicated buckets has."""

import re
from pathlib import Path

import click
import pytest
from prometheus_client import Counter

from gateway import metrics
from gateway.cli.failover import command as failover
from gateway.cli.journal import rebuild
from gateway.cli.mirror import command as mirror
from gateway.replication.comparing import Mark

PAGE = (Path(__file__).parent.parent / "docs" / "replication.md").read_text()
OURS = {"route", "target", "calls"}
EVERYWHERE = {"--config", "-c"}


def described():
    """Yield the metrics that tell of replicated buckets, with their names as they are told."""
    for name in set(metrics.__all__) - {"REGISTRY"}:
        metric = getattr(metrics, name)
        if OURS & set(metric._labelnames) or metric._name.startswith("gateway_state"):
            yield f"{metric._name}_total" if isinstance(metric, Counter) else metric._name, metric._labelnames


@pytest.mark.parametrize(("name", "labels"), sorted(described()))
def test_every_metric_is_described_with_its_labels(name, labels):
    row = re.search(rf"^\| `{name}` \|([^|]*)\|", PAGE, re.MULTILINE)
    assert row, name
    assert re.findall(r"`([a-z]+)`", row[1]) == list(labels)


def test_every_command_and_option_is_described():
    commands = {f"gateway mirror {name}": command for name, command in mirror.commands.items()}
    for name, command in {**commands, "gateway failover": failover, "gateway journal rebuild": rebuild}.items():
        rows = re.findall(rf"^\| `{name} (.*)\|$", PAGE, re.MULTILINE)
        assert rows, name
        told = set(re.findall(r"--[a-z-]+", " ".join(rows)))
        options = {option for each in command.params if isinstance(each, click.Option) for option in each.opts}
        if name != "gateway mirror repair":  # as verify
            assert told == options - EVERYWHERE, name


def test_every_mark_of_verify_is_described():
    for mark in Mark:
        assert re.search(rf"^\| `{re.escape(mark.value)}` \|", PAGE, re.MULTILINE), mark
