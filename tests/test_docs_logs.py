"""docs/logs.md names events as the code does, with their levels."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TABLE = (ROOT / "docs" / "logs.md").read_text().partition("## Other events")[2]
ROWS = re.findall(r"^\| (`.*?) \| ([a-z, ]+) \|", TABLE, re.MULTILINE)
CODE = "".join(path.read_text() for path in sorted((ROOT / "gateway").rglob("*.py")))
LEVELS = {"exception": "error"}


@pytest.mark.parametrize(("names", "levels"), ROWS)
def test_events_are_logged_as_the_page_says(names: str, levels: str):
    found = [
        {LEVELS.get(level, level) for level in re.findall(rf'log\.(\w+)\(\s*"{name}"', CODE)}
        for name in re.findall(r"`(\w+)`", names)
    ]
    assert all(found)
    assert set(levels.split(", ")) <= set().union(*found)


def test_there_are_rows():
    assert len(ROWS) > 10
