"""A bucket that moves keeps the promises of every backend, wherever its objects are."""

from contextlib import suppress

import pytest

from gateway.backends.memory import Memory
from gateway.errors import BucketNotEmpty, NoSuchBucket, NoSuchKey
from gateway.migration.copying import Copier, is_migrated
from gateway.routing.lazy import Lazy, Storages
from gateway.routing.wrapper import Wrapper
from gateway.storage import Address, ReadOptions, WriteOptions
from tests.backends.contract import BackendContract
from tests.backends.given import put
from tests.routing.lazy.world import HOLD, EveryBucket, tombs_in
from tests.state.databases import opened


@pytest.fixture
async def tombs(tmp_path):
    async with opened("sqlite", tmp_path) as store:
        yield tombs_in(store)


def lazy(tombs, new, old):
    return Lazy("route", Storages(new, EveryBucket(old), lambda _: None), tombs, HOLD)


class TestNew(BackendContract):
    """All is on the new storage."""

    @pytest.fixture
    async def storage(self, tombs):
        return lazy(tombs, Memory("new"), Memory("old"))


class Before(Wrapper):
    """What is put under no condition where nobody has ever written was there before the bucket moved."""

    def __init__(self, inner, old):
        super().__init__(inner)
        self.old = old
        self.written = set()

    async def create_bucket(self, bucket, labels):
        await self.inner.create_bucket(bucket, labels)
        with suppress(Exception):
            await self.old.create_bucket(bucket, labels)

    async def put(self, at, body, options=WriteOptions()):
        if options.conditions or at in self.written:
            self.written.add(at)
            return await self.inner.put(at, body, options)
        with suppress(NoSuchBucket):
            await self.inner.head_bucket(at.bucket)
            self.written.add(at)
            return await self.old.put(at, body, options)
        return await self.inner.put(at, body, options)

    async def copy(self, source, to, options, etag):
        self.written.add(to)
        return await self.inner.copy(source, to, options, etag)

    async def complete_upload(self, upload, parts, completion):
        self.written.add(upload.at)
        return await self.inner.complete_upload(upload, parts, completion)


class TestOld(BackendContract):
    """What clients have not written anew is on the old one."""

    @pytest.fixture
    async def storage(self, tombs):
        old = Memory("old")
        return Before(lazy(tombs, Memory("new"), old), old)

    async def test_labels_are_replaced_and_nothing_else(self, storage, bucket):
        """But for its Last-Modified: it is labelled where it is copied to."""
        at = Address(bucket, "key")
        before = await put(storage, at, b"data", WriteOptions({"content-type": "image/png"}, labels={"owner": "me"}))
        await storage.annotate(at, {"acl": "private"})
        after = await storage.head(at)
        assert (after.etag, after.headers, after.labels) == (before.etag, before.headers, {"acl": "private"})


class Copied(Before):
    """As `Before`, and copied before anybody looks at it."""

    async def put(self, at, body, options=WriteOptions()):
        is_first = at not in self.written
        made = await super().put(at, body, options)
        if is_first and at in self.written:
            await Copier(self.old, self.inner.new).copy(at, at)
            with suppress(NoSuchKey):
                return await self.inner.head(at, ReadOptions())
        return made

    async def delete_bucket(self, bucket):
        """Copies that nobody sees any more keep a bucket until the end, when they are swept."""
        with suppress(BucketNotEmpty):
            await self.inner.delete_bucket(bucket)
            return
        for key in await self.inner.tombs.page(bucket, "", 1000):
            if is_migrated(await self.inner.new.head(Address(bucket, key))):
                await self.inner.new.delete(Address(bucket, key))
        await self.inner.delete_bucket(bucket)


class TestCopied(BackendContract):
    """It has been copied."""

    @pytest.fixture
    async def storage(self, tombs):
        old = Memory("old")
        return Copied(lazy(tombs, Memory("new"), old), old)
