"""Bodies on their way hold no more memory than they may, and those who wait for it are served when there is some."""

import asyncio
import base64
import hashlib
import re
import tracemalloc
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import REGISTRY

from gateway import budget
from gateway.backends.local import open_local
from gateway.backends.memory import Memory
from gateway.backends.s3.backend import open_s3
from gateway.budget import BUDGET
from gateway.storage import HELD, STREAMED, UNSIZED, Address, Body
from tests.gateway_process import GatewayProcess, running
from tests.server.harness import head, receive, serving
from tests.server.test_write import Given

SIZE = 3 * HELD
COUNT = 300  # pieces of 64 KiB, more than two parts


@pytest.fixture
def room(monkeypatch):
    """Have little memory, and return a function that sets it, and what was taken of it at most."""
    most = [0]
    take = BUDGET.take

    async def noting(size):
        taken = await take(size)
        most[0] = max(most[0], BUDGET.used)
        return taken

    monkeypatch.setattr(BUDGET, "take", noting)
    monkeypatch.setattr(BUDGET, "limit", 2.5 * HELD)
    yield most
    assert BUDGET.used == 0


async def upload(site, number, data):
    reader, writer = await site.connect()
    writer.write(site.signed("PUT", f"/open/key-{number}", {"Content-Length": str(len(data))}))
    writer.write(data)
    return await receive(reader)


async def post(site, path, document):
    reader, writer = await site.connect()
    md5 = base64.b64encode(hashlib.md5(document).digest()).decode()
    writer.write(site.signed("POST", path, {"Content-Length": str(len(document)), "Content-MD5": md5}))
    writer.write(document)
    return await receive(reader)


async def test_many_uploads_at_once_stay_below_the_limit_and_are_all_stored(room, tmp_path):
    async with open_local("disk", tmp_path, fsync=False) as storage, serving(storage) as site:
        data = {number: bytes([number]) * SIZE for number in range(30)}
        replies = await asyncio.gather(*[upload(site, *each) for each in data.items()])
        assert [reply.status for reply in replies] == [200] * 30
        assert room[0] == 2 * HELD
        for number, stored in data.items():
            assert (tmp_path / "open" / f"key-{number}").read_bytes() == stored


async def test_small_bodies_take_no_more_than_they_are(room):
    async with serving() as site:
        assert (await upload(site, 1, b"bytes")).status == 200
        assert room[0] == 5


