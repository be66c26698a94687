"""The connections to a server: over TLS too, kept where that can be done, and nothing half is taken for whole."""

import asyncio

import pytest

from gateway.backends.memory import Memory
from gateway.backends.s3.backend import open_s3
from gateway.errors import InternalError, InvalidArgument, ServiceUnavailable, SlowDown
from gateway.server.tls import Certificate
from gateway.storage import Address, WriteOptions
from gateway.transfer import body_of
from tests.backends.given import MIB, body, etag, put, read, some
from tests.doubles.scripted import Request, answer, choke, scripted
from tests.server.certificates import make
from tests.server.harness import ACCESS_KEY, SECRET_KEY, serving

AT = Address("bucket", "key")
KEYS = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "dialect": "aws", "addressing": "path"}


def told(data: bytes) -> dict[str, str]:
    return {"ETag": f'"{etag(data)}"', "Last-Modified": "Sat, 21 Nov 2026 09:00:00 GMT"}


def opened(port):
    return open_s3("afar", endpoint=f"http://127.0.0.1:{port}", answer_timeout=5, **KEYS)


def raw(*pieces: bytes, end: bool = True):
    """Answer with these bytes, one after another, and end the connection unless told otherwise."""

    async def play(request: Request, writer: asyncio.StreamWriter) -> None:
        await request.body()
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        if end:
            writer.close()

    return play


async def test_a_server_is_talked_to_over_tls_if_its_certificate_is_trusted(tmp_path):
    certificate, key = make(tmp_path, "localhost")
    async with serving(Memory(), context=Certificate(certificate, key).context) as site:
        endpoint = f"https://localhost:{site.port}"
        async with open_s3("afar", endpoint=endpoint, ca=certificate, **KEYS) as storage:
            await storage.create_bucket("bucket", {})
            for data in (b"", b"data", some(5 * MIB)):
                await storage.put(AT, body(data))
                assert await read(storage, AT) == data
        async with open_s3("afar", endpoint=endpoint, **KEYS) as storage:
            upload = body(some(MIB))
            with pytest.raises(ServiceUnavailable):
                await storage.put(AT, upload)
            assert not upload.started


LISTING = b"<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(LISTING), LISTING)
CHUNK = b"%x\r\n%b\r\n0\r\n\r\n" % (len(LISTING), LISTING)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
REST = (LISTING[4:5], len(LISTING) - 5, LISTING[5:])


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(LISTING), LISTING],
        [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(LISTING), LISTING)],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (len(LISTING), LISTING)],
        [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n%b" % LISTING[:4],
            b"%b\r\n%x\r\n%b\r\n0\r\n\r\n" % REST,
        ],
        [b"HTTP/1.1 200 OK\r\n\r\n", LISTING],
        [bytes([byte]) for byte in b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(LISTING), LISTING)],
        [CHUNKED + b"".join(b"1;a=b\r\n%c\r\n" % byte for byte in LISTING) + b"0\r\nx-trailer: a\r\n\r\n"],
        [b"HTTP/1.1 100 Continue\r\n\r\n" * 5000 + WHOLE],
        [WHOLE.replace(b"\r\n\r\n", b"\r\n" + b"".join(b"x-amz-meta-%d: b\r\n" % n for n in range(900)) + b"\r\n")],
        [CHUNKED.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Key1: a\r\n\r\n"), CHUNK],
    ],
    ids=["length", "interim", "chunk", "chunks", "end", "bytes", "chunks at once", "interims", "headers", "odd header"],
)
async def test_an_answer_is_understood_however_it_is_framed(pieces):
    async with scripted(raw(*pieces)) as server, opened(server.port) as storage:
        assert await storage.list_buckets() == []


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", LISTING],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"%x\r\n%b\r\n" % (len(LISTING), LISTING)],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"nonsense\r\n" + LISTING],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 1"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", LISTING],
        [b"nonsense\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000],
        [b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n"],
        [b"HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n"],
        [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", WHOLE],
        [b"\r\n\r\n", WHOLE],
        [WHOLE.replace(b"Length: %d" % len(LISTING), b"Length: 9223372036854775807")],
        [WHOLE.replace(b"Content-Length:", b"Content-Length: %d\r\nContent-Length:" % len(LISTING))],
        [CHUNKED.replace(b"Tr", b"Content-Length: 9\r\nTr"), b"%x\r\n%b\r\n0\r\n\r\n" % (len(LISTING), LISTING)],
        [CHUNKED.replace(b"chunked", b"gzip, chunked"), b"%x\r\n%b\r\n0\r\n\r\n" % (len(LISTING), LISTING)],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", LISTING],
    ],
    ids=[
        "short",
        "no last chunk",
        "no chunk",
        "no head",
        "length",
        "nonsense",
        "endless",
        "status 000",
        "status 999",
        "upgrade",
        "empty lines",
        "longest",
        "two lengths",
        "length and chunks",
        "coded chunks",
        "coded",
    ],
)
async def test_what_is_cut_off_or_cannot_be_understood_is_no_answer(pieces):
    async with scripted(raw(*pieces)) as server, opened(server.port) as storage:
        with pytest.raises((ServiceUnavailable, InternalError)):
            await storage.list_buckets()


async def test_a_connection_is_used_again_and_one_that_said_too_much_is_not():
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(LISTING), LISTING)
    async with scripted(raw(chunks, end=False)) as server, opened(server.port) as storage:
        for _ in range(5):
            assert await storage.list_buckets() == []
        assert server.connections == 1
    data = answer(200, b"data", told(b"data"))
    async with scripted(data) as server, opened(server.port) as storage:
        for _ in range(5):
            assert await read(storage, AT) == b"data"
        assert server.connections == 1
    chatty = answer(200, b"dataHTTP/1.1 200 OK\r\n\r\n", {**told(b"data"), "Content-Length": "4"})
    async with scripted(chatty, data) as server, opened(server.port) as storage:
        for _ in range(2):
            assert await read(storage, AT) == b"data"
        assert server.connections == 2


