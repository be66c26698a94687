"""Memory keeps every promise."""

import pytest

from gateway.backends.memory import Memory
from gateway.errors import NoSuchVersion
from gateway.storage import Address
from tests.backends.contract import BackendContract
from tests.backends.given import put


class TestMemory(BackendContract):
    @pytest.fixture
    async def storage(self):
        return Memory()


async def test_a_version_that_never_was_is_not_answered_with_another():
    storage = Memory()
    await storage.create_bucket("bucket", {})
    await put(storage, Address("bucket", "key"))
    assert (await storage.head(Address("bucket", "key", "null"))).size == 0
    with pytest.raises(NoSuchVersion):
        await storage.head(Address("bucket", "key", "other"))
