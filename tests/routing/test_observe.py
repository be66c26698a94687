"""What is noted of the calls of a backend."""

import asyncio
import os
from contextlib import asynccontextmanager
from itertools import count

import pytest
from prometheus_client import REGISTRY

from gateway.backends.local import open_local
from gateway.backends.memory import Memory
from gateway.errors import InternalError, NoSuchBucket, NotImplementedByGateway, ServiceUnavailable, SlowDown
from gateway.metrics import BACKEND_SECONDS
from gateway.routing.observe import NEVER, Observe
from gateway.routing.wrapper import Wrapper
from gateway.storage import Address, Body, Completion, File, ListQuery, ReadOptions, UploadQuery, WriteOptions
from tests.backends.contract import BackendContract
from tests.backends.given import BrokenOffError, Slow, body, breaking, put, read, uploaded

AT = Address("bucket", "key")
NUMBER = count()


class TestObserve(BackendContract):
    @pytest.fixture
    async def storage(self):
        return Observe(Memory())


class Failing(Wrapper):
    """Ends every write and look with an error; a download breaks off after its first bytes, or too early."""

    error = None
    ends = False

    async def head(self, at, options=ReadOptions()):
        raise self.error

    async def put(self, at, body, options=WriteOptions()):
        await body.read()
        raise self.error

    @asynccontextmanager
    async def get(self, at, options=ReadOptions()):
        async def content():
            yield b"half"
            if not self.ends:
                raise self.error

        async with self.inner.get(at, options) as download:
            yield download._replace(content=content())


@pytest.fixture
async def memory():
    memory = Memory(f"observed-{next(NUMBER)}")
    await memory.create_bucket("bucket", {})
    await put(memory, AT, b"12345678")
    return memory


def value(metric, observe, operation, **labels):
    return REGISTRY.get_sample_value(metric, {"backend": observe.name, "operation": operation, **labels}) or 0


def outcomes(observe, operation):
    names = ("ok", "client_error", "throttle", "failure", "ambiguous")
    found = {name: value("gateway_backend_calls_total", observe, operation, outcome=name) for name in names}
    return {name: number for name, number in found.items() if number}


async def test_every_method_is_counted_and_timed(memory):
    storage = Observe(memory)
    there = await storage.head(AT)
    await storage.list_buckets()
    await storage.head_bucket("bucket")
    await storage.create_bucket("another", {})
    await storage.delete_bucket("another")
    await storage.copy(AT, AT, WriteOptions(), there.etag)
    await storage.annotate(AT, {})
    await put(storage, AT, b"data")
    await read(storage, AT)
    await storage.list_objects("bucket", ListQuery())
    upload, other = [await storage.create_upload(AT) for _ in range(2)]
    await storage.abort_upload(other)
    parts = await uploaded(storage, upload, [(1, b"part")])
    await storage.copy_part(upload, 2, AT, ReadOptions(), (await storage.head(AT)).etag)
    await storage.list_parts(upload)
    await storage.list_uploads("bucket", UploadQuery())
    await storage.complete_upload(upload, parts, Completion())
    await storage.delete(AT)
    public = [name for name in vars(Wrapper) if name[0] != "_" and name not in {"name", "inner"}]
    assert len(public) == 17 + 1
    for operation in public:
        times = {"head": 2, "create_upload": 2}.get(operation, 1)
        assert outcomes(storage, operation) == {"ok": times}, operation
        assert value("gateway_backend_seconds_count", storage, operation) == times, operation


async def test_bytes_are_counted_in_both_directions(memory):
    storage = Observe(memory)
    await put(storage, AT, bytes(1000))
    await read(storage, AT, ReadOptions(range=slice(100, 400)))
    upload = await storage.create_upload(AT)
    await storage.put_part(upload, 1, body(bytes(70)))
    assert value("gateway_backend_sent_bytes_total", storage, "put") == 1000
    assert value("gateway_backend_sent_bytes_total", storage, "put_part") == 70
    assert value("gateway_backend_received_bytes_total", storage, "get") == 300


