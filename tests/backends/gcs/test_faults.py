"""What goes wrong on the way is told in S3's words, and nothing half is ever stored or taken for whole."""

import asyncio
from random import Random

import pytest

from gateway.backends.gcs import client, open_gcs
from gateway.errors import (
    AccessDenied,
    InternalError,
    NoSuchBucket,
    NoSuchKey,
    S3Error,
    ServiceUnavailable,
    SlowDown,
)
from gateway.storage import PIECE, Address, Completion, ListQuery, WriteOptions
from tests.backends.given import MIB, Slow, body, etag, keys, put, read, some, uploaded, uploads
from tests.doubles.gcs import Fault

STALL = 0.3


@pytest.fixture
async def hasty(fake):
    async with open_gcs("gcs", project="acme", endpoint=fake.url, answer_timeout=STALL, stall_timeout=STALL) as storage:
        yield storage


@pytest.fixture(autouse=True)
async def nothing_runs_on():
    before = asyncio.all_tasks()
    yield
    for _ in range(20):
        await asyncio.sleep(0)
    left = {task for task in asyncio.all_tasks() - before if "gateway" in repr(task.get_coro())}
    assert not left


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_a_read_is_repeated_a_few_times(fake, storage, bucket, status):
    at = Address(bucket, "key")
    await put(storage, at, b"data")
    fake.faults.append(Fault("GET", status=status, times=2))
    assert (await storage.head(at)).size == 4
    fake.faults.append(Fault("GET", status=status, times=3))
    with pytest.raises(SlowDown if status == 429 else ServiceUnavailable):
        await storage.head(at)


async def test_a_storage_that_asks_for_less_is_given_more_time(fake, storage, bucket, monkeypatch):
    sleep, slept = asyncio.sleep, []

    async def recorded(seconds):
        slept.append(seconds)
        await sleep(0)

    at = Address(bucket, "key")
    await put(storage, at, b"data")
    monkeypatch.setattr(client, "PAUSES", (0.1, 0.4))
    monkeypatch.setattr(client.asyncio, "sleep", recorded)
    fake.faults.append(Fault("GET", status=503, times=2))
    await storage.head(at)
    assert sum(slept) < 0.8
    slept.clear()
    fake.faults.append(Fault("GET", status=429, times=2))
    await storage.head(at)
    assert sum(slept) > 1  # the storage takes one write of a name and one of its metadata each second


REFUSALS = [
    (403, "forbidden", ServiceUnavailable),
    (401, "authError", ServiceUnavailable),
    (403, "rateLimitExceeded", SlowDown),
    (403, "retentionPolicyNotMet", AccessDenied),
    (429, "rateLimitExceeded", SlowDown),
    (503, "backendError", ServiceUnavailable),
    (500, "backendError", InternalError),
    (400, "invalid", S3Error),
    (418, "teapot", InternalError),
]


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("size", [10, MIB])
async def test_a_refused_write_is_told_and_leaves_the_old_object(fake, storage, bucket, refusal, size):
    at = Address(bucket, "key")
    await put(storage, at, b"old")
    status, reason, error = refusal
    fake.faults.append(Fault("POST", "/upload/", status=status, reason=reason))
    with pytest.raises(error):
        await put(storage, at, some(size))
    assert await read(storage, at) == b"old"


async def test_credentials_that_are_refused_are_told_in_the_log_and_to_nobody_else(fake, storage, bucket, capsys):
    fake.tokens = {"secret"}
    with pytest.raises(ServiceUnavailable) as caught:
        await storage.head(Address(bucket, "key"))
    assert str(caught.value) == ServiceUnavailable.message
    told = capsys.readouterr().out
    assert "backend_credentials_refused" in told
    assert "backends.gcs.credentials" in told
    assert "secret" not in told


async def test_only_what_the_storage_says_is_missing_is_missing(fake, storage, bucket):
    with pytest.raises(NoSuchKey):
        await storage.head(Address(bucket, "key"))
    with pytest.raises(NoSuchBucket):
        await storage.head(Address("nowhere", "key"))
    for status in (401, 403, 500, 503):
        fake.faults = [Fault(status=status, times=9)]
        for call in (storage.head(Address(bucket, "key")), storage.list_objects(bucket, ListQuery())):
            with pytest.raises((ServiceUnavailable, InternalError)):
                await call


