"""What the tests of outages share."""

from contextlib import ExitStack

import pytest

from tests.outages.world import outages


class Shared:
    """A world that stays for the next test, if the last one has left it in order."""

    def __init__(self, folders):
        self._folders, self._open, self._world = folders, ExitStack(), None

    def take(self):
        if self._world is None:
            self._world = self._open.enter_context(outages(self._folders.mktemp("world")))
            self._world.await_baseline()
        return self._world

    @property
    def log(self):
        return self._world.gateway.log[-5000:] if self._world else ""

    @property
    def is_closed(self):
        return self._world is None

    def close(self):
        self._world = None
        self._open.close()


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    shared = Shared(tmp_path_factory)
    yield shared
    shared.close()


@pytest.fixture
def world(shared):
    world = shared.take()
    try:
        yield world
        if not shared.is_closed:
            world.clear()
    except BaseException:
        shared.close()
        raise


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """After a test that failed nobody gets its world."""
    outcome = yield
    report, shared = outcome.get_result(), item.funcargs.get("shared")
    if report.failed and shared:
        report.sections.append(("gateway", shared.log))
        shared.close()
