from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from gateway.backends.memory import Memory
from gateway.errors import NoSuchBucket, NoSuchUpload, ServiceUnavailable
from gateway.routing import reaper
from gateway.routing.reaper import Expiry
from gateway.routing.wrapper import Wrapper
from gateway.storage import Address, Completion, UploadQuery
from tests.backends.given import body, uploaded, uploads

DAY = timedelta(days=1)


def later(**age):
    return datetime.now(UTC) + timedelta(**age)


async def reap(storage, age, now):
    """Look through every bucket of a storage."""
    return await reaper.reap(storage, storage, Expiry({}, age), now)


@pytest.fixture
async def storage():
    memory = Memory()
    for bucket in ("one", "two"):
        await memory.create_bucket(bucket, {})
    return memory


async def begin(storage, *places):
    return [await storage.create_upload(Address(*place.split("/"))) for place in places]


async def test_old_uploads_are_aborted_in_every_bucket(storage):
    for upload in await begin(storage, "one/a", "one/a", "two/b"):
        await storage.put_part(upload, 1, body(b"part"))
    assert await reap(storage, DAY, later(hours=25)) == 3
    assert await uploads(storage, "one") == await uploads(storage, "two") == []


async def test_young_uploads_go_on(storage):
    (upload,) = await begin(storage, "one/a")
    assert await reap(storage, DAY, later(hours=23)) == 0
    await storage.complete_upload(upload, await uploaded(storage, upload, [(1, b"part")]), Completion())


async def test_young_uploads_beside_old_ones_go_on(storage):
    old, young = await begin(storage, "one/a", "one/a")
    infos = {info.upload: info for info in await uploads(storage, "one")}
    between = infos[old].initiated + (infos[young].initiated - infos[old].initiated) / 2
    assert await reap(storage, DAY, between + DAY) == 1
    assert [info.upload for info in await uploads(storage, "one")] == [young]


async def test_every_page_is_looked_at():
    class Small(Wrapper):
        async def list_uploads(self, bucket: str, query: UploadQuery):
            return await self.inner.list_uploads(bucket, query._replace(limit=2))

    storage = Small(Memory())
    await storage.create_bucket("one", {})
    await begin(storage, *(f"one/{number % 3}" for number in range(11)))
    assert await reap(storage, DAY, later(days=2)) == 11
    assert await uploads(storage, "one") == []


@pytest.mark.parametrize("gone", [NoSuchUpload, NoSuchBucket])
async def test_what_vanished_meanwhile_is_no_error(storage, gone):
    class Vanishing(Wrapper):
        async def abort_upload(self, upload):
            if upload.at.key == "vanishing":
                raise gone
            await self.inner.abort_upload(upload)

    await begin(storage, "one/vanishing", "two/b")
    assert await reap(Vanishing(storage), DAY, later(days=2)) == 1
    assert await uploads(storage, "two") == []


async def test_a_bucket_that_cannot_be_looked_through_keeps_no_other_from_it(storage):
    class Dead(Wrapper):
        async def list_uploads(self, bucket, query):
            if bucket == "one":
                raise ServiceUnavailable
            return await self.inner.list_uploads(bucket, query)

    await begin(storage, "one/a", "two/b")
    with capture_logs() as logs:
        assert await reap(Dead(storage), DAY, later(days=2)) == 1
    assert [(line["event"], line["bucket"]) for line in logs] == [("uploads_not_looked_through", "one")]


async def test_buckets_that_are_named_are_looked_through_though_the_others_cannot_be_listed(storage):
    class Dead(Wrapper):
        async def list_buckets(self):
            raise ServiceUnavailable

    await begin(storage, "one/a", "two/b")
    with capture_logs() as logs:
        assert await reaper.reap(storage, Dead(storage), Expiry({"one": DAY, "not-yet": DAY}, DAY), later(days=2)) == 1
    assert [(line["event"], line["backend"]) for line in logs] == [("uploads_not_looked_through", "memory")]
    assert await uploads(storage, "one") == []


async def test_each_bucket_has_its_own_age_or_none(storage):
    await storage.create_bucket("three", {})
    await begin(storage, "one/a", "two/b", "three/c")
    expiry = Expiry({"one": DAY, "two": None}, 5 * DAY)
    assert await reaper.reap(storage, storage, expiry, later(days=2)) == 1
    assert await reaper.reap(storage, storage, expiry, later(days=9)) == 1
    assert [len(await uploads(storage, bucket)) for bucket in ("one", "two", "three")] == [0, 1, 0]


async def test_only_what_is_named_is_looked_through_where_others_may_live(storage):
    await begin(storage, "one/a", "two/b")
    assert await reaper.reap(storage, None, Expiry({"one": DAY}, DAY), later(days=2)) == 1
    assert await reaper.reap(storage, storage, Expiry({"one": DAY}), later(days=2)) == 0
    assert len(await uploads(storage, "two")) == 1
