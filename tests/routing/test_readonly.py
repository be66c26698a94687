"""Nothing that would change a read-only bucket reaches the storage."""

import pytest

from gateway.backends.memory import Memory
from gateway.errors import AccessDenied
from gateway.routing.readonly import ReadOnly
from gateway.storage import Address, Completion, ListQuery, Part, ReadOptions, Upload, UploadQuery, WriteOptions
from tests.backends.contract import BackendContract
from tests.backends.given import body, put, read

FIXED, FREE = Address("fixed", "key"), Address("free", "key")
UPLOAD = Upload(FIXED, "0" * 48)
WRITES = {
    "create_bucket": lambda s: s.create_bucket("fixed", {}),
    "delete_bucket": lambda s: s.delete_bucket("fixed"),
    "put": lambda s: s.put(FIXED, body(b"new")),
    "copy": lambda s: s.copy(FREE, FIXED, WriteOptions(), "0" * 32),
    "annotate": lambda s: s.annotate(FIXED, {"owner": "x"}),
    "annotate_bucket": lambda s: s.annotate(Address("fixed"), {"owner": "x"}),
    "delete": lambda s: s.delete(FIXED),
    "create_upload": lambda s: s.create_upload(FIXED),
    "put_part": lambda s: s.put_part(UPLOAD, 1, body(b"new")),
    "copy_part": lambda s: s.copy_part(UPLOAD, 1, FREE, ReadOptions(), "0" * 32),
    "complete_upload": lambda s: s.complete_upload(UPLOAD, [Part(1, "0" * 32, 1)], Completion()),
    "abort_upload": lambda s: s.abort_upload(UPLOAD),
}


class TestReadOnly(BackendContract):
    """Elsewhere every promise holds."""

    @pytest.fixture
    async def storage(self):
        return ReadOnly(Memory(), {"fixed"}.__contains__)


class Deaf:
    """A storage that must not be asked for anything."""

    name = "deaf"

    def __getattr__(self, name):
        raise AssertionError(f"{name} reached the storage")


@pytest.mark.parametrize("write", list(WRITES))
async def test_a_write_is_denied_and_says_why(write):
    with pytest.raises(AccessDenied, match="read-only") as caught:
        await WRITES[write](ReadOnly(Deaf(), {"fixed"}.__contains__))
    assert caught.value.fields == {"BucketName": "fixed"}


async def test_a_refused_body_is_not_read():
    sent = body(b"data")
    with pytest.raises(AccessDenied):
        await ReadOnly(Deaf(), lambda _: True).put(FIXED, sent)
    assert not sent.started


async def test_what_is_there_can_be_read_listed_and_copied_from():
    memory = Memory()
    for at in (FIXED, FREE):
        await memory.create_bucket(at.bucket, {})
    there = await put(memory, FIXED, b"data")
    upload = await memory.create_upload(FIXED)
    storage = ReadOnly(memory, {"fixed"}.__contains__)
    assert await read(storage, FIXED) == b"data"
    assert (await storage.head(FIXED)).etag == there.etag
    assert len((await storage.list_objects("fixed", ListQuery())).objects) == 1
    assert len((await storage.list_uploads("fixed", UploadQuery())).uploads) == 1
    assert (await storage.list_parts(upload)).parts == []
    assert len(await storage.list_buckets()) == 2
    await storage.copy(FIXED, FREE, WriteOptions(), there.etag)
    assert await read(storage, FREE) == b"data"
