"""Who asks for too much is told so."""

import asyncio
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from gateway.backends.local import open_local
from gateway.backends.memory import Memory
from gateway.rates import Ledger
from gateway.server import throttle
from gateway.server.limits import Limits
from gateway.server.throttle import Meter, Rate, Throttle, network
from tests.server.harness import ACCESS_KEY, receive, serving
from tests.server.test_write import Given

GET = b"GET /open/key HTTP/1.1\r\nHost: a\r\n\r\n"
MiB = 1024 * 1024


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set on."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(throttle, "time", clock)
    return clock


def limited(limit):
    return REGISTRY.get_sample_value("gateway_limited_total", {"limit": limit}) or 0


async def asked(reader, writer, request=GET):
    writer.write(request)
    return await receive(reader)


async def test_a_client_that_asks_faster_than_it_may_is_told_when_to_come_back(clock):
    async with serving(throttle=Throttle(Ledger(), client=Rate(requests=5))) as site:
        await site.put("key", b"bytes")
        reader, writer = await site.connect()
        before = limited("client_rate")
        assert [(await asked(reader, writer)).status for _ in range(6)] == [200] * 5 + [503]
        refused = await asked(reader, writer)
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert b"<Code>SlowDown</Code><Message>Please reduce your request rate.</Message>" in refused.body
        assert limited("client_rate") == before + 2
        clock.now += 0.2
        assert [(await asked(reader, writer)).status for _ in range(2)] == [200, 503]
        clock.now += 100
        assert [(await asked(reader, writer)).status for _ in range(6)] == [200] * 5 + [503]


async def test_less_than_one_request_a_second_is_a_rate_too(clock):
    async with serving(throttle=Throttle(Ledger(), client=Rate(requests=0.1))) as site:
        await site.put("key", b"bytes")
        reader, writer = await site.connect()
        assert (await asked(reader, writer)).status == 200
        refused = await asked(reader, writer)
        assert (refused.status, refused.headers["retry-after"]) == (503, "10")
        clock.now += 10
        assert (await asked(reader, writer)).status == 200


async def test_a_key_is_held_to_its_own_rate_and_those_who_sign_nothing_to_none(clock):
    limits = Throttle(Ledger(), key=Rate(requests=1), keys={ACCESS_KEY: Rate(requests=3)})
    async with serving(throttle=limits) as site:
        await site.put("key", b"bytes")
        reader, writer = await site.connect()
        signed = site.signed("GET", "/open/key")
        assert [(await asked(reader, writer, signed)).status for _ in range(4)] == [200] * 3 + [503]
        assert [(await asked(reader, writer)).status for _ in range(4)] == [200] * 4


async def test_whose_signature_is_wrong_uses_up_nothing_of_the_key(clock):
    async with serving(throttle=Throttle(Ledger(), key=Rate(requests=1))) as site:
        await site.put("key", b"bytes")
        reader, writer = await site.connect()
        signed = site.signed("GET", "/open/key")
        forged = signed.replace(b"Signature=", b"Signature=0")
        assert {(await asked(reader, writer, forged)).status for _ in range(5)} == {403}
        assert (await asked(reader, writer, signed)).status == 200


async def test_no_more_requests_than_so_many_are_answered_at_once():
    storage = Given(Memory())
    storage.go = asyncio.Event()

    async def waiting():
        await storage.go.wait()
        yield b"bytes"

    storage.content, storage.announced = waiting, 5
    async with serving(storage, throttle=Throttle(Ledger(), requests=1)) as site:
        await site.put("key", b"any")
        reader, writer = await site.connect()
        writer.write(GET)
        await storage.opened.wait()
        other = await site.connect()
        refused = await asked(*other)
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        storage.go.set()
        assert (await receive(reader)).body == b"bytes"
        assert (await asked(*other)).status == 200


async def test_an_upload_that_is_refused_keeps_its_connection(clock):
    async with serving(throttle=Throttle(Ledger(), client=Rate(requests=1))) as site:
        await site.put("key", b"bytes")
        reader, writer = await site.connect()
        assert (await asked(reader, writer)).status == 200
        refused = await asked(reader, writer, site.signed("PUT", "/open/new", {"Content-Length": "5"}) + b"bytes")
        assert refused.status == 503
        clock.now += 1
        assert (await asked(reader, writer)).status == 200


@pytest.mark.parametrize("way", ["up", "down"])
async def test_bytes_pass_no_faster_than_they_may(way, tmp_path):
    limits = Throttle(Ledger(), client=Rate(bytes=2 * MiB))
    async with open_local("disk", tmp_path) as disk, serving(disk, throttle=limits) as site:
        await site.put("key", bytes(4 * MiB))
        reader, writer = await site.connect()
        started = time.monotonic()
        if way == "down":
            assert len((await asked(reader, writer)).body) == 4 * MiB
        else:
            head = site.signed("PUT", "/open/new", {"Content-Length": str(4 * MiB)})
            assert (await asked(reader, writer, head + bytes(4 * MiB))).status == 200
        assert 0.4 < time.monotonic() - started < 5


