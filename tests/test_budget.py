"""What bodies hold together stays below a limit, and who has to wait for room waits in turn, and not for ever."""

import asyncio
from contextlib import suppress

import pytest

from gateway import budget
from gateway.budget import Budget
from gateway.errors import SlowDown


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(budget, "PATIENCE", 0.05)


async def turns():
    """Let everybody who can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_fits_is_given_at_once():
    room = Budget(10)
    assert (await room.take(4), await room.take(6), room.used) == (4, 6, 10)
    room.give(6)
    assert room.used == 4


async def test_who_came_first_is_given_room_first_however_little_the_others_want():
    room, given = Budget(10), []

    async def take(size):
        async with room.held(size):
            given.append(size)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks, room.held(8):
        for size in (9, 1, 2, 8):
            tasks.create_task(take(size))
        await turns()
        assert given == []
    assert given == [9, 1, 2, 8]
    assert room.used == 0


async def test_who_wants_more_than_there_ever_is_gets_all_there_is():
    room = Budget(10)
    async with room.held(100):
        assert room.used == 10
    assert room.used == 0


async def test_who_waits_for_too_long_is_told_to_come_back(impatient):
    room = Budget(10)
    async with room.held(10):
        with pytest.raises(SlowDown) as refused:
            await room.take(1)
    assert refused.value.headers == {"Retry-After": "1"}
    assert (room.used, await room.take(10)) == (0, 10)


async def test_those_behind_one_who_gave_up_are_let_in(impatient, monkeypatch):
    room = Budget(10)
    async with room.held(6):
        large = asyncio.create_task(room.take(5))
        await turns()
        monkeypatch.setattr(budget, "PATIENCE", 20)
        small = asyncio.create_task(room.take(4))
        with pytest.raises(SlowDown):
            await large
        assert await small == 4


@pytest.mark.parametrize("given_before", [False, True])
async def test_who_is_cancelled_keeps_nothing(given_before):
    room = Budget(10)
    taken = await room.take(10)
    waiting = asyncio.create_task(room.take(3))
    await turns()
    if given_before:
        room.give(taken)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    if not given_before:
        room.give(taken)
    assert (room.used, await room.take(10)) == (0, 10)


async def test_what_must_not_wait_is_counted_all_the_same():
    room = Budget(10)
    async with room.held(10):
        with room.counted(5):
            assert room.used == 15
    assert room.used == 0


async def test_another_limit_lets_those_in_who_wait():
    room = Budget(10)
    await room.take(10)
    waiting = asyncio.create_task(room.take(5))
    await turns()
    room.set_limit(20)
    assert await waiting == 5


async def test_a_smaller_limit_holds_nobody_who_waited_for_more_than_that():
    room = Budget(10)
    taken = await room.take(10)
    large, small = asyncio.create_task(room.take(8)), asyncio.create_task(room.take(1))
    await turns()
    room.set_limit(4)
    room.give(taken)
    assert await large == 8
    assert not small.done()
    room.give(8)
    assert await small == 1
