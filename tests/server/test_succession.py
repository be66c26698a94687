"""Gateways that follow one another."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from gateway.server.limits import Limits
from gateway.server.succession import Gateway, Succession
from gateway.sharing import Sharing


class Answering:
    """A gateway that answers when it is told to, and remembers its life."""

    def __init__(self, name, lives):
        self.name, self.lives, self.go, self.asked = name, lives, asyncio.Event(), asyncio.Event()

    async def handle(self, exchange):
        self.asked.set()
        await self.go.wait()
        self.lives.append(f"{self.name} answered {exchange}")

    @asynccontextmanager
    async def opened(self):
        self.lives.append(f"{self.name} opened")
        yield Gateway(self.handle, {}, Limits(), 1.0)
        self.lives.append(f"{self.name} closed")


async def settled(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  there is nothing else that tells
            await asyncio.sleep(0)


async def test_the_new_gateway_answers_at_once_and_the_old_one_ends_after_its_last_answer():
    lives = []
    old, new = Answering("old", lives), Answering("new", lives)
    async with Succession() as succession:
        await succession.follow(old.opened())
        first = asyncio.create_task(succession("first"))
        await old.asked.wait()
        await succession.follow(new.opened())
        new.go.set()
        await succession("second")
        assert lives == ["old opened", "new opened", "new answered second"]
        assert succession.count == 2
        old.go.set()
        await first
        await settled(lambda: succession.count == 1)
        assert lives[3:] == ["old answered first", "old closed"]
    assert lives[5:] == ["new closed"]


async def test_an_old_gateway_that_answers_nobody_is_closed_at_once():
    lives = []
    async with Succession() as succession:
        await succession.follow(Answering("old", lives).opened())
        await succession.follow(Answering("new", lives).opened())
        await settled(lambda: succession.count == 1)
    assert lives == ["old opened", "new opened", "old closed", "new closed"]


async def test_a_gateway_that_cannot_be_opened_leaves_the_old_one_in_force():
    lives = []
    old = Answering("old", lives)
    old.go.set()

    @asynccontextmanager
    async def broken():
        raise ValueError("no")
        yield

    async with Succession() as succession:
        await succession.follow(old.opened())
        with pytest.raises(ValueError, match="no"):
            await succession.follow(broken())
        await succession("request")
        await settled(lambda: succession.count == 1)
    assert lives == ["old opened", "old answered request", "old closed"]


async def test_a_gateway_that_fails_to_answer_is_closed_all_the_same():
    @asynccontextmanager
    async def failing():
        async def handle(_):
            raise ValueError("no")

        yield Gateway(handle, {}, Limits(), 1.0)

    async with Succession() as succession:
        await succession.follow(failing())
        with pytest.raises(ValueError, match="no"):
            await succession("request")


class Counted:
    """What is opened and closed, and how often."""

    def __init__(self):
        self.opened = self.closed = 0

    @asynccontextmanager
    async def open(self):
        self.opened += 1
        yield self.opened
        self.closed += 1


async def test_what_several_want_is_opened_once_and_closed_by_the_last():
    sharing, counted = Sharing(), Counted()
    first, second = sharing.use("a", counted.open), sharing.use("a", counted.open)
    assert (await first.__aenter__(), await second.__aenter__()) == (1, 1)
    await first.__aexit__(None, None, None)
    assert (counted.opened, counted.closed) == (1, 0)
    async with sharing.use("a", counted.open), sharing.use("b", counted.open) as other:
        assert other == 2
    await second.__aexit__(None, None, None)
    assert (counted.opened, counted.closed) == (2, 2)
    async with sharing.use("a", counted.open) as anew:
        assert anew == 3


async def test_what_could_not_be_opened_is_tried_again():
    sharing, counted = Sharing(), Counted()

    @asynccontextmanager
    async def broken():
        raise OSError("no")
        yield

    with pytest.raises(OSError, match="no"):
        async with sharing.use("a", broken):
            pass
    async with sharing.use("a", counted.open) as thing:
        assert thing == 1
