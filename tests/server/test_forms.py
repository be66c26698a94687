"""Forms of browsers over real sockets: whoever was allowed to uploads, whatever is cut stores nothing."""

import asyncio
import re
import tracemalloc
from functools import partial
from xml.etree import ElementTree as ET

import aiohttp
import pytest
import urllib3

from gateway.backends.local import open_local
from gateway.backends.memory import Memory
from gateway.budget import BUDGET
from gateway.errors import NoSuchKey
from gateway.server.tls import Certificate
from gateway.storage import UNSIZED, Address
from tests.forms import BOUNDARY, TYPE, encoded, part, signed
from tests.server import harness
from tests.server.certificates import make
from tests.server.harness import head, receive, serving
from tests.server.test_cors import APP, CORS
from tests.server.test_tls import trusting

sign = partial(signed, bucket="open", access_key=harness.ACCESS_KEY, secret_key=harness.SECRET_KEY)
MiB = 1024 * 1024


@pytest.fixture(params=["http", "https"])
async def site(request, tmp_path):
    secure = request.param == "https"
    async with serving(context=Certificate(*make(tmp_path, "a")).context if secure else None) as site:
        site.secure = trusting() if secure else None
        yield site


def request_of(form, target="/open", **headers):
    return (
        head(
            f"POST {target} HTTP/1.1", {"Host": "a", "Content-Type": TYPE, "Content-Length": str(len(form)), **headers}
        )
        + form
    )


async def ask(site, form, **more):
    reader, writer = await site.connect()
    writer.write(request_of(form, **more))
    return await receive(reader)


async def missing(site, key="key"):
    with pytest.raises(NoSuchKey):
        await site.storage.head(Address("open", key))
    return True


@pytest.mark.parametrize("version", ["s3v4", "s3"])
async def test_a_form_that_boto3_signs_is_uploaded_by_urllib3(site, tmp_path, version):
    fields = sign(
        "user/${filename}",
        {"success_action_status": "201", "Content-Type": "image/jpeg"},
        [["content-length-range", 1, 5 * MiB], ["starts-with", "$x-amz-meta-title", ""]],
        version=version,
    )
    data = bytes(range(256)) * 5000

    authority = str(tmp_path / "tls.crt") if site.secure else None

    def post():
        url = f"http{'s' if site.secure else ''}://127.0.0.1:{site.port}/open"
        with urllib3.PoolManager(ca_certs=authority) as pool:
            return pool.request("POST", url, fields={**fields, "x-amz-meta-title": "Süß", "file": ("größe.jpg", data)})

    answer = await asyncio.to_thread(post)
    assert answer.status == 201, answer.data
    assert ET.fromstring(answer.data).findtext("Key") == "user/größe.jpg"
    assert await site.read("user/größe.jpg") == data
    info = await site.storage.head(Address("open", "user/größe.jpg"))
    assert (info.headers["content-type"], info.metadata) == ("image/jpeg", {"title": "Süß"})


async def test_a_form_that_aiohttp_sends_in_chunks_is_uploaded(site):
    async def pieces():
        for _ in range(50):
            yield b"piece" * 1000

    form = aiohttp.FormData(quote_fields=False)
    for name, value in sign("key").items():
        form.add_field(name, value)
    form.add_field("file", pieces(), filename="a b.bin")
    url = f"http{'s' if site.secure else ''}://127.0.0.1:{site.port}/open/"
    async with aiohttp.ClientSession() as session, session.post(url, data=form, ssl=site.secure or True) as answer:
        assert answer.status == 204, await answer.text()
        assert answer.headers["Location"] == f"{url}key"
    assert await site.read("key") == b"piece" * 50_000


async def test_the_bucket_may_stand_in_the_host():
    async with serving(domains=["s3.example.com"]) as site:
        reply = await ask(site, encoded(sign("a/b")), target="/", Host="open.s3.example.com:9000")
        assert reply.status == 204, reply.body
        assert reply.headers["location"] == "http://open.s3.example.com:9000/a%2Fb"
        assert await site.read("a/b") == b"bytes"


async def test_the_connection_is_kept_and_what_was_done_is_told(site):
    reader, writer = await site.connect()
    for number in range(3):
        writer.write(request_of(encoded(sign(f"key-{number}"), after=[("submit", "Upload")])))
        assert (await receive(reader)).status == 204
        told = await site.end()
        assert (told.operation, told.call.key, told.access_key) == ("PostObject", f"key-{number}", harness.ACCESS_KEY)


async def test_who_signs_nothing_may_post_what_he_may_put(site):
    reply = await ask(site, encoded({"key": "key"}))
    assert (reply.status, b"<Code>AccessDenied</Code>" in reply.body) == (403, True)
    assert await missing(site)


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"key": "other"}, 403, "AccessDenied"),
        ({"acl": "public-read"}, 403, "AccessDenied"),
        ({"x-amz-signature": "0" * 64}, 403, "SignatureDoesNotMatch"),
        ({"policy": "e30="}, 403, "SignatureDoesNotMatch"),
        ({"x-amz-date": "20260101T000000Z"}, 403, "AccessDenied"),
        ({"x-amz-security-token": "token"}, 400, "InvalidToken"),
    ],
)
async def test_a_form_that_was_changed_stores_nothing(site, changed, status, code):
    reply = await ask(site, encoded({**sign("key"), **changed}))
    assert (reply.status, ET.fromstring(reply.body).findtext("Code")) == (status, code)
    assert await missing(site)
    assert await missing(site, "other")