async def test_without_a_connection_no_byte_of_a_body_is_taken(unused_tcp_port):
    async with open_gcs("gcs", project="acme", endpoint=f"http://127.0.0.1:{unused_tcp_port}") as storage:
        for size in (10, MIB):
            upload = body(some(size))
            with pytest.raises(ServiceUnavailable):
                await storage.put(Address("bucket", "key"), upload)
            assert not upload.started
        with pytest.raises(ServiceUnavailable):
            await storage.head(Address("bucket", "key"))
        with pytest.raises(ServiceUnavailable):
            await storage.delete(Address("bucket", "key"))


async def test_a_download_that_is_cut_never_looks_whole(fake, storage, bucket):
    at, random = Address(bucket, "key"), Random(4)
    await put(storage, at, some(MIB))
    for _ in range(40):
        fake.faults = [Fault("GET", "alt=media", cut_after=random.randrange(MIB))]
        with pytest.raises(ServiceUnavailable):
            await read(storage, at)
    assert await read(storage, at) == some(MIB)


async def test_an_upload_that_is_cut_leaves_the_old_object(fake, storage, bucket):
    at, random = Address(bucket, "key"), Random(5)
    await put(storage, at, b"old")
    for number in range(40):
        size = random.choice([100, MIB])
        fake.faults = [Fault("POST", "/upload/", unread=random.randrange(size))]
        with pytest.raises((ServiceUnavailable, InternalError)):
            await put(storage, at, some(size, number))
        assert await read(storage, at) == b"old"
    assert await keys(storage, bucket) == ["key"]


@pytest.mark.parametrize("size", [10, MIB])
async def test_a_write_whose_answer_is_lost_may_have_happened(fake, storage, bucket, size):
    at = Address(bucket, "key")
    fake.faults.append(Fault("POST", "/upload/", lost=True))
    with pytest.raises(InternalError) as caught:
        await put(storage, at, some(size))
    assert not isinstance(caught.value, ServiceUnavailable)
    assert (await storage.head(at)).etag == etag(some(size))


async def test_a_storage_that_stops_answering_is_not_waited_for(fake, hasty):
    await hasty.create_bucket("bucket", {})
    at = Address("bucket", "key")
    await put(hasty, at, b"old")
    fake.faults.append(Fault("GET", stall=True, times=9))
    with pytest.raises(ServiceUnavailable):
        await hasty.head(at)
    for size, error in ((10, InternalError), (20 * MIB, ServiceUnavailable)):
        fake.faults = [Fault("POST", "/upload/", stall=True)]
        with pytest.raises(error):
            await put(hasty, at, some(size))
    fake.faults = [Fault("DELETE", stall=True, times=9)]
    with pytest.raises(InternalError):
        await hasty.delete(at)
    fake.faults = []
    assert await read(hasty, at) == b"old"


async def test_a_client_may_take_its_time(hasty):
    await hasty.create_bucket("bucket", {})
    slow = Slow(some(3 * PIECE), b"rest")
    running = asyncio.create_task(hasty.put(Address("bucket", "key"), slow.body))
    await slow.reached.wait()
    await asyncio.sleep(2 * STALL)
    slow.go_on.set()
    assert (await running).size == 3 * PIECE + 4


async def test_a_checksum_that_cannot_be_noted_is_an_error_and_no_wrong_identity(fake, storage, bucket):
    at = Address(bucket, "key")
    fake.faults.append(Fault("PATCH", status=503, times=3))
    with pytest.raises(ServiceUnavailable):
        await put(storage, at, some(MIB), WriteOptions(checksum="SHA256"))
    info = await storage.head(at)
    assert info.etag == etag(some(MIB))
    assert info.checksum.algorithm == "CRC32C"


async def test_an_object_that_is_replaced_before_its_checksum_is_noted_was_stored(fake, storage, bucket):
    at = Address(bucket, "key")
    patch = fake._patch

    async def too_late(request, bucket, name):
        fake.write(bucket, name, b"faster")
        return await patch(request, bucket, name)

    fake._patch = too_late
    assert (await put(storage, at, some(MIB))).etag == etag(some(MIB))
    assert await read(storage, at) == b"faster"
    assert (await storage.head(at)).etag == etag(b"faster")


