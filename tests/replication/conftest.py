import pytest

from tests.state.databases import KINDS, opened
from tests.state.timed import Timed


@pytest.fixture(params=KINDS)
async def store(request, tmp_path):
    async with opened(request.param, tmp_path) as inner:
        yield Timed(inner)
