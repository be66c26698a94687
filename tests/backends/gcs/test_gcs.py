"""Google Cloud Storage keeps every promise, but of the names that it does not take."""

import pytest
from hypothesis import HealthCheck, given, settings

from gateway.backends.gcs.names import can_hold
from gateway.errors import InvalidArgument, NoSuchKey
from gateway.storage import Address, ListQuery, WriteOptions
from tests.backends.contract import BackendContract
from tests.backends.given import NASTY, keys, put
from tests.backends.promises import listings, objects

LISTING = listings.ListingPromises.test_any_listing_is_what_the_plainest_model_says.hypothesis.inner_test


class TestGcs(BackendContract):
    @pytest.fixture(autouse=True)
    def names_that_can_be_held(self, monkeypatch):
        for module in (listings, objects):
            monkeypatch.setattr(module, "NASTY", tuple(filter(can_hold, NASTY)))

    @pytest.mark.parametrize("key", ["key", "a/b/c", "folder/", ".hidden", "...", "/", "k" * 1024])
    async def test_a_bucket_with_an_object_is_not_deleted(self, storage, bucket, key):
        await super().test_a_bucket_with_an_object_is_not_deleted(storage, bucket, key)

    @settings(
        max_examples=50,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(names=listings.NAMES.map(lambda names: list(filter(can_hold, names))), query=listings.ANY_QUERY)
    async def test_any_listing_is_what_the_plainest_model_says(self, storage, names, query):
        await LISTING(self, storage, names, query)

    @pytest.mark.parametrize("key", [".", "..", "\n", "a\r\nb", ".well-known/acme-challenge/x"])
    async def test_a_name_that_cannot_be_held_is_refused_and_never_there(self, storage, bucket, key):
        at = Address(bucket, key)
        there = await put(storage, Address(bucket, "key"), b"data")
        for write in (put(storage, at, b"data"), storage.create_upload(at)):
            with pytest.raises(InvalidArgument):
                await write
        for read in (storage.head(at), storage.annotate(at, {}), storage.copy(at, at, WriteOptions(), there.etag)):
            with pytest.raises((NoSuchKey, InvalidArgument)):
                await read
        await storage.delete(at)
        assert await keys(storage, bucket) == ["key"]
        assert await keys(storage, bucket, ListQuery(prefix=key)) == []
