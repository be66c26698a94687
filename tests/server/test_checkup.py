"""The admin port tells what was found out of the backends, and is no way to spend somebody's money."""

import asyncio
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest

from gateway.server.admin import admin_server
from gateway.server.bind import bind
from gateway.server.checkup import EVERY, Checkup
from gateway.server.health import Board

HEALTHY = {"healthy": True, "problems": [], "backends": {}}


class Examination:
    """Counts how often it is begun, and lasts until it is told to end."""

    def __init__(self):
        self.begun, self.end, self.cleared = 0, asyncio.Event(), False

    async def __call__(self):
        self.begun += 1
        try:
            await self.end.wait()
        finally:
            self.cleared = True
        return HEALTHY


@asynccontextmanager
async def served(examine):
    (sock,) = bind("admin", "127.0.0.1", 0)
    port = sock.getsockname()[1]
    async with (
        admin_server([sock], Board(1, []), examine=examine),
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        yield session


async def asked(session, method="GET", **more):
    async with session.request(method, "/check", **more) as answer:
        text = await answer.text()
        return answer.status, json.loads(text) if text.startswith("{") else text, answer.headers


async def test_looking_has_nothing_examined():
    examination = Examination()
    async with served(examination) as session:
        for _ in range(3):
            status, told, _ = await asked(session)
            assert (status, told) == (200, {"running": False, "ended": None, "result": None})
        assert (await asked(session, "HEAD"))[0] == 200
    assert examination.begun == 0


async def test_who_asks_has_the_backends_examined_and_the_result_is_kept():
    examination = Examination()
    async with served(examination) as session:
        status, told, _ = await asked(session, "POST")
        assert (status, told["running"]) == (202, True)
        examination.end.set()
        while (told := (await asked(session))[1])["running"]:
            pass
        assert told["result"] == HEALTHY
        assert told["ended"]


async def test_there_are_never_two_at_once_nor_soon_after_each_other():
    examination = Examination()
    async with served(examination) as session:
        await asked(session, "POST")
        status, told, headers = await asked(session, "POST")
        assert (status, told["running"]) == (429, True)
        examination.end.set()
        while (await asked(session))[1]["running"]:
            pass
        status, _, headers = await asked(session, "POST")
        assert status == 429
        assert 0 < int(headers["Retry-After"]) <= EVERY
    assert examination.begun == 1


async def test_a_page_in_a_browser_cannot_have_anything_examined():
    examination = Examination()
    async with served(examination) as session:
        assert (await asked(session, "POST", headers={"Origin": "https://example.com"}))[0] == 403
    assert examination.begun == 0


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_other_methods_are_refused(method):
    async with served(Examination()) as session:
        status, _, headers = await asked(session, method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD, POST")


async def test_a_server_that_ends_waits_until_everything_is_cleared_away():
    examination = Examination()
    async with served(examination) as session:
        await asked(session, "POST")
    assert examination.cleared


async def test_an_examination_that_fails_is_over_and_harms_nothing():
    async def fails():
        raise RuntimeError

    checkup = Checkup(fails)
    assert checkup.begin() == 0
    await asyncio.wait([checkup._task])
    assert not checkup.report()["running"]
    assert checkup.report()["result"] is None
    await checkup.close()
