"""Labels are changed on every server, and nothing that is written meanwhile is undone where the server can help it."""

import asyncio

import pytest

from gateway.backends.s3.backend import open_s3
from gateway.backends.s3.labelling import Labeller
from gateway.errors import NotImplementedByGateway, PreconditionFailed
from gateway.storage import SMALL, Address, Completion, WriteOptions
from tests.backends.given import MIB, put, read, some, uploaded

AT = Address("bucket", "key")
OPTIONS = WriteOptions({"content-type": "text/x"}, {"name": "ä"}, {"owner": "me"}, checksum="SHA256")
COMPARING = ("aws", "minio", "moto")  # what they write is held to what was there


@pytest.fixture
async def opened(settings):
    """Open the server as if it spoke another dialect."""
    opened = []

    async def open_as(dialect):
        context = open_s3(dialect, **{**settings, "dialect": dialect, "region": "us-east-1"})
        storage = await context.__aenter__()
        opened.append(context)
        return storage

    yield open_as
    for context in opened:
        await context.__aexit__(None, None, None)


@pytest.mark.parametrize("dialect", [*COMPARING, "ceph", "b2", "generic"])
@pytest.mark.parametrize("size", [0, 4, SMALL + 1])
async def test_labels_change_and_nothing_else_does(opened, dialect, size):
    storage = await opened(dialect)
    await storage.create_bucket("bucket", {})
    await put(storage, AT, some(size), OPTIONS)
    before = await storage.head(AT)
    await asyncio.sleep(1)  # what is written again is of another second
    await storage.annotate(AT, {"owner": "you"}, {"owner": "me"})
    after = await storage.head(AT)
    assert after.labels == {"owner": "you"}
    assert (after.etag, after.modified, after.headers, after.metadata, after.checksum) == (
        before.etag,
        before.modified,
        before.headers,
        before.metadata,
        before.checksum,
    )
    assert await read(storage, AT) == some(size)


@pytest.mark.parametrize("dialect", COMPARING)
async def test_what_is_written_between_the_look_and_the_change_stays(opened, dialect, monkeypatch):
    storage = await opened(dialect)
    await storage.create_bucket("bucket", {})
    await put(storage, AT, b"old", OPTIONS)
    relabel = Labeller._relabel

    async def late(self, at, there, labels):
        if there.metadata:
            await put(storage, AT, b"new", WriteOptions(labels={"owner": "me"}))
        await relabel(self, at, there, labels)

    monkeypatch.setattr(Labeller, "_relabel", late)
    await storage.annotate(AT, {"owner": "you"}, {"owner": "me"})
    assert await read(storage, AT) == b"new"
    assert (await storage.head(AT)).labels == {"owner": "you"}


@pytest.mark.parametrize("dialect", ["aws", "minio"])
async def test_an_object_of_parts_keeps_them(opened, dialect):
    storage = await opened(dialect)
    await storage.create_bucket("bucket", {})
    upload = await storage.create_upload(AT, OPTIONS)
    parts = await uploaded(storage, upload, [(1, some(5 * MIB)), (2, b"end")])
    made = await storage.complete_upload(upload, parts, Completion())
    await storage.annotate(AT, {"owner": "you"})
    after = await storage.head(AT)
    assert (after.etag, after.part_count, after.metadata, after.checksum) == (
        made.etag,
        2,
        OPTIONS.metadata,
        made.checksum,
    )
    assert after.labels == {"owner": "you"}


@pytest.mark.parametrize("dialect", ["moto", "generic"])
async def test_an_object_of_parts_that_would_become_another_is_refused(opened, dialect):
    storage = await opened(dialect)
    await storage.create_bucket("bucket", {})
    upload = await storage.create_upload(AT, OPTIONS)
    made = await storage.complete_upload(upload, await uploaded(storage, upload, [(1, b"part")]), Completion())
    with pytest.raises(NotImplementedByGateway):
        await storage.annotate(AT, {"owner": "you"})
    assert await storage.head(AT) == made


@pytest.mark.parametrize("dialect", ["aws", "ceph", "generic"])
async def test_labels_that_are_there_already_are_not_written_again(opened, dialect, upstream):
    storage = await opened(dialect)
    await storage.create_bucket("bucket", {})
    await put(storage, AT, b"data", OPTIONS)
    there = await upstream.storage.head(AT)
    await storage.annotate(AT, OPTIONS.labels, OPTIONS.labels)
    assert await upstream.storage.head(AT) == there


@pytest.mark.parametrize("dialect", ["aws", "generic"])
async def test_labels_of_a_bucket_are_replaced_only_if_they_are_what_they_were(opened, dialect):
    storage = await opened(dialect)
    await storage.create_bucket("bucket", {"owner": "me"})
    with pytest.raises(PreconditionFailed):
        await storage.annotate(Address("bucket"), {"owner": "you"}, {"owner": "she"})
    await storage.annotate(Address("bucket"), {"owner": "you"}, {"owner": "me"})
    assert (await storage.head_bucket("bucket")).labels == {"owner": "you"}