@pytest.mark.parametrize(
    ("error", "read_outcome", "write_outcome"),
    [
        (NoSuchBucket(), "client_error", "client_error"),
        (NotImplementedByGateway(), "client_error", "client_error"),
        (SlowDown(), "throttle", "throttle"),
        (ServiceUnavailable(), "failure", "failure"),
        (InternalError(), "failure", "ambiguous"),
        (asyncio.CancelledError(), "client_error", "client_error"),
    ],
)
async def test_an_error_is_noted_by_what_it_means(memory, error, read_outcome, write_outcome):
    storage = Observe(Failing(memory))
    storage.inner.error = error
    for call in (storage.head(AT), put(storage, AT, b"data")):
        with pytest.raises(type(error)):
            await call
    assert outcomes(storage, "head") == {read_outcome: 1}
    assert outcomes(storage, "put") == {write_outcome: 1}
    assert (storage.failed > NEVER) == (read_outcome == "failure")
    assert storage.answered == NEVER


async def test_a_sender_that_breaks_off_is_no_failure_of_the_backend(memory):
    storage = Observe(memory)
    with pytest.raises(BrokenOffError):
        await storage.put(AT, Body(breaking(b"data"), 8))
    assert outcomes(storage, "put") == {"client_error": 1}
    slow = Slow(b"data", b"rest")
    task = asyncio.create_task(storage.put(AT, slow.body))
    await slow.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert outcomes(storage, "put") == {"client_error": 2}
    assert storage.failed == NEVER


async def test_a_download_that_breaks_midway_counts_as_a_failure(memory):
    storage = Observe(Failing(memory))
    storage.inner.error = ServiceUnavailable()
    with pytest.raises(ServiceUnavailable):
        await read(storage, AT)
    assert outcomes(storage, "get") == {"failure": 1}
    assert value("gateway_backend_received_bytes_total", storage, "get") == 4
    assert storage.failed >= storage.answered > NEVER


async def test_a_download_that_ends_too_early_counts_as_a_failure(memory):
    storage = Observe(Failing(memory))
    storage.inner.ends = True
    with pytest.raises(AssertionError):
        await read(storage, AT)
    assert outcomes(storage, "get") == {"failure": 1}


async def test_a_client_that_leaves_a_download_is_no_failure_of_the_backend(memory):
    storage = Observe(Failing(memory))

    left = []

    async def leave():
        async with storage.get(AT) as download:
            left.append(download.content)
            async for _ in download.content:
                raise ConnectionError

    with pytest.raises(ConnectionError):
        await leave()
    assert left[0].ag_frame is None  # closed, not left to the garbage collector
    assert outcomes(storage, "get") == {"ok": 1}


async def test_a_download_that_does_not_open_counts_once(memory):
    storage = Observe(memory)
    with pytest.raises(NoSuchBucket):
        await read(storage, Address("nowhere", "key"))
    assert outcomes(storage, "get") == {"client_error": 1}
    assert value("gateway_backend_seconds_count", storage, "get") == 1


async def test_a_file_stays_a_file_for_the_kernel_to_send(tmp_path):
    async with open_local(f"observed-{next(NUMBER)}", tmp_path / "root", fsync=False) as disk:
        storage = Observe(disk)
        await storage.create_bucket("bucket", {})
        await put(storage, AT, bytes(1_000_000))
        async with storage.get(AT) as download:
            assert isinstance(download.content, File)
            descriptor = download.content.descriptor
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(descriptor)
        assert value("gateway_backend_received_bytes_total", storage, "get") == 1_000_000


def test_times_fit_a_millisecond_and_a_minute():
    bounds = BACKEND_SECONDS._upper_bounds
    assert (bounds[0], bounds[-2]) == (0.001, 60)
