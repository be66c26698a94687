"""The edge is tested on the event loop that it runs on."""

from collections.abc import AsyncIterator

import pytest
import uvloop

from gateway.server.limits import Limits
from tests.server.harness import Site, serving


def pytest_asyncio_loop_factories(config, item):
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as site:
        yield site


@pytest.fixture
async def slow_site() -> AsyncIterator[Site]:
    """A site that waits for nobody."""
    limits = Limits(header_timeout=0.2, idle_timeout=0.3, stall_timeout=0.2, linger=0.2)
    async with serving(limits=limits) as site:
        yield site