@pytest.mark.parametrize(
    "fault",
    [{"status": 503}, {"lost": True}, {"unread": 100_000}],
    ids=["refused", "lost", "cut"],
)
@pytest.mark.parametrize("step", [0, 1, 2])
async def test_a_step_that_fails_is_sent_again(fake, storage, bucket, fault, step):
    data = some(5 * MIB)
    fake.faults = [Fault("PUT", "/session/", skips=step, **fault)]
    info = await storage.put(Address(bucket, "key"), body(data, size=None))
    assert fake.faults[0].times == 0
    assert info.etag == etag(data)
    assert await read(storage, Address(bucket, "key")) == data


async def test_a_step_of_which_a_part_was_kept_goes_on_from_there(fake, storage, bucket):
    for keeps in (0, 256 * 1024, MIB):
        fake.keeps = keeps
        await storage.put(Address(bucket, "key"), body(some(5 * MIB), size=None))
        assert await read(storage, Address(bucket, "key")) == some(5 * MIB)


async def test_an_upload_of_unknown_length_that_fails_is_given_up(fake, storage, bucket):
    at = Address(bucket, "key")
    await put(storage, at, b"old")
    fake.faults = [Fault("PUT", "/session/", status=503, times=99)]
    with pytest.raises(ServiceUnavailable):
        await storage.put(at, body(some(5 * MIB), size=None))
    assert fake.sessions == {}
    assert await read(storage, at) == b"old"


async def test_a_completion_whose_answer_is_lost_has_happened_and_does_not_happen_again(fake, storage, bucket):
    at = Address(bucket, "key")
    upload = await storage.create_upload(at)
    parts = await uploaded(storage, upload, [(1, some(5 * MIB)), (2, b"end")])
    fake.faults.append(Fault("POST", "/compose", lost=True))
    with pytest.raises(InternalError):
        await storage.complete_upload(upload, parts, Completion())
    info = await storage.head(at)
    assert info.etag.endswith("-2")
    assert info.checksum.algorithm == "CRC64NVME"
    await put(storage, Address(bucket, "other"), b"")
    with pytest.raises(S3Error) as caught:
        await storage.complete_upload(upload, parts, Completion())
    assert caught.value.code == "NoSuchUpload"
    assert await uploads(storage, bucket) == []
    assert [name for name in fake.buckets[bucket].blobs if name.startswith(".gw/self/")] == []


@pytest.mark.parametrize("refused", [("POST", "/compose", 1), ("GET", ".gw/self/parts/", 3)])
async def test_a_completion_that_is_refused_can_be_tried_again(fake, storage, bucket, refused):
    method, path, times = refused
    upload = await storage.create_upload(Address(bucket, "key"))
    parts = await uploaded(storage, upload, [(1, some(5 * MIB)), (2, b"end")])
    fake.faults.append(Fault(method, path, status=503, times=times))
    with pytest.raises(ServiceUnavailable):
        await storage.complete_upload(upload, parts, Completion())
    assert await keys(storage, bucket) == []
    await storage.complete_upload(upload, parts, Completion())
    assert await read(storage, Address(bucket, "key")) == some(5 * MIB) + b"end"


async def test_what_cannot_be_cleaned_after_a_completion_does_not_undo_it(fake, storage, bucket):
    upload = await storage.create_upload(Address(bucket, "key"))
    parts = await uploaded(storage, upload, [(1, b"part")])
    fake.faults.append(Fault("DELETE", ".gw", status=503, times=99))
    await storage.complete_upload(upload, parts, Completion())
    fake.faults.clear()
    with pytest.raises(S3Error) as caught:
        await storage.abort_upload(upload)
    assert caught.value.code == "NoSuchUpload"
    assert await read(storage, Address(bucket, "key")) == b"part"
    assert list(fake.buckets[bucket].blobs) == ["key"]


async def test_connections_are_used_again_and_none_is_left_open(fake, storage, bucket):
    at = Address(bucket, "key")
    for number in range(20):
        await put(storage, at, some(MIB, number))
        assert await read(storage, at) == some(MIB, number)
        fake.faults = [Fault("GET", "alt=media", cut_after=1000)]
        with pytest.raises(ServiceUnavailable):
            await read(storage, at)
    connector = storage._client._session.connector
    assert len(connector._acquired) == 0
    assert sum(map(len, connector._conns.values())) <= 3