async def test_a_request_without_a_body_takes_nothing_and_waits_for_nobody(room):
    async with serving() as site, BUDGET.held(BUDGET.limit):
        await site.put("key", b"bytes")
        reader, writer = await site.connect()
        writer.write(b"GET /open/key HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await receive(reader)).body == b"bytes"
        writer.write(site.signed("DELETE", "/open/key"))
        assert (await receive(reader, bodiless=True)).status == 204


@pytest.mark.parametrize("query", ["", "?partNumber=1&uploadId={}"])
async def test_a_copy_takes_no_room_for_a_body_that_nobody_reads(room, monkeypatch, query):
    """It takes that of what is copied, and who takes twice waits for himself."""
    monkeypatch.setattr(budget, "PATIENCE", 0.05)
    async with serving() as site, BUDGET.held(BUDGET.limit):
        await site.put("key", b"bytes")
        upload = await site.storage.create_upload(Address("open", "copy"))
        reader, writer = await site.connect()
        asked = {"x-amz-copy-source": "/open/key", "Content-Length": "8"}
        writer.write(site.signed("PUT", "/open/copy" + query.format(upload.id), asked) + b"needless")
        assert (await receive(reader)).status == 200


async def test_a_client_whose_body_waits_is_not_asked_for_it(room):
    async with serving() as site:
        reader, writer = await site.connect()
        async with BUDGET.held(BUDGET.limit):
            writer.write(site.signed("PUT", "/open/key", {"Content-Length": "5", "Expect": "100-continue"}))
            waiting = asyncio.create_task(receive(reader))
            await asyncio.wait([waiting], timeout=0.1)
            assert not waiting.done()
        assert (await waiting).status == 100
        writer.write(b"bytes")
        assert (await receive(reader)).status == 200


async def test_a_body_for_which_there_is_no_room_for_long_is_told_to_come_back(room, monkeypatch):
    monkeypatch.setattr(budget, "PATIENCE", 0.05)
    before = REGISTRY.get_sample_value("gateway_limited_total", {"limit": "memory"}) or 0
    async with serving() as site:
        async with BUDGET.held(BUDGET.limit):
            refused = await upload(site, 1, b"bytes")
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert b"<Code>SlowDown</Code>" in refused.body
        assert (await upload(site, 1, b"bytes")).status == 200
    assert REGISTRY.get_sample_value("gateway_limited_total", {"limit": "memory"}) == before + 1


async def test_what_a_request_took_is_given_back_before_its_answer_takes_any(room, monkeypatch):
    monkeypatch.setattr(budget, "PATIENCE", 0.05)
    monkeypatch.setattr(BUDGET, "limit", 1_000_000)
    keys = "".join(f"<Object><Key>{number:0500}</Key></Object>" for number in range(1000))
    async with serving() as site:
        answered = await post(site, "/open?delete", f"<Delete>{keys}</Delete>".encode())
        assert (answered.status, answered.body.count(b"<Deleted>")) == (200, 1000)
        assert BUDGET.limit / 2 < room[0] < BUDGET.limit


async def test_who_may_not_write_keeps_no_room(room):
    async with serving() as site, BUDGET.held(BUDGET.limit):
        reader, writer = await site.connect()
        writer.write(head("PUT /open/key HTTP/1.1", {"Host": "a", "Content-Length": str(SIZE)}))
        assert (await receive(reader)).status == 403


async def test_a_body_of_unknown_size_takes_what_a_storage_may_keep_of_it(room, monkeypatch):
    monkeypatch.setattr(BUDGET, "limit", 10 * UNSIZED)
    async with serving() as site:
        reader, writer = await site.connect()
        writer.write(site.signed("PUT", "/open/key", {"Transfer-Encoding": "chunked"}) + b"5\r\nbytes\r\n0\r\n\r\n")
        assert (await receive(reader)).status == 200
        assert room[0] == UNSIZED


async def test_downloads_that_pass_through_are_counted_and_wait_too(room):
    storage = Given(Memory())
    data = b"d" * (2 * STREAMED)

    async def pieces():
        for start in range(0, len(data), 100_000):
            yield data[start : start + 100_000]

    storage.content, storage.announced = pieces, len(data)
    async with serving(storage) as site:
        await site.put("key", b"")

        async def download():
            reader, writer = await site.connect()
            writer.write(b"GET /open/key HTTP/1.1\r\nHost: a\r\n\r\n")
            return (await receive(reader)).body

        async with BUDGET.held(BUDGET.limit):
            waiting = asyncio.create_task(download())
            await asyncio.wait([waiting], timeout=0.1)
            assert not waiting.done()
        assert await waiting == data
        assert await asyncio.gather(*[download() for _ in range(20)]) == [data] * 20
        assert STREAMED <= room[0] <= BUDGET.limit


async def test_an_answer_that_its_client_does_not_take_is_counted_until_it_goes(room, monkeypatch):
    monkeypatch.setattr(BUDGET, "limit", 100 * HELD)
    data = bytes(8 * 1024 * 1024)  # more than the kernel keeps for a client
    async with serving() as site:
        await site.put("key", data)
        reader, writer = await site.connect()
        writer.transport.pause_reading()
        writer.write(b"GET /open/key HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: BUDGET.used >= len(data))
        writer.transport.resume_reading()
        assert (await receive(reader)).body == data
        await until(lambda: not BUDGET.used)


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  there is nothing else that tells
            await asyncio.sleep(0)


async def test_a_body_of_unknown_size_holds_no_more_than_is_taken_for_it(tmp_path):
    """Measured where the storage has to be told of sizes beforehand."""

    async def chunks():
        for _ in range(COUNT):
            yield bytes(64 * 1024)

    storage = GatewayProcess(tmp_path)
    with running(storage):
        keys = {"access_key": storage.access_key, "secret_key": storage.secret_key}
        async with open_s3("s3", endpoint=storage.endpoint, **keys, addressing="path", dialect="aws") as s3:
            await s3.create_bucket("bucket", {})
            at = Address("bucket", "key")
            assert 8_000_000 < await measured(s3.put(at, Body(chunks(), None))) < UNSIZED
            upload = await s3.create_upload(at)
            assert 8_000_000 < await measured(s3.put_part(upload, 1, Body(chunks(), None))) < UNSIZED
            assert await measured(s3.put(at, Body(chunks(), COUNT * 64 * 1024))) < HELD
            assert (await s3.head(at)).size == COUNT * 64 * 1024


def test_uploads_to_several_workers_stay_below_what_is_configured(tmp_path):
    limit = 16 * 1024 * 1024
    site = GatewayProcess(tmp_path, extra={"workers": 2, "limits": {"memory": limit}})
    with running(site), ThreadPoolExecutor(60) as threads:
        client = site.client(max_pool_connections=60)
        client.create_bucket(Bucket="bucket")
        body = bytes(2 * 1024 * 1024)
        stored = [threads.submit(client.put_object, Bucket="bucket", Key=str(n), Body=body) for n in range(60)]
        told = []
        while not all(each.done() for each in stored):
            told.append(metric(site, "gateway_body_memory_bytes"))
        assert [each.result()["ResponseMetadata"]["HTTPStatusCode"] for each in stored] == [200] * 60
        assert metric(site, "gateway_body_memory_limit_bytes") == limit
        assert 0 < max(told) <= limit


def metric(site, name):
    with urllib.request.urlopen(f"http://127.0.0.1:{site.admin_port}/metrics") as answer:
        return float(re.search(rf"^{name} (.*)$", answer.read().decode(), re.MULTILINE)[1])


async def measured(work):
    """Return how much memory Python objects took most."""
    tracemalloc.start()
    try:
        await work
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
