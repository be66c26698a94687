import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import xmltodict

from gateway.backends.memory import Memory
from gateway.errors import ServiceUnavailable
from gateway.message import Answer
from gateway.operations import xml
from gateway.routing.wrapper import Wrapper
from gateway.server.limits import Limits
from gateway.storage import Download, File
from tests.server.harness import head, receive, serving

GET = b"GET /open/key HTTP/1.1\r\nHost: a\r\n\r\n"
MIB = 1024 * 1024


class Given(Wrapper):
    """Memory whose objects have the content that a test gives: a file, a stream that stalls, one that fails."""

    content = b""
    announced = None
    closed = False

    def __init__(self, inner):
        super().__init__(inner)
        self.opened = asyncio.Event()

    @asynccontextmanager
    async def get(self, at, options=None):
        self.opened.set()
        async with self.inner.get(at) as download:
            content = self.content() if callable(self.content) else self.content
            size = len(content) if self.announced is None else self.announced
            try:
                yield Download(download.info, 0, size, content)
            finally:
                self.closed = True


@pytest.fixture
async def given():
    storage = Given(Memory())
    async with serving(storage, Limits(stall_timeout=2)) as site:
        await site.put("key", b"any")
        yield site


def file_of(tmp_path, data, offset=0):
    path = tmp_path / "file"
    path.write_bytes(data)
    return File(os.open(path, os.O_RDONLY), offset)


async def test_who_may_not_look_at_a_bucket_is_told_its_region(site):
    reader, writer = await site.connect()
    writer.write(head("HEAD /closed HTTP/1.1", {"Host": "a"}))
    reply = await receive(reader, bodiless=True)
    assert (reply.status, reply.headers["x-amz-bucket-region"]) == (403, "us-east-1")


async def test_a_bucket_that_is_not_there_has_no_region(site):
    reader, writer = await site.connect()
    writer.write(site.signed("HEAD", "/absent"))
    reply = await receive(reader, bodiless=True)
    assert (reply.status, reply.headers.get("x-amz-bucket-region")) == (404, None)


async def test_answers_bear_what_every_answer_of_s3_bears(site):
    reader, writer = await site.connect()
    writer.write(GET)
    first = await receive(reader)
    writer.write(GET)
    second = await receive(reader)
    assert first.headers["server"] == "s3-gateway"
    assert first.headers["date"].endswith(" GMT")
    assert first.headers["content-type"] == "application/xml"
    assert len(first.headers["x-amz-request-id"]) == 16
    assert first.headers["x-amz-request-id"] != second.headers["x-amz-request-id"]
    assert first.headers["x-amz-id-2"] == second.headers["x-amz-id-2"]
    assert f"<RequestId>{first.headers['x-amz-request-id']}</RequestId>".encode() in first.body


async def test_a_head_is_answered_without_a_body(site):
    await site.put("key", b"bytes")
    reader, writer = await site.connect()
    for path, status in (("key", 200), ("missing", 403)):
        writer.write(head(f"HEAD /open/{path} HTTP/1.1", {"Host": "a"}))
        assert (await receive(reader, bodiless=True)).status == status
    writer.write(GET)
    assert (await receive(reader)).body == b"bytes"


async def test_not_modified_has_neither_body_nor_length(site):
    await site.put("key", b"bytes")
    reader, writer = await site.connect()
    writer.write(GET)
    etag = (await receive(reader)).headers["etag"]
    writer.write(head("GET /open/key HTTP/1.1", {"Host": "a", "If-None-Match": etag}))
    reply = await receive(reader)
    assert (reply.status, "content-length" in reply.headers, reply.headers["etag"]) == (304, False, etag)
    writer.write(GET)
    assert (await receive(reader)).body == b"bytes"


