"""Every type of storage that can be configured can be opened."""

import pytest
from pydantic import TypeAdapter

from gateway.backends.registry import BACKENDS
from gateway.config.models import Backend
from gateway.storage import Address
from tests.backends.given import put, read
from tests.doubles.gcs import Gcs
from tests.server.harness import ACCESS_KEY, SECRET_KEY, serving

KEYS = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
AFAR = {"r2"}  # there is only one of it
SETTINGS = {
    "gcs": lambda _, urls: {"project": "acme", "endpoint": urls["gcs"]},
    "local": lambda folder, _: {"path": str(folder / "root"), "fsync": False},
    "memory": lambda *_: {},
    "r2": lambda *_: {"account": "0123456789abcdef", **KEYS},
    "s3": lambda _, urls: {"endpoint": urls["s3"], **KEYS},
}


@pytest.fixture
async def urls():
    """The servers, for those that need one."""
    async with serving() as site, Gcs().running() as gcs:
        yield {"s3": f"http://127.0.0.1:{site.port}", "gcs": gcs.url}


def test_every_type_is_tried_here():
    assert set(SETTINGS) == set(BACKENDS)


@pytest.mark.parametrize("kind", list(BACKENDS))
async def test_a_storage_is_opened_with_the_settings_of_its_type(kind, tmp_path, urls):
    section = TypeAdapter(Backend).validate_python({"type": kind, **SETTINGS[kind](tmp_path, urls)})
    async with BACKENDS[kind]("its-name", **section.model_dump(exclude={"type", "concurrency"})) as storage:
        assert storage.name == "its-name"
        if kind in AFAR:
            return
        await storage.create_bucket("bucket", {})
        await put(storage, Address("bucket", "key"), b"data")
        assert await read(storage, Address("bucket", "key")) == b"data"
