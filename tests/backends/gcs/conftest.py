"""A Google Cloud Storage that fails on order, and a backend that asks it."""

import pytest

from gateway.backends.gcs import open_gcs
from tests.doubles.gcs import Gcs


@pytest.fixture
async def fake():
    async with Gcs().running() as fake:
        yield fake


@pytest.fixture
async def storage(fake):
    async with open_gcs("gcs", project="acme", endpoint=fake.url) as storage:
        yield storage


@pytest.fixture
async def bucket(storage):
    await storage.create_bucket("bucket", {})
    return "bucket"
