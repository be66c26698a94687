"""Real servers on 127.0.0.1, with certificates that were made for the test."""

import asyncio
import hmac
import json
import ssl
import time
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from gateway.config import ConfigError
from gateway.images import hook
from gateway.images.hook import SIGNATURE, Receiver, telling_of
from gateway.server.bind import StartError
from tests.images.bench import AT, BOTH, bench_of, config_of
from tests.images.makers import jpeg
from tests.server import certificates

SECRET = "a secret of the two"
PATIENCE_S = 30
TOLD = {"bucket": "media", "key": "in/ü.jpg"}


def count(result):
    return REGISTRY.get_sample_value("gateway_image_hooks_total", {"result": result}) or 0


class Program:
    """Who is told: he answers what he is given to answer, then 204."""

    def __init__(self):
        self.got = asyncio.Queue()
        self.answers = []
        self.paths = []

    async def answer(self, request):
        self.paths.append(request.path)
        body = await request.read()
        answer = self.answers.pop(0) if self.answers else web.Response(status=204)
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            answer = web.Response(status=204)
        if answer.status < 300:
            self.got.put_nowait((request.headers, body))
        return answer

    async def told(self):
        return await asyncio.wait_for(self.got.get(), PATIENCE_S)


@asynccontextmanager
async def listening(program, folder):
    folder.mkdir(exist_ok=True)
    certificate, key = certificates.make(folder, "program")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", program.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    try:
        yield Receiver(f"https://127.0.0.1:{runner.addresses[0][1]}/images?token=hidden", SECRET, 20, certificate)
    finally:
        await runner.cleanup()


@pytest.fixture
def program():
    return Program()


@pytest.fixture
async def receiver(program, tmp_path):
    async with listening(program, tmp_path / "tls") as receiver:
        yield receiver


async def counted(result, more):
    async with asyncio.timeout(PATIENCE_S):
        while count(result) < more:  # noqa: ASYNC110  a metric tells nobody
            await asyncio.sleep(0.01)


async def test_what_is_told_is_signed_with_its_moment(program, receiver):
    before = count("delivered")
    async with telling_of(receiver) as tell:
        tell("image_made", TOLD)
        headers, body = await program.told()
    assert json.loads(body) == {"event": "image_made", **TOLD}
    assert headers["content-type"] == "application/json"
    moment, _, told = headers[SIGNATURE].removeprefix("t=").partition(",v1=")
    assert told == hmac.digest(SECRET.encode(), f"{moment}.".encode() + body, "sha256").hex()
    assert abs(time.time() - int(moment)) < PATIENCE_S
    assert count("delivered") == before + 1


async def test_it_is_tried_again_and_never_elsewhere(program, receiver, tmp_path):
    stranger = Program()
    async with listening(stranger, tmp_path / "other") as other:
        program.answers = [web.Response(status=503), web.Response(status=307, headers={"Location": other.url})]
        async with telling_of(receiver, pauses=(0.0, 0.0, 0.0)) as tell:
            tell("image_made", TOLD)
            await program.told()
    assert program.paths == ["/images"] * 3
    assert stranger.paths == []


async def test_what_cannot_be_told_is_given_up_and_the_next_one_is_told(program, receiver):
    failed = count("failed")
    program.answers = [web.Response(status=500), web.Response(status=404)]
    with capture_logs() as logs:
        async with telling_of(receiver, pauses=(0.0,)) as tell:
            tell("image_made", TOLD)
            await counted("failed", failed + 1)
            tell("image_unfit", TOLD)
            assert json.loads((await program.told())[1])["event"] == "image_unfit"
    [line] = logs
    assert (line["event"], line["error"]) == ("image_hook_failed", "404")
    assert "hidden" not in str(logs)
    assert SECRET not in str(logs)


async def test_who_cannot_prove_who_he_is_is_told_nothing(program, receiver, tmp_path):
    failed = count("failed")
    (tmp_path / "others").mkdir()
    other, _ = certificates.make(tmp_path / "others", "other")
    async with telling_of(Receiver(receiver.url, SECRET, 20, other), pauses=()) as tell:
        tell("image_made", TOLD)
        await counted("failed", failed + 1)
    assert program.paths == []


async def test_a_receiver_that_does_not_answer_in_time_has_failed(program, receiver):
    failed, never = count("failed"), asyncio.Event()
    program.answers = [never]
    async with telling_of(Receiver(receiver.url, SECRET, 0.05, receiver.ca), pauses=()) as tell:
        tell("image_made", TOLD)
        await counted("failed", failed + 1)
    never.set()


async def test_what_is_too_much_is_dropped_and_nobody_waits(program, receiver, monkeypatch):
    monkeypatch.setattr(hook, "WAITING", 5)
    dropped, late = count("dropped"), asyncio.Event()
    program.answers = [late] * hook.AT_ONCE
    async with telling_of(receiver) as tell:
        for _ in range(20):
            tell("image_made", TOLD)
        assert count("dropped") == dropped + 15
        late.set()
        for _ in range(5):
            await program.told()


async def test_an_image_is_told_when_its_variants_are_there(program, receiver, tmp_path):
    said = {"url": receiver.url, "secret": SECRET, "ca": str(receiver.ca)}
    late = asyncio.Event()
    async with bench_of(tmp_path, top={"webhook": said}, mode="sync") as bench:
        program.answers = [late]
        info = await bench.put(jpeg())  # while he has not answered
        late.set()
        told = json.loads((await program.told())[1])
        assert await bench.keys() == BOTH
        assert (told["event"], told["bucket"], told["key"], told["etag"]) == ("image_made", *AT[:2], info.etag)
        assert set(told["variants"].values()) == BOTH - {AT.key}
        await bench.put(b"no image")
        told = json.loads((await program.told())[1])
        assert (told["event"], told["key"], told["reason"]) == ("image_unfit", AT.key, "not_an_image")


@pytest.mark.parametrize(
    "url",
    [
        "http://app.example.com/",
        "https://",
        "https://user:password@app.example.com/",
        "https://app.example.com/#x",
        "https://app.example.com:port/",
        "file:///etc/passwd",
        "//app.example.com/",
    ],
)
def test_only_whole_urls_with_tls_are_accepted(tmp_path, url):
    with pytest.raises(ConfigError, match="expected https://host/path"):
        config_of(tmp_path, top={"webhook": {"url": url, "secret": SECRET}})


def test_the_secret_is_long_enough_and_nowhere_to_be_seen(tmp_path):
    with pytest.raises(ConfigError, match=r"images\.webhook\.secret"):
        config_of(tmp_path, top={"webhook": {"url": "https://a/", "secret": "short"}})
    config = config_of(tmp_path, top={"webhook": {"url": "https://a/", "secret": SECRET}})
    assert SECRET not in repr(config)
    assert SECRET not in repr(Receiver("https://a/", SECRET))


async def test_authorities_that_are_not_there_are_told_at_the_start(tmp_path):
    said = {"url": "https://a/", "secret": SECRET, "ca": str(tmp_path / "nowhere")}
    with pytest.raises(StartError, match=r"images\.webhook\.ca"):
        async with bench_of(tmp_path, top={"webhook": said}):
            pass
