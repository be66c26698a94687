import asyncio
import random
import time
from types import SimpleNamespace

import pytest

from gateway.errors import BadRequest, RequestTimeout
from gateway.server.exchange import Exchange
from gateway.server.limits import Limits
from tests.server.harness import head, receive, serving

GET = b"GET /open/key HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /open/key HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "garbage",
    [
        b"\r\n\r\nnonsense\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /open/key HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n",
        b"GET /open/key HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n",
        b"GET /open/key HTTP/9.9\r\nHost: a\r\n\r\n",
        b"GET /open/key HTTP/1.1\r\n\r\n",
        b"GET /open/key HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"PUT /open/key HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n",
        b"PUT /open/key HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"PUT /open/key HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"PUT /open/key HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"PUT /open/key HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"PUT /open/key HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"FETCH /open/key HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_what_is_no_http_gets_an_error_in_xml_and_the_connection_ends(site, garbage):
    answer = await site.ask(garbage)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert b"<Code>BadRequest</Code>" in answer
    assert b"Connection: close" in answer
    assert b"x-amz-request-id: " in answer
    assert b"aiohttp" not in answer
    assert b"Traceback" not in answer


@pytest.mark.parametrize(
    "fields",
    [
        {"x-amz-meta-long": "x" * 17_000},
        {f"x-amz-meta-{number}": "x" * 1000 for number in range(20)},
        {f"x-{number}": "" for number in range(200)},
    ],
)
async def test_headers_that_are_too_large_are_named_so(site, fields):
    answer = await site.ask(head("GET /open/key HTTP/1.1", {"Host": "a", "Connection": "close", **fields}))
    assert b"<Code>RequestHeaderSectionTooLarge</Code>" in answer
    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("target", [b"/open/\x00", b"/open/\xe9", b"open"])
async def test_a_target_that_is_none_is_refused(site, target):
    answer = await site.ask(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"<Code>InvalidURI</Code>" in answer


async def test_a_target_that_is_too_long_is_refused(site):
    answer = await site.ask(head("GET /open/key?" + "x" * 20_000 + " HTTP/1.1", {"Host": "a"}))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"<Error>" in answer


async def test_requests_on_one_connection_are_answered_one_after_another(site):
    await site.put("key", b"bytes")
    reader, writer = await site.connect()
    for _ in range(3):
        writer.write(GET)
        assert (await receive(reader)).body == b"bytes"


async def test_pipelined_requests_are_all_answered_in_their_order(site):
    for number in range(40):
        await site.put(f"key{number}", str(number).encode())
    reader, writer = await site.connect()
    writer.write(b"".join(b"GET /open/key%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(40)))
    assert [int((await receive(reader)).body) for _ in range(40)] == list(range(40))


async def test_bodies_of_pipelined_requests_are_not_mixed_up(site):
    puts = [
        site.signed("PUT", f"/open/key{number}", {"Content-Length": "200000"}) + bytes([number]) * 200_000
        for number in range(20)
    ]
    reader, writer = await site.connect()
    writer.write(b"".join(puts))
    assert [(await receive(reader)).status for _ in range(20)] == [200] * 20
    assert [await site.read(f"key{number}") for number in range(20)] == [
        bytes([number]) * 200_000 for number in range(20)
    ]


async def test_a_client_of_http_1_0_is_answered_and_let_go(site):
    await site.put("key", b"bytes")
    answer = await site.ask(b"GET /open/key HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nbytes")


async def test_a_client_of_http_1_0_that_asks_for_it_keeps_its_connection(site):
    await site.put("key", b"bytes")
    reader, writer = await site.connect()
    for _ in range(2):
        writer.write(b"GET /open/key HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        reply = await receive(reader)
        assert (reply.body, reply.headers["connection"]) == (b"bytes", "keep-alive")


async def test_a_client_that_closes_its_side_is_still_answered(site):
    await site.put("key", b"bytes")
    reader, writer = await site.connect()
    writer.write(GET)
    writer.write_eof()
    assert (await receive(reader)).body == b"bytes"
    assert await reader.read() == b""


async def test_connection_close_is_done(site):
    answer = await site.ask(LAST)
    assert b"Connection: close\r\n" in answer


async def test_the_body_is_asked_for_when_it_is_wanted(site):
    reader, writer = await site.connect()
    writer.write(site.signed("PUT", "/open/key", {"Content-Length": "5", "Expect": "100-continue"}))
    assert (await receive(reader)).status == 100
    writer.write(b"bytes")
    assert (await receive(reader)).status == 200
    assert await site.read("key") == b"bytes"


async def test_a_refused_body_is_never_asked_for(site):
    reader, writer = await site.connect()
    writer.write(head("PUT /open/key HTTP/1.1", {"Host": "a", "Content-Length": "5", "Expect": "100-continue"}))
    reply = await receive(reader)
    assert (reply.status, reply.headers["connection"]) == (403, "close")
    assert await reader.read() == b""


async def test_an_empty_body_is_asked_for_too(site):
    reader, writer = await site.connect()
    writer.write(site.signed("PUT", "/open/key", {"Content-Length": "0", "Expect": "100-continue"}))
    assert (await receive(reader)).status == 100
    assert (await receive(reader)).status == 200
    writer.write(site.signed("PUT", "/open/key", {"Content-Length": "0", "Expect": "100-continue"}))
    assert (await receive(reader)).status == 100


async def test_a_connection_whose_client_still_waits_to_be_asked_is_not_used_again(site):
    reader, writer = await site.connect()
    headers = {"Content-Length": "0", "Expect": "100-continue", "If-Match": '"no such"'}
    writer.write(site.signed("PUT", "/open/none", headers))
    reply = await receive(reader)
    assert (reply.status, reply.headers["connection"]) == (404, "close")


async def test_a_client_that_sends_without_being_asked_needs_no_continue(site):
    reader, writer = await site.connect()
    writer.write(site.signed("PUT", "/open/key", {"Content-Length": "5", "Expect": "100-continue"}) + b"bytes")
    assert (await receive(reader)).status == 200


@pytest.mark.parametrize("expectation", ["200", "", "200-ok"])
async def test_an_expectation_that_nobody_knows_is_ignored(site, expectation):
    reader, writer = await site.connect()
    writer.write(site.signed("PUT", "/open/key", {"Content-Length": "5", "Expect": expectation}) + b"bytes")
    assert (await receive(reader)).status == 200


async def test_a_small_unwanted_body_does_not_cost_the_connection(site):
    await site.put("key", b"old")
    reader, writer = await site.connect()
    writer.write(head("PUT /open/key HTTP/1.1", {"Host": "a", "Content-Length": "500000"}))
    assert (await receive(reader)).status == 403
    writer.write(b"x" * 500_000 + GET)
    assert (await receive(reader)).body == b"old"


async def test_a_large_unwanted_body_ends_the_connection_after_the_answer(site):
    reader, writer = await site.connect()
    writer.write(head("PUT /open/key HTTP/1.1", {"Host": "a", "Content-Length": "5000000"}) + b"x" * 1000)
    reply = await receive(reader)
    assert (reply.status, reply.headers["connection"]) == (403, "close")
    assert await reader.read() == b""


async def test_an_unwanted_body_of_unknown_length_is_no_second_request(site):
    await site.put("key", b"secret")
    answer = await site.ask(
        b"PUT /open/key HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"%x\r\n" % len(GET) + GET
    )
    assert answer.count(b"HTTP/1.1") == 1
    assert b"secret" not in answer


async def test_a_body_with_broken_framing_is_refused_and_stores_nothing(site):
    await site.put("key", b"old")
    answer = await site.ask(
        site.signed("PUT", "/open/key", {"Transfer-Encoding": "chunked", "X-Amz-Decoded-Content-Length": "5"})
        + b"5\r\nbytes\r\nzz\r\n"
        + GET
    )
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert await site.read("key") == b"old"


async def test_a_client_that_disconnects_in_its_body_changes_nothing(site):
    await site.put("key", b"old")
    _, writer = await site.connect()
    writer.write(site.signed("PUT", "/open/key", {"Content-Length": "500000"}) + b"x" * 400_000)
    await writer.drain()
    writer.transport.abort()
    assert (await site.end()).error in {"IncompleteBody", "ClientGone"}
    assert await site.read("key") == b"old"


async def test_a_body_that_ends_short_is_told_to_a_client_that_still_listens(site):
    reader, writer = await site.connect()
    writer.write(site.signed("PUT", "/open/key", {"Content-Length": "10"}) + b"bytes")
    writer.write_eof()
    reply = await receive(reader)
    assert reply.status == 400
    assert b"<Code>IncompleteBody</Code>" in reply.body


async def test_a_client_that_stalls_in_its_headers_is_let_go(slow_site):
    answer = await slow_site.ask(b"GET /open/key HTTP/1.1\r\nHost: a")
    assert b"<Code>RequestTimeout</Code>" in answer


async def test_headers_that_trickle_in_are_not_waited_for(slow_site):
    reader, writer = await slow_site.connect()
    writer.write(b"GET /open/key HTTP/1.1\r\n")

    async def trickle():
        while True:
            writer.write(b"x: y\r\n")
            await asyncio.sleep(0.02)

    task = asyncio.create_task(trickle())
    assert b"RequestTimeout" in await asyncio.wait_for(reader.read(), 5)
    task.cancel()


async def test_a_client_that_stalls_in_its_body_is_let_go(slow_site):
    answer = await slow_site.ask(slow_site.signed("PUT", "/open/key", {"Content-Length": "10"}) + b"bytes")
    assert b"<Code>RequestTimeout</Code>" in answer
    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_a_connection_that_says_nothing_is_closed(slow_site):
    assert await slow_site.ask(b"") == b""


async def test_a_kept_connection_that_is_idle_is_closed(slow_site):
    await slow_site.put("key", b"bytes")
    assert (await slow_site.ask(GET)).endswith(b"bytes")


async def test_an_upgrade_to_another_protocol_is_ignored(site):
    await site.put("key", b"bytes")
    answer = await site.ask(
        head("GET /open/key HTTP/1.1", {"Host": "a", "Connection": "Upgrade, close", "Upgrade": "websocket"})
    )
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_an_offer_of_http_2_does_not_cost_the_connection(site):
    await site.put("key", b"bytes")
    reader, writer = await site.connect()
    for _ in range(2):
        offer = {"Host": "a", "Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABk"}
        writer.write(head("GET /open/key HTTP/1.1", offer))
        assert (await receive(reader)).body == b"bytes"


async def test_connect_is_refused(site):
    answer = await site.ask(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 405 ", b"HTTP/1.1 403 ", b"HTTP/1.1 400 ", b"HTTP/1.1 501 ")), answer


async def test_requests_with_flipped_bytes_are_never_an_internal_error(slow_site):
    """Whatever a broken or hostile client sends, it gets an answer of the 2xx or 4xx kind, or a closed connection."""
    chosen = random.Random(20261121)
    whole = slow_site.signed("PUT", "/open/key?x-id=PutObject", {"Content-Length": "5", "Expect": "100-continue"})
    chunked = slow_site.signed("PUT", "/open/key", {"Transfer-Encoding": "chunked"})
    requests = [whole + b"bytes", chunked + b"5\r\nbytes\r\n0\r\n\r\n", GET, LAST]
    for start in range(0, 300, 30):
        answers = await asyncio.gather(
            *[slow_site.ask(_mutated(chosen.choice(requests), chosen)) for _ in range(start, start + 30)]
        )
        for answer in answers:
            statuses = {int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]}
            assert statuses <= {100, 200, 400, 403, 404, 405, 411, 412, 416, 501}, answer
    reader, writer = await slow_site.connect()
    writer.write(slow_site.signed("PUT", "/open/key", {"Content-Length": "5"}) + b"bytes")
    assert (await receive(reader)).status == 200


def _mutated(request, chosen):
    data = bytearray(request)
    for _ in range(chosen.randint(1, 4)):
        at = chosen.randrange(len(data))
        match chosen.randrange(3):
            case 0:
                data[at] = chosen.randrange(256)
            case 1:
                del data[at : at + chosen.randint(1, 9)]
            case 2:
                data[at:at] = bytes([chosen.randrange(256)]) * chosen.randint(1, 9)
        data = data or bytearray(b"x")
    return bytes(data)


async def test_a_body_that_dribbles_is_not_waited_for_for_ever():
    async with serving(limits=Limits(stall_timeout=0.3, body_rate=1000, linger=0.1)) as site:
        reader, writer = await site.connect()
        writer.write(site.signed("PUT", "/open/key", {"Content-Length": "1000000"}))
        started = time.monotonic()

        async def dribble():
            while True:
                writer.write(b"x")
                await asyncio.sleep(0.05)

        dribbling = asyncio.create_task(dribble())
        reply = await receive(reader)
        dribbling.cancel()
        assert (reply.status, (await site.end()).error) == (400, "RequestTimeout")
        assert 0.25 < time.monotonic() - started < 5


async def test_a_body_that_came_fast_and_dribbles_then_is_not_waited_for_for_ever():
    async with serving(limits=Limits(stall_timeout=0.3, body_rate=1000, linger=0.1)) as site:
        reader, writer = await site.connect()
        writer.write(site.signed("PUT", "/open/key", {"Content-Length": "9000000"}) + bytes(8_000_000))

        async def dribble():
            while True:
                writer.write(b"x")
                await asyncio.sleep(0.05)

        dribbling = asyncio.create_task(dribble())
        reply = await receive(reader)
        dribbling.cancel()
        assert (reply.status, (await site.end()).error) == (400, "RequestTimeout")


async def test_by_default_a_body_of_which_a_byte_comes_now_and_then_is_not_waited_for_for_ever():
    class Slow:
        limits = Limits()
        now = 0.0

        def clock(self):
            return self.now

        async def receive(self, payload):
            self.now += self.limits.stall_timeout - 1
            payload.total_bytes += 1
            return b"x"

    slow = Slow()
    body = Exchange(slow, BadRequest(), SimpleNamespace(total_bytes=0, at_eof=lambda: False)).body()
    assert await anext(body) == b"x"
    with pytest.raises(RequestTimeout):
        await anext(body)


async def test_a_body_that_comes_slowly_but_fast_enough_is_taken():
    async with serving(limits=Limits(stall_timeout=0.2, body_rate=1000, linger=0.1)) as site:
        reader, writer = await site.connect()
        writer.write(site.signed("PUT", "/open/key", {"Content-Length": "20000"}))
        for _ in range(10):
            await asyncio.sleep(0.05)
            writer.write(b"x" * 2000)
        assert (await receive(reader)).status == 200


async def test_a_body_that_nobody_wants_and_that_dribbles_ends_the_connection():
    async with serving(limits=Limits(stall_timeout=0.3, linger=0.2)) as site:
        reader, writer = await site.connect()
        writer.write(b"PUT /closed/key HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        assert (await receive(reader)).status == 403

        async def dribble():
            while True:
                writer.write(b"x")
                await asyncio.sleep(0.05)

        dribbling = asyncio.create_task(dribble())
        assert await asyncio.wait_for(reader.read(), 5) == b""
        dribbling.cancel()
