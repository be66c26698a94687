import asyncio

import pytest
from structlog.testing import capture_logs

from gateway.beside import beside


async def test_works_go_on_until_the_end_and_are_over_then():
    seen = []

    async def work():
        seen.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            seen.append("over")

    async with beside(work):
        await asyncio.sleep(0)
        assert seen == ["begun"]
    assert seen == ["begun", "over"]


async def test_a_work_that_fails_is_told_of_and_begun_again_while_the_others_go_on():
    tries, others = asyncio.Semaphore(0), []

    async def fails():
        tries.release()
        raise ValueError

    async def goes_on():
        try:
            await asyncio.Event().wait()
        finally:
            others.append("over")

    with capture_logs() as logs:
        async with beside(fails, goes_on, pause=0.001):
            for _ in range(3):
                await tries.acquire()
            assert others == []
    assert {(line["event"], line["log_level"]) for line in logs} == {("background_failed", "error")}


async def test_a_work_that_is_done_is_not_done_again():
    times = []

    async def ends():
        times.append(1)

    async with beside(ends, pause=0):
        await asyncio.sleep(0.01)
    assert times == [1]


async def test_what_goes_wrong_meanwhile_is_raised():
    with pytest.raises(KeyError):
        async with beside(asyncio.Event().wait):
            raise KeyError
