"""Keys are worked on side by side, as many as the window lets, and none waits for another that takes long."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from gateway.replication import crew as module
from gateway.replication.crew import Crew
from gateway.replication.window import Window


class Works:
    """Claims are numbers; `done` are those that were worked on, `held` those that wait until they are let go."""

    def __init__(self, count, *held):
        self.waiting, self.held = list(range(count)), {number: asyncio.Event() for number in held}
        self.asked, self.done, self.under_way, self.most = [], [], 0, 0
        self.telling, self.most_telling, self.told, self.hears = 0, 0, 0, asyncio.Event()
        self.hears.set()

    async def take(self, most):
        self.asked.append(most)
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        return taken

    async def work(self, number):
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(0)
            if number in self.held:
                await self.held[number].wait()
        finally:
            self.under_way -= 1
        self.done.append(number)

    async def tell(self, *_):
        """As a database that hears of nothing as long as `hears` is not set."""
        self.telling += 1
        self.most_telling = max(self.most_telling, self.telling)
        try:
            await self.hears.wait()
            self.told += 1
        finally:
            self.telling -= 1


@asynccontextmanager
async def at_work(works, window, work=None):
    running = asyncio.create_task(Crew(window, works.take, work or works.work, works.tell).run())
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.wait([running])


async def until(holds):
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  whatever is waited for
            await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(module, "IDLE", 0.001)


async def test_all_are_worked_on_and_never_more_at_once_than_may_be():
    works = Works(1000)
    async with at_work(works, Window(10)):
        await until(lambda: len(works.done) == 1000)
    assert works.most == 10
    assert max(works.asked) == 10


async def test_few_transactions_take_many():
    works = Works(1000)
    async with at_work(works, Window(10)):
        await until(lambda: len(works.done) == 1000)
    assert len([asked for asked in works.asked[:100] if asked < 5]) == 0


async def test_a_key_that_takes_long_keeps_no_other_one_waiting():
    works = Works(100, 0)
    async with at_work(works, Window(4)):
        await until(lambda: len(works.done) == 99)
        assert works.under_way == 1
        works.held[0].set()
        await until(lambda: len(works.done) == 100)


async def test_what_the_database_has_not_heard_of_yet_keeps_no_other_key_waiting_but_for_a_window_of_them():
    works = Works(1000)
    works.hears.clear()
    async with at_work(works, Window(10)):
        await until(lambda: len(works.done) == 20)
        for _ in range(200):
            await asyncio.sleep(0)
        assert (len(works.done), works.telling, works.under_way) == (20, 20, 0)
        works.hears.set()
        await until(lambda: len(works.done) == 1000)
    assert works.most == 10
    assert works.most_telling <= 20


async def test_what_comes_later_is_found_while_a_key_takes_long():
    works = Works(1, 0)
    async with at_work(works, Window(4)):
        await until(lambda: works.under_way == 1)
        works.waiting.append(7)
        await until(lambda: works.done == [7])


async def test_while_a_storage_does_not_answer_it_is_tried_now_and_then(monkeypatch):
    monkeypatch.setattr(module, "IDLE", 3600.0)
    works, window = Works(100), Window(10)

    async def fail(number):
        works.done.append(number)
        window.complains()

    async with at_work(works, window, fail):
        await until(lambda: works.done)
        for _ in range(200):
            await asyncio.sleep(0)
        assert len(works.done) <= 15


async def test_a_failure_that_nobody_foresaw_ends_one_key_only(capsys):
    works = Works(10)

    async def work(number):
        await works.work(number)
        if number == 3:
            raise RuntimeError

    async with at_work(works, Window(2), work):
        await until(lambda: len(works.done) == 10)
    assert "key_left" in capsys.readouterr().out


async def test_who_ends_it_waits_until_all_have_let_go():
    works = Works(4, 0, 1, 2, 3)
    async with at_work(works, Window(4)):
        await until(lambda: works.under_way == 4)
    assert works.under_way == 0
    assert works.done == []


async def test_who_ends_it_waits_until_what_is_done_is_told():
    works = Works(4)
    works.hears.clear()
    async with at_work(works, Window(4)) as running:
        await until(lambda: works.telling == 4)
        running.cancel()
        for _ in range(50):
            await asyncio.sleep(0)
        assert works.telling == 4
        works.hears.set()
        await asyncio.wait([running])
    assert (works.telling, works.told) == (0, 4)
