import asyncio

import pytest
from prometheus_client import REGISTRY

from gateway.backends.memory import Memory
from gateway.errors import CredentialsRefused, InternalError, NoSuchKey, ServiceUnavailable, SlowDown
from gateway.replication.breaker import IN_A_ROW, SUCCESSES
from gateway.routing import breaking
from gateway.routing.breaking import Breaking
from gateway.routing.wrapper import Wrapper
from gateway.storage import Address, Body
from tests.backends.contract import BackendContract
from tests.backends.given import body, put

AT = Address("bucket", "key")


class Failing(Wrapper):
    """A storage whose calls fail as they are told to."""

    error: Exception | None = None
    calls = 0

    async def head(self, at, options=...):
        return await self._do(self.inner.head, at)

    async def put(self, at, body, options=...):
        return await self._do(self.inner.put, at, body)

    async def list_objects(self, bucket, query):
        return await self._do(self.inner.list_objects, bucket, query)

    async def _do(self, call, *arguments):
        self.calls += 1
        if self.error:
            raise self.error
        return await call(*arguments)


class TestBreaking(BackendContract):
    @pytest.fixture
    async def storage(self):
        return Breaking(Memory(), "node")


@pytest.fixture
async def failing():
    memory = Memory()
    await memory.create_bucket("bucket", {})
    await put(memory, AT, b"data")
    return Failing(memory)


async def tripped(failing, error):
    storage = Breaking(failing, "node")
    failing.error = error
    for _ in range(3 * IN_A_ROW):
        with pytest.raises(type(error)):
            await storage.head(AT)
    return storage


async def test_a_storage_that_is_down_is_asked_no_more(failing):
    storage = await tripped(failing, ServiceUnavailable())
    assert failing.calls == IN_A_ROW
    assert storage.reads.open
    assert storage.vote().down_for is not None


@pytest.mark.parametrize("error", [NoSuchKey(), SlowDown(), CredentialsRefused()], ids=repr)
async def test_a_storage_that_refuses_or_is_busy_is_not_down(failing, error):
    storage = await tripped(failing, error)
    assert failing.calls == 3 * IN_A_ROW
    assert storage.vote().down_for is None


async def test_writes_that_fail_leave_reads_alone(failing):
    storage = Breaking(failing, "node")
    failing.error = ServiceUnavailable()
    for _ in range(IN_A_ROW):
        with pytest.raises(ServiceUnavailable):
            await storage.put(AT, body(b"x"))
    failing.error = None
    assert storage.writes.open
    assert (await storage.head(AT)).size == 4


@pytest.mark.parametrize("error", [ServiceUnavailable(), InternalError()], ids=repr)
async def test_a_body_that_fails_is_not_the_fault_of_the_storage(failing, error):
    async def broken():
        yield b"x"
        raise error

    storage = Breaking(failing, "node")
    for _ in range(3 * IN_A_ROW):
        with pytest.raises(type(error)):
            await storage.put(AT, Body(broken(), 10))
    assert not storage.writes.open


async def test_probes_that_succeed_open_the_way_again(failing, monkeypatch):
    storage = await tripped(failing, ServiceUnavailable())
    moment = asyncio.get_running_loop().time()
    failing.error = None
    for number in range(SUCCESSES):
        assert storage.reads.open
        monkeypatch.setattr(breaking, "_now", lambda number=number: moment + 100 + number)
        await storage.probe()
    assert not storage.reads.open
    monkeypatch.undo()
    assert (await storage.head(AT)).size == 4


async def test_a_storage_that_nobody_uses_is_probed_and_found_to_be_down(failing, monkeypatch):
    storage = Breaking(failing, "node")
    await storage.head(AT)
    failing.error = ServiceUnavailable()
    moment = asyncio.get_running_loop().time()
    for number in range(2 * IN_A_ROW):
        monkeypatch.setattr(breaking, "_now", lambda number=number: moment + 6 * (number + 1))
        await storage.probe()
    assert storage.reads.open


async def test_a_breaker_of_which_nobody_hears_any_more_is_told_of_as_closed(failing):
    def told():
        return REGISTRY.get_sample_value("gateway_breakers_open", {"backend": "memory", "calls": "reads"})

    Breaking(failing, "node").close()
    before = told()
    storage = await tripped(failing, ServiceUnavailable())
    assert told() == before + 1
    storage.close()
    assert told() == before
