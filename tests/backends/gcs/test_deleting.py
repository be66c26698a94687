"""Deletions that are asked for at the same time travel together, and each has its own outcome."""

import asyncio

import pytest

from gateway.backends.gcs import open_gcs
from gateway.backends.gcs.names import PARTS
from gateway.conditions import Conditions
from gateway.errors import AccessDenied, InternalError, NoSuchBucket, ServiceUnavailable, SlowDown
from gateway.storage import Address
from tests.backends.given import etag, keys, put
from tests.doubles.gcs import Fault

NAMES = ("a", "b/c", "ü 😀", "%2F?#&", "100%", "x\u2028y", "'\"<>", "a:b", "+")


def asked(fake):
    """How often the storage was asked, what was asked together counting once."""
    return sum("inner" not in request for request in fake.requests)


async def delete(storage, *names, bucket="bucket"):
    deletions = (storage.delete(Address(bucket, name)) for name in names)
    return await asyncio.gather(*deletions, return_exceptions=True)


@pytest.fixture
async def written(fake, bucket):
    for name in (*NAMES, "kept"):
        fake.write(bucket, name, b"data")


async def test_many_are_deleted_by_one_request(fake, storage, bucket, written):
    fake.requests.clear()
    assert await delete(storage, *NAMES) == [None] * len(NAMES)
    assert asked(fake) == 1
    assert await keys(storage, bucket) == ["kept"]


async def test_one_alone_is_deleted_by_itself(fake, storage, bucket, written):
    fake.requests.clear()
    await storage.delete(Address(bucket, "a"))
    assert [request.split(" ")[0] for request in fake.requests] == ["DELETE"]


async def test_no_request_has_more_than_the_storage_takes(fake, storage, bucket):
    names = [f"{number}" for number in range(250)]
    for name in names:
        fake.write(bucket, name, b"")
    fake.requests.clear()
    assert await delete(storage, *names) == [None] * 250
    assert asked(fake) == 3
    assert await keys(storage, bucket) == []


async def test_what_is_not_there_is_no_error_and_what_is_ours_is_denied(storage, bucket, written):
    outcomes = await delete(storage, "a", "nothing", ".gw/self/bucket", "a\nb", "b/c")
    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), AccessDenied, type(None), type(None)]


async def test_each_deletion_has_its_own_outcome(fake, storage, bucket, written):
    fake.faults = [
        Fault("DELETE", "/o/a", status=429, reason="rateLimitExceeded"),
        Fault("DELETE", "/o/b", status=503),
        Fault("DELETE", "/o/ü", status=500),
    ]
    outcomes = await delete(storage, "a", "b/c", "ü 😀", "100%")
    outcomes += await delete(storage, "x", "y", bucket="nowhere")
    kinds = [SlowDown, ServiceUnavailable, InternalError, type(None), NoSuchBucket, NoSuchBucket]
    assert [type(outcome) for outcome in outcomes] == kinds
    assert {"a", "b/c", "ü 😀", "kept"} <= set(await keys(storage, bucket))


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("POST", "/batch", status=503), ServiceUnavailable),
        (Fault("POST", "/batch", status=500), InternalError),
        (Fault("POST", "/batch", lost=True), InternalError),
        (Fault("POST", "/batch", cut_after=100), InternalError),
    ],
    ids=["503", "500", "lost", "cut"],
)
async def test_a_request_that_fails_fails_all_of_it(fake, storage, written, fault, error):
    fake.faults = [fault]
    outcomes = await delete(storage, *NAMES)
    assert {type(outcome) for outcome in outcomes} == {error}
    assert await delete(storage, *NAMES) == [None] * len(NAMES)


async def test_deletions_under_a_condition_are_made_alone(fake, storage, bucket):
    for name in ("a", "b"):
        await put(storage, Address(bucket, name), b"data")
    matching = Conditions(if_match=(etag(b"data"),))
    await asyncio.gather(*(storage.delete(Address(bucket, name), matching) for name in ("a", "b")))
    assert not any("/batch" in request for request in fake.requests)
    assert await keys(storage, bucket) == []


async def test_an_emulator_that_knows_no_batches_is_asked_one_by_one(fake, storage, bucket, written):
    fake.faults = [Fault("POST", "/batch", status=501)]
    assert await delete(storage, *NAMES) == [None] * len(NAMES)
    fake.requests.clear()
    assert await delete(storage, *NAMES) == [None] * len(NAMES)
    assert not any("/batch" in request for request in fake.requests)
    assert await keys(storage, bucket) == ["kept"]


async def test_who_leaves_takes_no_deletion_from_the_others(storage, bucket, written):
    tasks = [asyncio.create_task(storage.delete(Address(bucket, name))) for name in ("a", "b/c", "100%")]
    await asyncio.sleep(0)
    tasks[0].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert outcomes[1:] == [None, None]


async def test_nothing_is_left_under_way_when_the_storage_is_closed(fake, bucket, written):
    async with open_gcs("gcs", project="acme", endpoint=fake.url) as storage:
        tasks = [asyncio.create_task(storage.delete(Address("bucket", name))) for name in NAMES]
        await asyncio.sleep(0)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {ServiceUnavailable}


async def test_what_the_gateway_left_goes_by_few_requests(fake, storage, bucket):
    for number in range(250):
        fake.write(bucket, f"{PARTS}{1:048x}/{number:05}-0", b"x")
    fake.faults = [Fault("DELETE", "/00007", status=503)]
    fake.requests.clear()
    await storage.delete_bucket(bucket)
    assert asked(fake) < 10
