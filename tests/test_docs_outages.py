"""docs/outages.md names tests that are there, and all of those that let a gateway go through an outage."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "outages.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[a-z_/]+\.py)::(test_\w+)`", PAGE)))


def promises_of(path):
    return set(re.findall(r"^(?:async )?def (test_\w+)\(", (ROOT / path).read_text(), re.MULTILINE))


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_what_is_named_is_there(path, name):
    assert name in promises_of(path)


def test_no_outage_is_left_out():
    there = {
        (f"tests/outages/{path.name}", name)
        for path in (ROOT / "tests" / "outages").glob("test_*.py")
        for name in promises_of(path.relative_to(ROOT))
    }
    assert there <= set(NAMED)
