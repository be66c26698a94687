"""Work in the background asks a storage no faster than it may, and hears how the storage bears it."""

import asyncio
from types import SimpleNamespace

import pytest
from prometheus_client import REGISTRY

from gateway.backends.memory import Memory
from gateway.errors import InternalError, NoSuchKey, ServiceUnavailable, SlowDown
from gateway.rates import Ledger
from gateway.replication.outcome import Fenced
from gateway.replication.window import Window
from gateway.routing import sparing
from gateway.routing.sparing import SHARE, Allowance, Sparing
from gateway.storage import Address, Body, Completion, ListQuery
from tests.backends.given import body, read

AT = Address("bucket", "key")
MIB = 1024 * 1024


class Heard:
    """A window that notes what it hears."""

    def __init__(self):
        self.told = []

    def bears(self):
        self.told.append(True)

    def complains(self):
        self.told.append(False)


@pytest.fixture
def slept(monkeypatch):
    """A clock that only sleeping sets on; what was slept."""
    slept, clock = [], SimpleNamespace(now=1000.0)

    async def sleep(seconds):
        slept.append(seconds)
        clock.now += seconds

    monkeypatch.setattr(sparing, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(sparing, "asyncio", SimpleNamespace(sleep=sleep))
    return slept


async def spared(inner=None, window=None, **limits):
    memory = inner or Memory("memory")
    if inner is None:
        await memory.create_bucket("bucket", {})
    return Sparing(memory, window or Window(), Allowance(Ledger(), "route", "memory", **limits))


async def test_requests_of_all_kinds_wait_for_their_turn(slept):
    storage = await spared(requests=10)
    for number in range(10):
        await storage.put(Address("bucket", str(number)), body(b"data"))
    assert sum(slept) == pytest.approx(0.0)  # a second's worth may come at once
    await storage.head(Address("bucket", "1"))
    await storage.list_objects("bucket", ListQuery())
    await storage.delete(Address("bucket", "1"))
    with pytest.raises(NoSuchKey):
        await read(storage, Address("bucket", "1"))
    assert sum(slept) == pytest.approx(0.4)


async def test_bytes_wait_for_their_turn_those_of_parts_too(slept):
    storage = await spared(bandwidth=MIB)
    await storage.put(AT, body(bytes(MIB)))
    assert sum(slept) == pytest.approx(0.0)
    upload = await storage.create_upload(AT)
    part = await storage.put_part(upload, 1, body(bytes(5 * MIB)))
    await storage.complete_upload(upload, [part], Completion())
    assert sum(slept) == pytest.approx(5.0, rel=0.01)
    assert len(await read(storage, AT)) == 5 * MIB


async def test_all_who_share_the_ledger_share_the_limit(slept):
    ledger, memory = Ledger(), Memory("memory")
    await memory.create_bucket("bucket", {})
    both = [Sparing(memory, Window(), Allowance(ledger, "route", "memory", requests=1)) for _ in range(2)]
    for storage in both:
        await storage.head_bucket("bucket")
    assert sum(slept) == pytest.approx(1.0)


async def test_what_was_waited_is_counted(slept):
    labels = {"route": "route", "target": "memory"}
    before = REGISTRY.get_sample_value("gateway_copying_waited_seconds_total", labels) or 0.0
    storage = await spared(requests=1)
    for _ in range(3):
        await storage.head_bucket("bucket")
    waited = REGISTRY.get_sample_value("gateway_copying_waited_seconds_total", labels)
    assert waited - before == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("limits", "at_once"),
    [({}, 32), ({"requests": 5.5}, 5), ({"requests": 0.1}, 1), ({"bandwidth": SHARE * 3}, 3), ({"bandwidth": 1}, 1)],
)
def test_no_more_is_done_at_once_than_gets_on(limits, at_once):
    assert Allowance(Ledger(), "route", "memory", **limits).at_once(32) == at_once


class Failing(Memory):
    def __init__(self, error):
        super().__init__("memory")
        self.error = error

    async def head(self, at, *_):
        raise self.error

    async def put(self, at, body, *_):
        await body.read()
        raise self.error


@pytest.mark.parametrize("error", [SlowDown(), ServiceUnavailable(), InternalError()])
async def test_a_storage_that_is_too_busy_or_does_not_answer_complains(error):
    heard = Heard()
    storage = await spared(Failing(error), heard)
    for call in (storage.head(AT), storage.put(AT, body(b"data"))):
        with pytest.raises(type(error)):
            await call
    assert heard.told == [False, False]


async def test_a_storage_that_refuses_does_not_complain():
    heard = Heard()
    storage = await spared(Failing(NoSuchKey()), heard)
    with pytest.raises(NoSuchKey):
        await storage.head(AT)
    assert heard.told == [True]


@pytest.mark.parametrize("failure", [Fenced(), InternalError()])
async def test_what_comes_from_elsewhere_is_no_complaint(failure):
    heard = Heard()
    storage = await spared(window=heard)

    async def broken():
        yield b"da"
        raise failure

    with pytest.raises(type(failure)):
        await storage.put(AT, Body(broken(), 4))
    assert heard.told == []


async def test_who_goes_away_while_he_waits_leaves_nothing_behind():
    storage = await spared(requests=0.01)
    await storage.head_bucket("bucket")
    waiting = asyncio.create_task(storage.head_bucket("bucket"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
