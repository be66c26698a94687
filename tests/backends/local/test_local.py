"""Local disk keeps every promise, also where the operating system offers less than Linux does."""

import pytest

from tests.backends.contract import BackendContract


class TestLocal(BackendContract):
    """With `storage` from conftest.py."""


@pytest.mark.usefixtures("without_help")
class TestLocalWithoutHelp(BackendContract):
    """No extended attributes, no locks within a file, no copying in the kernel."""
