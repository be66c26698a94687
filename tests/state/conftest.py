import pytest

from tests.state.databases import KINDS, opened


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
async def store(kind, tmp_path):
    async with opened(kind, tmp_path) as store:
        yield store