async def test_a_file_that_is_too_large_is_refused_before_it_has_come(site):
    form = encoded(sign("key", conditions=[["content-length-range", 0, 10]]), b"x" * 4 * MiB)
    reader, writer = await site.connect()
    writer.write(request_of(form)[: MiB + 5000])
    reply = await receive(reader)
    assert ET.fromstring(reply.body).findtext("Code") == "EntityTooLarge"
    assert await missing(site)


async def test_what_is_no_form_is_told_so_before_it_is_sent(site):
    reader, writer = await site.connect()
    writer.write(head("POST /open HTTP/1.1", {"Host": "a", "Content-Length": "5", "Expect": "100-continue"}))
    reply = await receive(reader)
    assert (reply.status, reply.headers["connection"]) == (412, "close")
    assert b"<Condition>Bucket POST must be of the enclosure-type multipart/form-data</Condition>" in reply.body


async def test_a_form_that_is_cut_at_any_byte_stores_nothing():
    async with serving() as site:
        form = encoded(sign("key"), after=[("submit", "go")])
        whole = request_of(form)

        async def cut(end):
            reader, writer = await site.connect()
            writer.write(whole[:end])
            writer.write_eof()
            return re.findall(rb"HTTP/1.1 (\d+) ", await asyncio.wait_for(reader.read(), harness.PATIENCE))

        first = len(whole) - len(form)
        for end in (*range(first, first + 400, 20), *range(len(whole) - 500, len(whole))):
            assert await cut(end) in ([], [b"400"]), end
            assert await missing(site)
        assert await cut(len(whole)) == [b"204"]


async def test_without_its_last_boundary_a_form_stores_nothing(site):
    form = encoded(sign("key"), after=[("submit", "go")])
    for end in (form.rindex(b"--\r\n"), form.rindex(f"--{BOUNDARY}--".encode()), form.index(b"bytes") + 3):
        reply = await ask(site, form[:end])
        assert ET.fromstring(reply.body).findtext("Code") == "MalformedPOSTRequest"
        assert await missing(site)


async def test_a_large_file_passes_at_constant_memory(tmp_path):
    piece, count = b"x" * MiB, 48
    start, end = encoded(sign("key"), b"").rsplit(f"\r\n--{BOUNDARY}--".encode(), 1)
    end = f"\r\n--{BOUNDARY}--".encode() + end
    length = len(start) + count * len(piece) + len(end)
    async with open_local("disk", tmp_path, fsync=False) as storage, serving(storage) as site:
        reader, writer = await site.connect()
        tracemalloc.start()
        try:
            writer.write(
                head("POST /open HTTP/1.1", {"Host": "a", "Content-Type": TYPE, "Content-Length": str(length)})
            )
            writer.write(start)
            for _ in range(count):
                writer.write(piece)
                await writer.drain()
            writer.write(end)
            assert (await receive(reader)).status == 204
            assert tracemalloc.get_traced_memory()[1] < 8 * MiB
        finally:
            tracemalloc.stop()
        assert (tmp_path / "open" / "key").stat().st_size == count * len(piece)


async def test_a_form_takes_of_the_memory_of_bodies_what_it_may_hold(monkeypatch):
    taken = []
    take = BUDGET.take

    async def noting(size):
        taken.append(size)
        return await take(size)

    monkeypatch.setattr(BUDGET, "take", noting)
    async with serving() as site:
        assert (await ask(site, encoded(sign("key"), b"x" * 2 * MiB))).status == 204
        assert taken[0] < 2 * MiB + 4096 < UNSIZED
        assert (await ask(site, encoded({"key": "key"}, b"x" * 2 * MiB))).status == 403
        assert len(taken) == 1


async def test_endless_fields_are_not_read_to_their_end(site):
    reader, writer = await site.connect()
    writer.write(head("POST /open HTTP/1.1", {"Host": "a", "Content-Type": TYPE, "Content-Length": str(2**30)}))
    writer.write(part("key", b"x" * 30_000))
    reply = await receive(reader)
    assert ET.fromstring(reply.body).findtext("Code") == "MaxPostPreDataLengthExceeded"


async def test_the_script_of_a_page_sees_what_became_of_its_form():
    async with serving(cors=CORS) as site:
        for fields, status in ((sign("key"), 204), ({"key": "key"}, 403)):
            reply = await ask(site, encoded(fields), Origin=APP)
            assert (reply.status, reply.headers["access-control-allow-origin"]) == (status, APP)


async def test_a_storage_that_fails_is_told():
    class Failing(Memory):
        async def put(self, at, body, options):
            raise RuntimeError

    async with serving(Failing()) as site:
        assert (await ask(site, encoded(sign("key")))).status == 500
