"""docs/images.md names every metric, reason, event, preset, command and option."""

import re
from pathlib import Path

import click
from prometheus_client import Counter

from gateway import metrics
from gateway.cli.images import command as images
from gateway.images.keeper import MEANT
from gateway.images.spec import PRESETS, Reason, Unfit

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "images.md").read_text()
ELSEWHERE = {"--config", "-c"}


def test_every_metric_is_described():
    for name in metrics.__all__:
        if name.startswith("IMAGE_"):
            metric = getattr(metrics, name)
            told = f"{metric._name}_total" if isinstance(metric, Counter) else metric._name
            assert f"`{told}`" in PAGE, told


def test_every_reason_is_described_once():
    section = PAGE.partition("## What is not transformed")[2].partition("\n\nWith")[0]
    told = [name for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)]
    assert sorted(told) == sorted([*Reason, *MEANT])


def test_every_reason_that_is_tried_again_is_described():
    told = re.search(r"What the machine may be at fault\s+for \((.*?)\)", PAGE)
    assert set(re.findall(r"`(\w+)`", told[1])) == {reason for reason in Reason if Unfit(reason).passing}


def test_every_event_is_described():
    code = "".join((ROOT / "gateway" / "images" / name).read_text() for name in ("telling.py", "hook.py"))
    events = set(re.findall(r'log\.\w+\("(\w+)"', code))
    assert events == set(re.findall(r"^\| `(image_\w+)` \|", PAGE, re.MULTILINE))


def test_every_command_and_option_is_described():
    for name, command in images.commands.items():
        [row] = re.findall(rf"^\| `gateway images {name} (.*)\|$", PAGE, re.MULTILINE)
        options = {option for each in command.params if isinstance(each, click.Option) for option in each.opts}
        assert set(re.findall(r"--[a-z-]+", row)) == options - ELSEWHERE, name


def test_every_preset_is_described():
    section = PAGE.partition("## Presets")[2]
    told = {name for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    full = {name for name in told if not name.startswith("_")}
    endings = {name for name in told if name.startswith("_")}
    assert [name for name in PRESETS if name not in full and not any(name.endswith(end) for end in endings)] == []
