import os
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.backends.local import open_local
from gateway.backends.memory import Memory
from gateway.checksums import Checksum
from gateway.errors import (
    AccessDenied,
    IncompleteBody,
    InternalError,
    NoSuchBucket,
    NoSuchKey,
    PreconditionFailed,
    ServiceUnavailable,
)
from gateway.routing.router import Router
from gateway.routing.wrapper import Wrapper
from gateway.storage import PIECE, Address, Body, Download, File, ObjectInfo, ReadOptions, WriteOptions
from tests.backends.contract import BackendContract
from tests.backends.given import body, etag, put, read, some

A, B = Address("on-a", "key"), Address("on-b", "key")


class TestRouterOfOne(BackendContract):
    @pytest.fixture
    async def storage(self):
        return Router({}, Memory())


class TestRouterOfTwo(BackendContract):
    """One bucket of the suite lies here and all others there, so that each copy between two goes across."""

    @pytest.fixture
    async def storage(self):
        return Router({"promises": Memory()}, Memory())


class InPieces(Wrapper):
    """Gives its bytes as a stream."""

    @asynccontextmanager
    async def get(self, at, options=ReadOptions()):
        async with self.inner.get(at, options) as download:
            yield download._replace(content=body(download.content, pieces=1000).raw)


class FromFile(Wrapper):
    """Gives its bytes as a file, and lies about its length if it is told to."""

    cut = 0

    @asynccontextmanager
    async def get(self, at, options=ReadOptions()):
        async with self.inner.get(at, options) as download:
            descriptor = os.memfd_create("object")
            try:
                os.write(descriptor, b"before" + download.content[: len(download.content) - self.cut])
                yield download._replace(content=File(descriptor, 6))
            finally:
                os.close(descriptor)


@pytest.fixture
async def two():
    return await routed(Memory(), Memory())


async def routed(a, b):
    router = Router({"on-a": a, "on-b": b}, None)
    await router.create_bucket("on-a", {})
    await router.create_bucket("on-b", {})
    return router


async def test_a_bucket_lies_where_its_route_says():
    a, b, rest = Memory(), Memory(), Memory()
    router = Router({"on-a": a, "on-b": b}, rest)
    for name in ("on-b", "zzz", "on-a"):
        await router.create_bucket(name, {})
    assert [[info.name for info in await each.list_buckets()] for each in (a, b, rest, router)] == [
        ["on-a"],
        ["on-b"],
        ["zzz"],
        ["on-a", "on-b", "zzz"],
    ]


async def test_a_bucket_that_is_not_routed_to_its_storage_does_not_exist():
    a, b = Memory(), Memory()
    for backend in (a, b):
        await backend.create_bucket("on-a", {"of": "a" if backend is a else "b"})
        await backend.create_bucket("hidden", {})
    router = Router({"on-a": a, "on-b": b}, None)
    assert [(info.name, info.labels) for info in await router.list_buckets()] == [("on-a", {"of": "a"})]
    for call in (router.head_bucket("hidden"), read(router, Address("hidden", "key"))):
        with pytest.raises(NoSuchBucket):
            await call


async def test_a_storage_that_serves_several_buckets_is_asked_once():
    class Counting(Wrapper):
        asked = 0

        async def list_buckets(self):
            self.asked += 1
            return await self.inner.list_buckets()

    shared = Counting(Memory())
    router = Router({"one": shared, "two": shared}, shared)
    await router.create_bucket("one", {})
    assert [info.name for info in await router.list_buckets()] == ["one"]
    assert shared.asked == 1


async def test_buckets_are_not_listed_without_a_storage_that_does_not_answer():
    class Dead(Wrapper):
        async def list_buckets(self):
            raise ServiceUnavailable

    with pytest.raises(ServiceUnavailable):
        await Router({"on-a": Memory()}, Dead(Memory())).list_buckets()


async def test_buckets_are_not_listed_without_one_whose_storage_does_not_answer():
    class Dead(Wrapper):
        async def head_bucket(self, bucket):
            raise ServiceUnavailable

    with pytest.raises(ServiceUnavailable):
        await Router({"on-a": Dead(Memory())}, Memory()).list_buckets()


async def test_a_storage_that_may_not_list_its_buckets_is_asked_for_those_that_are_named():
    class Limited(Wrapper):
        async def list_buckets(self):
            raise ServiceUnavailable

    limited = Limited(Memory())
    router = Router({"one": limited, "two": limited, "missing": limited}, None)
    for bucket in ("one", "two"):
        await router.create_bucket(bucket, {"owner": bucket})
    assert [(info.name, info.labels) for info in await router.list_buckets()] == [
        ("one", {"owner": "one"}),
        ("two", {"owner": "two"}),
    ]


async def test_a_bucket_without_a_storage_cannot_be_created(two):
    with pytest.raises(AccessDenied, match="No storage is configured"):
        await two.create_bucket("elsewhere", {})


