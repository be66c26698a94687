"""Every type of storage that can be configured can be opened."""

import pytest
from pydantic import TypeAdapter

from gateway.backends.registry import BACKENDS
from gateway.config.models import Backend
from gateway.storage import Address
from tests.backends.given import put, read

SETTINGS = {
    "local": lambda folder: {"path": str(folder / "root"), "fsync": False},
    "memory": lambda folder: {},
}


def test_every_type_is_tried_here():
    assert set(SETTINGS) == set(BACKENDS)


@pytest.mark.parametrize("kind", list(BACKENDS))
async def test_a_storage_is_opened_with_the_settings_of_its_type(kind, tmp_path):
    section = TypeAdapter(Backend).validate_python({"type": kind, **SETTINGS[kind](tmp_path)})
    async with BACKENDS[kind]("its-name", **section.model_dump(exclude={"type"})) as storage:
        assert storage.name == "its-name"
        await storage.create_bucket("bucket", {})
        await put(storage, Address("bucket", "key"), b"data")
        assert await read(storage, Address("bucket", "key")) == b"data"
