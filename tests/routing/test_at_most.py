"""A storage is asked for so much at once, and no more."""

import asyncio

import pytest

from gateway.backends.memory import Memory
from gateway.errors import SlowDown
from gateway.routing.at_most import AtMost
from gateway.routing.wrapper import Wrapper
from gateway.storage import Address, Completion, ListQuery, Part, ReadOptions, Upload, UploadQuery, WriteOptions
from tests.backends.contract import BackendContract
from tests.backends.given import body, put, read

AT = Address("bucket", "key")
UPLOAD = Upload(AT, "0" * 48)
CALLS = {
    "list_buckets": lambda s: s.list_buckets(),
    "head_bucket": lambda s: s.head_bucket("bucket"),
    "create_bucket": lambda s: s.create_bucket("other", {}),
    "delete_bucket": lambda s: s.delete_bucket("bucket"),
    "get": lambda s: read(s, AT),
    "head": lambda s: s.head(AT),
    "put": lambda s: s.put(AT, body(b"new")),
    "copy": lambda s: s.copy(AT, AT, WriteOptions(), "0" * 32),
    "annotate": lambda s: s.annotate(AT, {"owner": "x"}),
    "delete": lambda s: s.delete(AT),
    "list_objects": lambda s: s.list_objects("bucket", ListQuery()),
    "create_upload": lambda s: s.create_upload(AT),
    "put_part": lambda s: s.put_part(UPLOAD, 1, body(b"new")),
    "copy_part": lambda s: s.copy_part(UPLOAD, 1, AT, ReadOptions(), "0" * 32),
    "list_parts": lambda s: s.list_parts(UPLOAD),
    "list_uploads": lambda s: s.list_uploads("bucket", UploadQuery()),
    "complete_upload": lambda s: s.complete_upload(UPLOAD, [Part(1, "0" * 32, 1)], Completion()),
}


class TestAtMost(BackendContract):
    """While there is room, every promise holds."""

    @pytest.fixture
    async def storage(self):
        return AtMost(Memory(), 100)


class Held(Wrapper):
    """A storage whose `head` waits."""

    def __init__(self):
        super().__init__(Memory())
        self.go = asyncio.Event()

    async def head(self, at, options=ReadOptions()):
        await self.go.wait()
        return await self.inner.head(at, options)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_what_is_too_much_is_refused_at_once_and_changes_nothing(call):
    held = Held()
    await held.create_bucket("bucket", {})
    await put(held, AT, b"bytes")
    storage = AtMost(held, 1)
    waiting = asyncio.create_task(storage.head(AT))
    await asyncio.sleep(0)
    with pytest.raises(SlowDown) as refused:
        await call(storage)
    assert refused.value.headers == {"Retry-After": "1"}
    held.go.set()
    await waiting
    assert await read(storage, AT) == b"bytes"


async def test_a_download_counts_until_it_ends():
    storage = AtMost(Memory(), 1)
    await storage.create_bucket("bucket", {})
    await put(storage, AT, b"bytes")
    async with storage.get(AT):
        with pytest.raises(SlowDown):
            await storage.head(AT)
    await storage.head(AT)


async def test_an_upload_can_be_given_up_however_busy_the_storage_is():
    storage = AtMost(Memory(), 1)
    await storage.create_bucket("bucket", {})
    await put(storage, AT, b"bytes")
    upload = await storage.create_upload(AT)
    async with storage.get(AT):
        await storage.abort_upload(upload)
