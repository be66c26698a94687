"""A clock that is set back or forward while the gateway runs loses nothing."""

import pytest

from gateway.backends.local import open_local, writing
from gateway.storage import Address, ListQuery
from tests.backends.given import put


@pytest.mark.parametrize("set_to", [0, 1, 10**9, 2**31, 2**33])
async def test_objects_are_told_apart_whatever_the_clock_says(tmp_path, monkeypatch, set_to):
    async with open_local("disk", tmp_path / "root") as storage:
        await storage.create_bucket("bucket", {})
        first = await put(storage, Address("bucket", "key"), b"first")
        monkeypatch.setattr(writing.time, "time_ns", lambda: set_to * 10**9)
        second = await put(storage, Address("bucket", "key"), b"other")
        assert second.etag != first.etag
        assert (await storage.head(Address("bucket", "key"))).etag == second.etag
        await put(storage, Address("bucket", "later"), b"")
        page = await storage.list_objects("bucket", ListQuery())
        assert [info.key for info in page.objects] == ["key", "later"]
