"""What all tests share."""

import os

import pytest
import structlog
from hypothesis import settings

pytest.register_assert_rewrite("tests.backends")  # the promises are imported, so pytest does not find them itself

# A run is not red by luck: it tries the same examples each time, and `make fuzz` looks for others.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("others", deadline=None, max_examples=EXAMPLES or 100)
settings.load_profile("others" if EXAMPLES else "same")


@pytest.fixture(autouse=True)
def _logging():
    """Leave logs as they were: a command that runs in this process is quiet, and all after it would be."""
    said = structlog.get_config()
    yield
    structlog.configure(**said)