@pytest.mark.parametrize("size", [0, 1, 3 * MIB + 17])
async def test_a_file_is_sent_whole_by_the_kernel(given, tmp_path, size):
    data = os.urandom(size)
    given.storage.content, given.storage.announced = file_of(tmp_path, data), size
    reader, writer = await given.connect()
    for _ in range(2):
        writer.write(GET)
        assert (await receive(reader)).body == data
    writer.write(GET * 3)  # behind one another, so that something may be left to send when the next begins
    for _ in range(3):
        assert (await receive(reader)).body == data
    assert given.storage.closed
    os.close(given.storage.content.descriptor)


async def test_a_file_is_sent_from_its_offset(given, tmp_path):
    given.storage.content, given.storage.announced = file_of(tmp_path, b"0123456789", 3), 4
    reader, writer = await given.connect()
    writer.write(GET)
    assert (await receive(reader)).body == b"3456"
    os.close(given.storage.content.descriptor)


async def test_a_file_that_became_shorter_breaks_the_connection(given, tmp_path):
    given.storage.content, given.storage.announced = file_of(tmp_path, b"short"), 10
    answer = await ask_broken(given)
    assert answer.endswith(b"\r\n\r\nshort")
    os.close(given.storage.content.descriptor)


async def test_other_clients_are_served_while_one_does_not_read_its_file(given, tmp_path):
    given.storage.content, given.storage.announced = file_of(tmp_path, os.urandom(64 * MIB)), 64 * MIB
    slow = socket.create_connection(("127.0.0.1", given.port))
    slow.sendall(GET)
    reader, writer = await given.connect()
    writer.write(head("HEAD /open/key HTTP/1.1", {"Host": "a"}))
    assert (await receive(reader, bodiless=True)).status == 200
    assert not given.storage.closed
    slow.close()
    await given.end()
    gone = await given.end()
    assert (gone.error, given.storage.closed) == ("ClientGone", True)
    os.close(given.storage.content.descriptor)


async def test_a_client_that_takes_nothing_is_let_go(tmp_path):
    storage = Given(Memory())
    async with serving(storage, Limits(stall_timeout=0.2)) as site:
        await site.put("key", b"any")
        storage.content, storage.announced = file_of(tmp_path, bytes(64 * MIB)), 64 * MIB
        with socket.create_connection(("127.0.0.1", site.port)) as stalled:
            stalled.sendall(GET)
            assert (await site.end()).error == "ClientGone"
        storage.content = endless
        with socket.create_connection(("127.0.0.1", site.port)) as stalled:
            stalled.sendall(GET)
            assert (await site.end()).error == "ClientGone"
    assert storage.closed


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield bytes(MIB)


async def test_a_stream_is_read_no_faster_than_the_client_takes_it(given):
    taken = 0

    async def counted():
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield bytes(MIB)

    given.storage.content, given.storage.announced = counted, 100 * MIB
    with socket.create_connection(("127.0.0.1", given.port)) as slow:
        slow.sendall(GET)
        slow.setblocking(False)
        loop = asyncio.get_running_loop()
        assert await loop.sock_recv(slow, 100)
        reader, writer = await given.connect()
        writer.write(head("HEAD /open/key HTTP/1.1", {"Host": "a"}))
        await receive(reader, bodiless=True)
        assert taken < 50


async def test_a_body_that_fails_after_its_first_byte_breaks_the_connection(given):
    async def failing():
        yield b"first"
        raise ServiceUnavailable

    given.storage.content, given.storage.announced = failing, 10
    answer = await ask_broken(given)
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.endswith(b"\r\n\r\nfirst")
    assert given.storage.closed


async def test_a_body_that_fails_before_its_first_byte_is_an_error_like_any_other(given):
    async def failing():
        raise ServiceUnavailable
        yield b""

    given.storage.content, given.storage.announced = failing, 10
    reader, writer = await given.connect()
    writer.write(GET)
    reply = await receive(reader)
    assert (reply.status, b"<Code>ServiceUnavailable</Code>" in reply.body) == (503, True)


async def test_a_body_that_is_longer_than_announced_is_cut_and_the_connection_ends(given):
    async def longer():
        yield b"12345"
        yield b"67890"

    given.storage.content, given.storage.announced = longer, 7
    assert (await ask_broken(given)).endswith(b"\r\n\r\n12345")


