"""The proxy does what it is told, else the tests that use it would prove nothing."""

import asyncio
import socket
import time
from contextlib import ExitStack, asynccontextmanager

import pytest

from tests.faults.proxy import Fault, proxied, proxying


class Echo:
    """Answers every line with itself, and remembers what came and how it ended."""

    def __init__(self):
        self.came, self.ended = b"", asyncio.Event()
        self._writers = []

    def finish(self):
        for writer in self._writers:
            writer.close()

    async def serve(self, reader, writer):
        self._writers.append(writer)
        try:
            while data := await reader.read(1000):
                self.came += data
                writer.write(data)
        except OSError:
            pass
        finally:
            self.ended.set()
            writer.close()


@pytest.fixture
async def way():
    echo = Echo()
    async with (
        await asyncio.start_server(echo.serve, "127.0.0.1", 0) as server,
        proxied(server.sockets[0].getsockname()[1]) as proxy,
    ):
        yield proxy, echo
        echo.finish()


async def rest(reader):
    data = b""
    while piece := await reader.read(1000):
        data += piece
    return data


@asynccontextmanager
async def connected(proxy):
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def test_what_is_sent_passes_and_an_end_is_passed_on(way):
    proxy, echo = way
    async with connected(proxy) as (reader, writer):
        writer.write(b"data")
        writer.write_eof()
        assert await reader.read() == b"data"
    assert proxy.accepted == 1
    assert echo.came == b"data"


async def test_a_connection_is_reset_behind_a_byte_of_the_request(way):
    proxy, echo = way
    proxy.fault = Fault(request=3)
    async with connected(proxy) as (reader, writer):
        writer.write(b"data")
        with pytest.raises(ConnectionResetError):
            await rest(reader)
    await echo.ended.wait()
    assert echo.came == b"dat"
    async with connected(proxy) as (reader, writer):  # once
        writer.write(b"data")
        assert await reader.readexactly(4) == b"data"


async def test_a_connection_ends_behind_a_byte_of_the_answer(way):
    proxy, echo = way
    for cut in (3, 0):
        proxy.fault = Fault(answer=cut, reset=False)
        async with connected(proxy) as (reader, writer):
            writer.write(b"data")
            assert await reader.read() == b"data"[:cut]
    assert echo.came == b"datadata"


async def test_nothing_arrives_of_what_is_lost(way):
    proxy, echo = way
    proxy.fault = Fault(lost=True)
    async with connected(proxy) as (reader, writer):
        writer.write(b"data")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
    assert echo.came == b""


async def test_a_request_arrives_of_which_the_answer_is_lost(way):
    proxy, echo = way
    proxy.fault = Fault(silent=True)
    async with connected(proxy) as (reader, writer):
        writer.write(b"data")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        assert echo.came == b"data"


async def test_what_is_held_arrives_late_though_its_sender_has_gone(way):
    proxy, echo = way
    proxy.fault = Fault(held=True)
    async with connected(proxy) as (_, writer):
        writer.write(b"data" * 50_000)
        await writer.drain()
    assert echo.came == b""
    proxy.release()
    await echo.ended.wait()
    assert echo.came == b"data" * 50_000


async def test_pieces_are_delayed(way):
    proxy, _ = way
    proxy.fault = Fault(delay=0.05)
    began = time.monotonic()
    async with connected(proxy) as (reader, writer):
        writer.write(b"data")
        assert await reader.readexactly(4) == b"data"
    assert time.monotonic() - began >= 0.1


async def test_a_server_that_is_down_refuses_and_comes_back_on_its_port(way):
    proxy, _ = way
    async with connected(proxy) as (reader, writer):
        writer.write(b"data")
        await reader.readexactly(4)
        await proxy.down()
        with pytest.raises(ConnectionResetError):
            await rest(reader)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)
    assert proxy.connections == 0
    await proxy.up()
    async with connected(proxy) as (reader, writer):
        writer.write(b"data")
        assert await reader.readexactly(4) == b"data"


async def test_who_connects_while_it_goes_down_is_not_left_open(way):
    proxy, _ = way
    problems = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context["message"]))
    for number in range(20):
        with ExitStack() as opened:
            for _ in range(5):
                client = opened.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex(("127.0.0.1", proxy.port))
            for _ in range(number % 4):
                await asyncio.sleep(0)
            await proxy.down()
        await proxy.up()
    assert problems == []


def test_without_a_loop_of_its_own_a_test_has_one_too():
    with socket.create_server(("127.0.0.1", 0)) as server, proxying(server.getsockname()[1]) as remote:
        remote.set(Fault(held=True))
        with socket.create_connection(("127.0.0.1", remote.port)) as client:
            client.sendall(b"data")
            there, _ = server.accept()
            with there:
                there.settimeout(0.05)
                with pytest.raises(TimeoutError):
                    there.recv(10)
                remote.release()
                there.settimeout(20)
                assert there.recv(10) == b"data"
                remote.down()
                with pytest.raises(ConnectionResetError):
                    client.recv(10)
