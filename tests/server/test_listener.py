import asyncio
import time

import pytest
from prometheus_client import REGISTRY

from gateway.backends.memory import Memory
from gateway.server.limits import Limits
from tests.server.harness import receive, serving
from tests.server.test_write import Given

GET = b"GET /open/key HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
async def held():
    """A site whose object `key` is not sent before `go` is set."""
    storage = Given(Memory())
    storage.go = asyncio.Event()

    async def waiting():
        await storage.go.wait()
        yield b"bytes"

    storage.content, storage.announced = waiting, 5
    async with serving(storage) as site:
        await site.put("key", b"any")
        yield site


async def test_draining_lets_answers_end_and_says_that_the_connection_closes(held):
    reader, writer = await held.connect()
    writer.write(GET)
    await held.storage.opened.wait()
    drained = asyncio.create_task(held.listener.drain(10))
    await asyncio.sleep(0)
    assert not drained.done()
    held.storage.go.set()
    reply = await receive(reader)
    assert (reply.body, reply.headers["connection"]) == (b"bytes", "close")
    await drained
    assert await reader.read() == b""


async def test_the_requests_that_are_being_answered_are_counted(held):
    _, idle = await held.connect()
    reader, writer = await held.connect()
    writer.write(GET)
    await held.storage.opened.wait()
    held.listener._sweep()
    assert REGISTRY.get_sample_value("gateway_requests_in_flight") == 1
    held.storage.go.set()
    await receive(reader)
    await held.end()
    await asyncio.sleep(0)
    held.listener._sweep()
    assert REGISTRY.get_sample_value("gateway_requests_in_flight") == 0
    idle.close()


async def test_draining_lets_bodies_come_in_and_answers_what_came_behind_them(site):
    reader, writer = await site.connect()
    writer.write(site.signed("PUT", "/open/key", {"Content-Length": "2", "Expect": "100-continue"}))
    assert (await receive(reader)).status == 100
    drained = asyncio.create_task(site.listener.drain(10))
    await asyncio.sleep(0)
    writer.write(b"ab" + GET)
    assert (await receive(reader)).status == 200
    reply = await receive(reader)
    assert (reply.body, reply.headers["connection"]) == (b"ab", "close")
    assert await reader.read() == b""
    await drained
    assert await site.read("key") == b"ab"


async def test_draining_refuses_new_connections(held):
    await held.listener.drain(1)
    with pytest.raises(ConnectionRefusedError):
        await held.connect()


async def test_draining_answers_what_was_on_its_way_on_an_idle_connection_and_says_that_it_closes(site):
    await site.put("key", b"bytes")
    reader, writer = await site.connect()
    writer.write(GET)
    assert "connection" not in (await receive(reader)).headers
    drained = asyncio.create_task(site.listener.drain(10))
    await asyncio.sleep(0)
    writer.write(GET)
    reply = await receive(reader)
    assert (reply.body, reply.headers["connection"]) == (b"bytes", "close")
    await drained
    assert await reader.read() == b""


async def test_draining_ends_idle_connections_soon(site):
    await site.put("key", b"bytes")
    reader, writer = await site.connect()
    writer.write(GET)
    await receive(reader)
    started = time.monotonic()
    await site.listener.drain(10)
    assert time.monotonic() - started < 5
    assert await reader.read() == b""


async def test_draining_gives_up_on_what_takes_too_long(held):
    reader, writer = await held.connect()
    writer.write(GET)
    await held.storage.opened.wait()
    await held.listener.drain(0.05)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await receive(reader)


async def test_under_load_every_request_that_was_accepted_is_answered():
    async with serving() as site:
        await site.put("key", b"bytes")
        answered, refused, busy = [], [], asyncio.Event()

        async def client():
            while True:
                try:
                    reader, writer = await site.connect()
                    for _ in range(5):
                        writer.write(GET)
                        reply = await receive(reader)
                        answered.append(reply.status)
                        if len(answered) > 200:
                            busy.set()
                        if reply.headers.get("connection") == "close":
                            break
                    writer.close()
                except asyncio.IncompleteReadError as error:
                    refused.append(error.partial)
                    return
                except OSError:
                    return

        clients = [asyncio.create_task(client()) for _ in range(20)]
        await busy.wait()
        await site.listener.drain(5)
        await asyncio.gather(*clients)
        assert set(answered) == {200}
        assert refused == []


async def test_connections_beyond_the_limit_are_told_to_come_back():
    async with serving(limits=Limits(connections=1)) as site:
        await site.put("key", b"bytes")
        reader, writer = await site.connect()
        writer.write(GET)
        await receive(reader)
        assert (await site.ask(b"")).startswith(b"HTTP/1.1 503 ")
        writer.write(GET)
        assert (await receive(reader)).status == 200
