"""What the tests of outages share."""

import pytest

from tests.outages.world import Shared


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
