"""Every answer bears what a browser has to be told, whatever became of the request."""

import pytest

from gateway.cors import Cors, Rule
from gateway.message import Answer
from gateway.operations.row import Operation
from gateway.rates import Ledger
from gateway.server.throttle import Rate, Throttle
from tests.server.harness import head, receive, serving

APP = "https://app.example.com"
CORS = {"open": Cors([Rule([APP], ["GET", "PUT", "HEAD", "POST", "DELETE"], ["*"], ["ETag"], 3000)])}
VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"


@pytest.fixture
async def site():
    async with serving(cors=CORS) as site:
        await site.put("key", b"content")
        await site.put("large", bytes(2**20))
        await site.storage.create_bucket("closed", {})
        yield site


async def ask(site, method, path, headers=None, *, signed=False):
    reader, writer = await site.connect()
    sent = {"Origin": APP, "Content-Length": "0", **(headers or {})}
    request = (
        site.signed(method, path, sent) if signed else head(f"{method} {path} HTTP/1.1", {"Host": "gateway", **sent})
    )
    writer.write(request)
    return await receive(reader, bodiless=method == "HEAD")


def allowed(reply):
    return reply.headers.get("access-control-allow-origin")


@pytest.mark.parametrize(
    ("status", "method", "path", "headers"),
    [
        (200, "GET", "/open/key", {}),
        (200, "GET", "/open/large", {}),
        (200, "HEAD", "/open/key", {}),
        (206, "GET", "/open/key", {"Range": "bytes=1-2"}),
        (304, "GET", "/open/key", {"If-None-Match": "*"}),
        (400, "GET", "/open/key", {"x-amz-content-sha256": "none", "Authorization": "AWS4-HMAC-SHA256 nonsense"}),
        (403, "GET", "/open?acl", {}),
        (403, "PUT", "/open/key", {}),
        (403, "GET", "/open/key?AWSAccessKeyId=x&Signature=y&Expires=1", {}),
        (403, "GET", "/open/absent", {}),
        (405, "POST", "/open/key", {}),
        (412, "GET", "/open/key", {"If-Match": '"other"'}),
        (416, "GET", "/open/key", {"Range": "bytes=100-"}),
    ],
)
async def test_every_answer_to_a_page_can_be_read_by_it(site, status, method, path, headers):
    reply = await ask(site, method, path, headers)
    assert reply.status == status
    assert allowed(reply) == APP
    assert reply.headers["access-control-expose-headers"] == "ETag"
    assert reply.headers["access-control-allow-credentials"] == "true"
    assert reply.headers["vary"] == VARY


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/open/new", 200),
        ("DELETE", "/open/key", 204),
        ("GET", "/open/absent", 404),
        ("HEAD", "/open/absent", 404),
    ],
)
async def test_so_can_those_to_what_is_signed(site, method, path, status):
    reply = await ask(site, method, path, signed=True)
    assert (reply.status, allowed(reply)) == (status, APP)


async def test_so_can_one_of_untold_length(site, monkeypatch):
    async def pieces():
        yield b"<a/>"

    async def run(*_):
        return Answer(content=pieces())

    monkeypatch.setattr(Operation, "run", run)
    reply = await ask(site, "GET", "/open/key")
    assert (reply.headers["transfer-encoding"], reply.body, allowed(reply)) == ("chunked", b"<a/>", APP)


async def test_so_can_what_nobody_expected(site, monkeypatch):
    async def fail(*_):
        raise RuntimeError

    monkeypatch.setattr(site.storage, "head", fail)
    reply = await ask(site, "HEAD", "/open/key")
    assert (reply.status, allowed(reply)) == (500, APP)


async def test_a_page_is_told_to_come_back_later():
    throttle = Throttle(Ledger(), client=Rate(requests=1))
    async with serving(cors=CORS, throttle=throttle) as site:
        replies = [await ask(site, "GET", "/open/key") for _ in range(5)]
    assert 503 in {reply.status for reply in replies}
    assert {allowed(reply) for reply in replies} == {APP}


@pytest.mark.parametrize("path", ["/open/key", "/open/absent", "/open"])
async def test_a_preflight_is_answered_without_a_signature(site, path):
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type"}
    reply = await ask(site, "OPTIONS", path, asked)
    assert (reply.status, reply.body, allowed(reply)) == (200, b"", APP)
    assert reply.headers["access-control-allow-headers"] == "content-type"
    assert reply.headers["access-control-max-age"] == "3000"


async def test_a_preflight_that_is_refused_says_nothing_of_origins(site):
    reply = await ask(site, "OPTIONS", "/open/key", {"Access-Control-Request-Method": "PUT", "Origin": "https://evil"})
    assert reply.status == 403
    assert b"<Code>AccessForbidden</Code>" in reply.body
    assert not [name for name in reply.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("path", ["/closed/key", "/absent/key", "/"])
async def test_a_bucket_without_rules_is_silent(site, path):
    reply = await ask(site, "GET", path)
    assert not [name for name in reply.headers if name.startswith("access-control-") or name == "vary"]


async def test_a_cache_is_told_what_answers_depend_on_even_by_one_that_nobody_asked_for_from_a_page(site):
    reader, writer = await site.connect()
    writer.write(head("GET /open/key HTTP/1.1", {"Host": "gateway"}))
    reply = await receive(reader)
    assert (reply.headers["vary"], allowed(reply)) == (VARY, None)
