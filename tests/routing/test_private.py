from itertools import product

import pytest

from gateway.backends.memory import Memory
from gateway.errors import AccessDenied
from gateway.routing.private import Private
from gateway.storage import Address, Completion, ListQuery, Part, ReadOptions, Upload, UploadQuery, WriteOptions
from tests.backends.contract import BackendContract
from tests.backends.given import body, put, read

OURS = (".gw/a", ".gw/stage/x", ".gw/stage/y", ".gw/z")
THEIRS = ("!", ".", ".a", ".g", ".gv", ".gw", ".gw-", ".gw0", ".gwx/y", ".h", "a/.gw/b")


class TestPrivate(BackendContract):
    @pytest.fixture
    async def storage(self):
        return Private(Memory())


@pytest.fixture
async def memory():
    storage = Memory()
    await storage.create_bucket("bucket", {})
    for key in (*OURS, *THEIRS):
        await put(storage, Address("bucket", key))
    return storage


async def listed(storage, query):
    """Return all items from `query.after` on, page by page."""
    items = []
    while True:
        page = await storage.list_objects("bucket", query)
        assert len(page.objects) + len(page.prefixes) <= query.limit
        items += sorted([*page.prefixes, *(info.key for info in page.objects)])
        if not page.last:
            return items
        query = query._replace(after=page.last)


@pytest.mark.parametrize("limit", [1, 2, 1000])
async def test_no_listing_tells_what_is_ours_or_lacks_what_is_theirs(memory, limit):
    other = Memory()
    await other.create_bucket("bucket", {})
    for key in THEIRS:
        await put(other, Address("bucket", key))
    prefixes, delimiters = ("", ".", ".g", ".gw", ".gw/", ".gw/s"), ("", "/", ".", "g", "w", "gw/", "s")
    for prefix, delimiter, after in product(prefixes, delimiters, ("", ".", ".gw/x", ".gw")):
        query = ListQuery(prefix, delimiter, after, limit)
        assert await listed(Private(memory), query) == await listed(other, query), query


async def test_what_is_ours_is_denied_whatever_is_asked(memory):
    storage, ours, theirs = Private(memory), Address("bucket", ".gw/a"), Address("bucket", "a/.gw/b")
    etag, upload = (await memory.head(ours)).etag, Upload(ours, "id")
    for call in (
        storage.head(ours),
        read(storage, ours),
        put(storage, ours, b"mine"),
        storage.delete(ours),
        storage.annotate(ours, {}),
        storage.copy(ours, theirs, WriteOptions(), etag),
        storage.copy(theirs, ours, WriteOptions(), etag),
        storage.create_upload(ours),
        storage.put_part(upload, 1, body(b"x")),
        storage.copy_part(upload, 1, theirs, ReadOptions(), etag),
        storage.copy_part(Upload(theirs, "id"), 1, ours, ReadOptions(), etag),
        storage.list_parts(upload),
        storage.complete_upload(upload, [Part(1, etag, 0)], Completion()),
        storage.abort_upload(upload),
    ):
        with pytest.raises(AccessDenied):
            await call
    assert (await memory.head(ours)).etag == etag


async def test_no_listing_of_uploads_tells_of_ours(memory):
    for key in (".a", *OURS, "b"):
        await memory.create_upload(Address("bucket", key))
    found, query = [], UploadQuery(limit=2)
    while True:
        page = await Private(memory).list_uploads("bucket", query)
        found += [info.upload.at.key for info in page.uploads]
        if not page.last:
            break
        query = query._replace(after=page.last, after_id=page.last_id)
    assert found == [".a", "b"]
