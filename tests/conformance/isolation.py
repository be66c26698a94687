"""A plugin for the suite's own pytest: what it takes to run its tests side by side and to pick from them.

The suite gives all tests of a process one prefix of bucket names and empties those buckets after each test, so one
bucket that cannot be removed fails every test after it; here each test has a prefix of its own.
"""

import os
import secrets
import sys
from pathlib import Path

import pytest

BUILT_IN = {"parametrize", "usefixtures", "skip", "skipif", "xfail", "filterwarnings", "timeout"}


def pytest_itemcollected(item: pytest.Item) -> None:
    item.user_properties.append(("areas", " ".join(sorted({mark.name for mark in item.iter_markers()} - BUILT_IN))))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = set(Path(os.environ["WANTED"]).read_text().splitlines()) if "WANTED" in os.environ else None
    unwanted = set(os.environ.get("UNWANTED", "").split())
    chosen = [item for item in items if (wanted is None or item.name in wanted) and item.name not in unwanted]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    suite = sys.modules.get("s3tests.functional")
    if suite is not None and getattr(suite, "prefix", None):
        suite.prefix = f"test-{secrets.token_hex(8)}-"