async def test_a_body_that_is_shorter_than_announced_breaks_the_connection(given):
    async def shorter():
        yield b"12345"

    given.storage.content, given.storage.announced = shorter, 7
    assert (await ask_broken(given)).endswith(b"\r\n\r\n12345")


async def ask_broken(site):
    """Return what comes before the connection breaks; that it does is part of the promise."""
    reader, writer = await site.connect()
    writer.write(GET)
    answer = b""
    while True:
        try:
            data = await asyncio.wait_for(reader.read(2**20), 10)
        except ConnectionResetError:
            return answer
        if not data:
            return answer
        answer += data


async def test_what_nobody_expected_is_an_internal_error_that_says_nothing(given, caplog):
    def failing():
        raise RuntimeError("the secret of the house")

    given.storage.content = failing
    reader, writer = await given.connect()
    writer.write(GET)
    reply = await receive(reader)
    assert (reply.status, b"secret" in reply.body) == (500, False)
    assert b"<Code>InternalError</Code>" in reply.body


@pytest.mark.parametrize("value", ["a%0D%0ASet-Cookie%3A%20b", "a%0Ab", "a%00b"])
async def test_a_parameter_cannot_add_a_header_to_the_answer(site, value):
    await site.put("key", b"bytes")
    reader, writer = await site.connect()
    writer.write(site.signed("GET", f"/open/key?response-content-type={value}"))
    reply = await receive(reader)
    assert reply.status == 400
    assert "set-cookie" not in reply.headers


async def test_an_answer_of_untold_length_comes_in_chunks(monkeypatch, site):
    await answer_with(monkeypatch, [b"<a>", b"", b"</a>"])
    reader, writer = await site.connect()
    for _ in range(2):
        writer.write(GET)
        reply = await receive(reader)
        assert (reply.body, reply.headers["transfer-encoding"]) == (b"<a></a>", "chunked")
        assert "content-length" not in reply.headers


async def test_a_client_of_http_1_0_gets_an_answer_of_untold_length_until_the_end(monkeypatch, site):
    await answer_with(monkeypatch, [b"<a>", b"</a>"])
    answer = await site.ask(b"GET /open/key HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n<a></a>")
    assert b"Transfer-Encoding" not in answer
    assert b"Connection: close" in answer


async def test_a_late_failure_is_told_in_the_body_and_noted_as_what_it_is(monkeypatch, site):
    await answer_with(monkeypatch, [xml.DECLARATION.encode(), b" "], ServiceUnavailable())
    reader, writer = await site.connect()
    writer.write(GET)
    reply = await receive(reader)
    error = xmltodict.parse(reply.body)["Error"]
    assert (reply.status, error["Code"], error["Resource"]) == (200, "ServiceUnavailable", "/open/key")
    assert (error["RequestId"], error["HostId"]) == (reply.headers["x-amz-request-id"], reply.headers["x-amz-id-2"])
    noted = await site.end()
    assert (noted.status, noted.error) == (503, "ServiceUnavailable")
    writer.write(GET)  # the connection holds
    assert (await receive(reader)).status == 200


async def test_a_client_of_http_1_0_is_told_of_a_late_failure_too(monkeypatch, site):
    await answer_with(monkeypatch, [xml.DECLARATION.encode()], ServiceUnavailable())
    assert b"<Code>ServiceUnavailable</Code>" in await site.ask(b"GET /open/key HTTP/1.0\r\n\r\n")


async def test_a_failure_before_the_first_piece_is_an_answer_of_its_own(monkeypatch, site):
    await answer_with(monkeypatch, [], ServiceUnavailable())
    reader, writer = await site.connect()
    writer.write(GET)
    assert (await receive(reader)).status == 503


async def answer_with(monkeypatch, pieces, failure=None):
    async def stream():
        for piece in pieces:
            yield piece
        if failure:
            raise failure

    async def run(self, exchange, call):
        return Answer(content=stream())

    monkeypatch.setattr("gateway.server.serve.Pipeline._run", run)
