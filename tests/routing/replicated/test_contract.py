"""A replicated bucket keeps the promises of every backend, in every mode."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from gateway.errors import NoSuchUpload
from gateway.replication.records import Mode
from gateway.routing.wrapper import Wrapper
from gateway.storage import Address, Completion
from tests.backends.contract import BackendContract
from tests.backends.given import body, read, uploaded, uploads
from tests.backends.promises.completions import PARTS, WHOLE, CompletionPromises
from tests.backends.promises.conditions import ReadConditionPromises, WriteConditionPromises
from tests.backends.promises.copies import CopyPromises
from tests.backends.promises.listings import ListingPromises
from tests.backends.promises.objects import ObjectPromises
from tests.backends.promises.uploads import UploadPromises
from tests.routing.replicated.world import World


class CompletesAgain:
    """As S3 does: the request whose answer was lost may be made once more."""

    async def test_an_upload_completes_once(self, storage, bucket):
        upload = await storage.create_upload(Address(bucket, "key"))
        parts = await uploaded(storage, upload, PARTS)
        first = await storage.complete_upload(upload, parts, Completion())
        again = await asyncio.gather(*(storage.complete_upload(upload, parts, Completion()) for _ in range(5)))
        assert {info.etag for info in again} == {first.etag}
        assert (await storage.head(Address(bucket, "key"))).modified == first.modified
        assert await read(storage, Address(bucket, "key")) == WHOLE

    async def test_a_completed_upload_is_gone(self, storage, bucket):
        upload = await storage.create_upload(Address(bucket, "key"))
        parts = await uploaded(storage, upload, [(1, b"part")])
        await storage.complete_upload(upload, parts, Completion())
        assert await uploads(storage, bucket) == []
        for call in (
            storage.put_part(upload, 1, body(b"part")),
            storage.list_parts(upload),
            storage.abort_upload(upload),
        ):
            with pytest.raises(NoSuchUpload):
                await call
        await storage.delete(Address(bucket, "key"))
        with pytest.raises(NoSuchUpload):
            await storage.complete_upload(upload, parts, Completion())


class CaughtUp(Wrapper):
    """A bucket can be deleted when its mirrors have caught up."""

    def __init__(self, world):
        super().__init__(world.storage)
        self.world = world

    async def delete_bucket(self, bucket):
        await self.world.mirrored()
        await self.inner.delete_bucket(bucket)


class TestNormalWithoutMirrors(CompletesAgain, BackendContract):
    @pytest.fixture
    async def storage(self):
        return (await World(mirrors=()).ready()).storage


class TestNormal(CompletesAgain, BackendContract):
    @pytest.fixture
    async def storage(self):
        return CaughtUp(await World().ready())


class TestHealing(CompletesAgain, BackendContract):
    @pytest.fixture
    async def storage(self):
        world = await World().ready()
        await world.turn(Mode.FAILOVER)
        await world.turn(Mode.HEALING)
        return CaughtUp(world)


class BucketsAsBefore(CaughtUp):
    """During an outage no bucket is created or deleted: these were there, and stay."""

    async def create_bucket(self, bucket, labels):
        for storage in (self.world.primary, self.world.fallback, *self.world.mirrors.values()):
            await storage.inner.create_bucket(bucket, labels)

    async def delete_bucket(self, bucket):
        pass


class ObjectContract(
    ObjectPromises, ReadConditionPromises, WriteConditionPromises, CopyPromises, ListingPromises, CompletionPromises
):
    @pytest.fixture
    async def bucket(self, storage):
        await storage.create_bucket("promises", {})
        return "promises"


class TestFailover(CompletesAgain, ObjectContract, UploadPromises):
    @pytest.fixture
    async def storage(self):
        world = await World().ready()
        await world.fail()
        return BucketsAsBefore(world)

    @pytest.mark.parametrize("upload_id", ["f.", "f.unknown", "f." + "0" * 48, "f.\0", "f.😀"], ids=ascii)
    async def test_an_unknown_upload_is_named_as_such(self, storage, bucket, upload_id):
        await super().test_an_unknown_upload_is_named_as_such(storage, bucket, upload_id)


class Interrupted(BucketsAsBefore):
    """Written in NORMAL; the primary is down whenever something is read."""

    def get(self, at, *args):
        return self._get(at, *args)

    @asynccontextmanager
    async def _get(self, *args):
        async with self.outage(), self.inner.get(*args) as download:
            yield download

    async def head(self, *args):
        async with self.outage():
            return await self.inner.head(*args)

    async def list_objects(self, *args):
        async with self.outage():
            return await self.inner.list_objects(*args)

    @asynccontextmanager
    async def outage(self):
        await self.world.mirrored()
        await self.world.fail()
        try:
            yield
        finally:
            await self.world.recover()
            await self.world.member.beat()
            assert await self.world.mode() is Mode.NORMAL


class TestReadFromAMirror(ReadConditionPromises, ListingPromises):
    test_nasty_keys_are_listed_page_by_page = test_a_listing_may_begin_after_anything = None  # thousands of outages

    @pytest.fixture
    async def storage(self):
        return Interrupted(await World().ready())

    @pytest.fixture
    async def bucket(self, storage):
        await storage.create_bucket("promises", {})
        return "promises"