async def test_while_much_is_on_its_way_no_further_request_begins(clock):
    ledger = Ledger()
    async with serving(throttle=Throttle(ledger, client=Rate(bytes=MiB))) as site:
        await site.put("key", b"bytes")
        ledger.take("client bytes 127.0.0.1", 4.5, clock.now)
        reader, writer = await site.connect()
        refused = await asked(reader, writer)
        assert (refused.status, refused.headers["retry-after"]) == (503, "4")
        clock.now += 2
        assert (await asked(reader, writer)).status == 200


def test_a_request_is_held_to_the_slowest_of_its_rates(clock):
    meter = Meter(Ledger(), {"client": 1000.0, "key": 100.0})
    assert meter.count(100) == 0
    assert meter.count(50) == pytest.approx(0.5)
    assert meter.count(0) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("address", "one"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2"),
        ("2001:db8:1:2::6", "2001:db8:1:2"),
        ("2001:db8::6", "2001:db8:0:0"),
        ("::1", "0:0:0:0"),
        ("fe80::", "fe80:0:0:0"),
        ("", ""),
    ],
)
def test_of_ipv6_a_network_is_one_client(address, one):
    assert network(address) == one


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0.01, 2), st.floats(0, 1)), max_size=50))
def test_nobody_is_taken_to_owe_less_than_he_does(steps):
    ledger, now, even = _ledger, 1.0 + time.monotonic(), {}
    ledger._cells[:] = memoryview(bytes(ledger._cells.nbytes)).cast("d")
    for name, seconds, passes in steps:
        now += passes
        even[name] = max(even.get(name, 0.0), now) + seconds
        ledger.take(name, seconds, now)
        assert ledger.ahead(name, now) >= even[name] - now - 1e-6


_ledger = Ledger()


def test_a_million_strangers_take_no_more_memory_than_one_and_leave_the_others_alone():
    ledger, size = Ledger(), None
    for number in range(200_000):
        ledger.take(f"stranger {number}", 1.0, 0.0)
        size = size or ledger._cells.nbytes
    assert ledger._cells.nbytes == size
    assert sum(ledger.ahead(f"other {number}", 0.0) > 0 for number in range(1000)) < 250


def test_what_one_worker_counts_the_others_know():
    ledger = Ledger()
    pid = os.fork()
    if not pid:
        ledger.take("client", 5.0, 100.0)
        os._exit(0)
    os.waitpid(pid, 0)
    assert ledger.ahead("client", 101.0) == pytest.approx(4.0)


async def test_a_client_that_is_one_too_many_reads_it_whole_however_much_it_has_sent():
    async with serving(limits=Limits(connections=1)) as site:
        await site.put("key", b"bytes")
        reader, writer = await site.connect()
        assert (await asked(reader, writer)).status == 200
        request = b"PUT /open/key HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + bytes(200_000)
        answers = await asyncio.gather(*[site.ask(request) for _ in range(40)])
        assert all(b"<Code>SlowDown</Code>" in answer and answer.endswith(b"</Error>") for answer in answers)
        assert (await asked(reader, writer)).status == 200


async def test_who_is_one_too_many_is_let_go_soon_and_many_of_them_at_once():
    async with serving(limits=Limits(connections=1, linger=0.2)) as site:
        await site.put("key", b"bytes")
        reader, writer = await site.connect()
        assert (await asked(reader, writer)).status == 200
        others = [await site.connect() for _ in range(200)]
        for their_reader, _ in others:
            assert (await receive(their_reader)).status == 503

        async def is_closed(their_writer):
            while not their_writer.transport.is_closing():
                their_writer.write(b"x")
                await asyncio.sleep(0.05)

        await asyncio.wait_for(asyncio.gather(*[is_closed(their_writer) for _, their_writer in others]), 20)
        assert (await asked(reader, writer)).status == 200


async def test_connections_beyond_the_limit_are_told_in_the_words_of_s3():
    async with serving(limits=Limits(connections=1)) as site:
        await site.put("key", b"bytes")
        reader, writer = await site.connect()
        assert (await asked(reader, writer)).status == 200
        refused = await receive((await site.connect())[0])
        assert (refused.status, refused.headers["retry-after"], refused.headers["connection"]) == (503, "1", "close")
        assert b"<Code>SlowDown</Code>" in refused.body
        assert refused.headers["x-amz-request-id"].encode() in refused.body
