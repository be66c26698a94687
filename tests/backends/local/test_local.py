"""Local disk keeps every promise."""

from tests.backends.contract import BackendContract


class TestLocal(BackendContract):
    """With `storage` from conftest.py."""
