"""A Google Cloud Storage that fails on order, and a backend that asks it."""

import pytest

from gateway.backends.gcs import client, open_gcs, resumable
from tests.doubles.gcs import Gcs


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    for module in (client, resumable):
        monkeypatch.setattr(module, "PAUSES", (0.001, 0.002))


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