@pytest.mark.parametrize(
    "more", [b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"], ids=["part", "whole"]
)
async def test_a_connection_that_says_more_after_the_last_chunk_is_not_used_again(more):
    chunks = CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(LISTING), LISTING)
    async with scripted(raw(chunks + more, end=False)) as server, opened(server.port) as storage:
        for _ in range(2):
            assert await storage.list_buckets() == []
        assert server.connections == 2


async def test_whoever_gives_up_while_the_end_of_a_body_is_sent_waits_for_nobody():
    async with scripted(choke) as server:
        settings = {"endpoint": f"http://127.0.0.1:{server.port}", "stall_timeout": 60, **KEYS}
        async with open_s3("afar", **settings) as storage:
            task = asyncio.create_task(storage.put(AT, body(some(32 * MIB), pieces=32 * MIB)))
            await asyncio.sleep(0.5)
            task.cancel()
            await asyncio.wait([task], timeout=10)
            assert task.cancelled()


async def test_many_at_once_share_no_connection(upstream, s3):
    await s3.create_bucket("bucket", {})

    async def there_and_back(number: int) -> None:
        at, data = Address("bucket", str(number)), some(number * 7001, number)
        await s3.put(at, body(data))
        assert await read(s3, at) == data

    await asyncio.gather(*(there_and_back(number) for number in range(60)))


async def test_copies_between_accounts_do_not_wait_for_the_connections_of_each_other(s3, settings):
    await s3.create_bucket("bucket", {})
    data = some(4 * MIB)
    await s3.put(AT, body(data))

    async def copy(number: int) -> None:
        source, target = (one, other) if number % 2 else (other, one)
        async with source.get(AT) as download:
            await target.put(Address("bucket", str(number)), body_of(download))

    async with open_s3("one", **settings, connections=2) as one, open_s3("other", **settings, connections=2) as other:
        async with asyncio.timeout(60):
            await asyncio.gather(*(copy(number) for number in range(12)))
        for number in range(12):
            assert await read(one, Address("bucket", str(number))) == data


async def test_who_waits_for_a_connection_in_vain_is_told_to_slow_down(s3, settings):
    await s3.create_bucket("bucket", {})
    await s3.put(AT, body(some(8 * MIB)))
    async with open_s3("few", **{**settings, "connections": 1, "answer_timeout": 0.5}) as few:
        async with few.get(AT):
            with pytest.raises(SlowDown):
                await asyncio.create_task(few.head(AT))
        assert (await few.head(AT)).size == 8 * MIB


async def test_a_name_of_metadata_cannot_smuggle_a_header():
    async with scripted(answer(200, b"", told(b"data"))) as server, opened(server.port) as storage:
        for name in ("a: b\r\nx-amz-acl", "a b", "a:b", "ä"):
            with pytest.raises(InvalidArgument):
                await put(storage, AT, b"data", WriteOptions(metadata={name: "value"}))
        assert server.asked == []
