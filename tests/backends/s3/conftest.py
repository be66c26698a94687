"""What the tests of the S3 backend share: servers to talk to."""

import pytest

from gateway.backends.memory import Memory
from gateway.backends.s3.backend import open_s3
from tests.doubles.moto import moto_server
from tests.server.harness import ACCESS_KEY, SECRET_KEY, serving


@pytest.fixture
async def upstream():
    """A gateway over objects in memory as the server: it checks signatures, digests and conditions."""
    async with serving(Memory()) as site:
        yield site


@pytest.fixture
def settings(upstream):
    return {
        "endpoint": f"http://127.0.0.1:{upstream.port}",
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        "dialect": "aws",
        "addressing": "path",
        "connect_timeout": 2,
        "answer_timeout": 10,
        "stall_timeout": 10,
    }


@pytest.fixture
async def s3(settings):
    async with open_s3("s3", **settings) as storage:
        yield storage


@pytest.fixture(scope="session")
def moto():
    with moto_server() as port:
        yield port