@pytest.mark.parametrize("kind", [Wrapper, InPieces, FromFile])
@pytest.mark.parametrize("size", [0, 1, PIECE, 3 * PIECE + 7])
async def test_a_copy_goes_from_one_storage_to_another(kind, size):
    router = await routed(kind(Memory()), Memory())
    there = await put(router, A, some(size), WriteOptions(metadata={"old": "x"}))
    copied = await router.copy(A, B, WriteOptions(metadata={"new": "y"}, checksum="SHA256"), there.etag)
    assert (copied.size, copied.etag, copied.metadata) == (size, etag(some(size)), {"new": "y"})
    assert copied.checksum.algorithm == "SHA256"
    assert await read(router, B) == some(size)


@pytest.mark.parametrize("kind", [Wrapper, InPieces, FromFile])
async def test_a_range_is_copied_as_a_part_from_one_storage_to_another(kind):
    router = await routed(kind(Memory()), Memory())
    there = await put(router, A, some(3 * PIECE))
    upload = await router.create_upload(B)
    part = await router.copy_part(upload, 1, A, ReadOptions(range=slice(5, 2 * PIECE)), there.etag)
    assert part.etag == etag(some(3 * PIECE)[5 : 2 * PIECE])


async def test_a_copy_between_storages_is_of_the_version_that_was_meant(two):
    old = await put(two, A, b"old")
    await put(two, A, b"new")
    upload = await two.create_upload(B)
    with pytest.raises(PreconditionFailed):
        await two.copy(A, B, WriteOptions(), old.etag)
    with pytest.raises(PreconditionFailed):
        await two.copy_part(upload, 1, A, ReadOptions(), old.etag)
    with pytest.raises(NoSuchKey):
        await two.head(B)
    assert list((await two.list_parts(upload)).parts) == []


async def test_a_copy_within_a_storage_is_left_to_it():
    class Proud(Wrapper):
        async def copy(self, source, to, options, etag):
            return "its own"

        async def copy_part(self, upload, number, source, options, etag):
            return "its own"

    proud = Proud(Memory())
    router = Router({"on-a": proud, "on-b": proud}, Memory())
    await router.create_bucket("on-b", {})
    assert await router.copy(A, B, WriteOptions(), "0" * 32) == "its own"
    assert await router.copy_part(await router.create_upload(B), 1, A, ReadOptions(), "0" * 32) == "its own"


async def test_a_file_that_is_shorter_than_it_should_be_is_not_copied():
    source = FromFile(Memory())
    router = await routed(source, Memory())
    there = await put(router, A, some(2 * PIECE))
    source.cut = 1
    with pytest.raises(IncompleteBody):
        await router.copy(A, B, WriteOptions(), there.etag)
    with pytest.raises(NoSuchKey):
        await router.head(B)


async def test_bytes_that_rotted_in_their_storage_are_not_copied():
    class Rotten(Wrapper):
        @asynccontextmanager
        async def get(self, at, options=ReadOptions()):
            async with self.inner.get(at, options) as download:
                yield download._replace(content=b"rotten")

    router = await routed(Rotten(Memory()), Memory())
    there = await put(router, A, b"intact")
    with pytest.raises(InternalError):
        await router.copy(A, B, WriteOptions(), there.etag)
    with pytest.raises(NoSuchKey):
        await router.head(B)


async def test_a_checksum_of_parts_is_no_checksum_of_the_bytes(two):
    there = await put(two, A, b"data")
    two._routes["on-a"]._buckets["on-a"].objects["key"] = replace(
        two._routes["on-a"]._object(A),
        info=replace(there, checksum=Checksum("SHA1", "kd1QULa4YCrZ2hSKkkB05MzFXWQ=-2", composite=True)),
    )
    assert (await two.copy(A, B, WriteOptions(), there.etag)).size == 4


async def test_a_copy_between_storages_takes_constant_memory():
    size, sent, ahead = 200 * PIECE, 0, 0

    class Endless(Wrapper):
        @asynccontextmanager
        async def get(self, at, options=ReadOptions()):
            async def content():
                nonlocal sent
                while sent < size:
                    sent += PIECE
                    yield bytes(PIECE)

            info = ObjectInfo(at.key, size, "e", datetime.now(UTC))
            yield Download(info, 0, size, content())

    class Swallowing(Wrapper):
        async def put(self, at, body: Body, options=WriteOptions()):
            nonlocal ahead
            taken = 0
            async for piece in body:
                taken += len(piece)
                ahead = max(ahead, sent - taken)
            return taken

    router = Router({"on-a": Endless(Memory()), "on-b": Swallowing(Memory())}, None)
    assert await router.copy(A, B, WriteOptions(), "e") == size
    assert ahead <= 2 * PIECE


class TestRouterOfDiskAndMemory(BackendContract):
    """Copies go from files into memory and back."""

    @pytest.fixture
    async def storage(self, tmp_path):
        async with open_local("disk", tmp_path / "root", fsync=False) as disk:
            yield Router({"promises": Memory()}, disk)
