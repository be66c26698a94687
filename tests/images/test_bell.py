import asyncio
import os

from gateway.images.bell import Bell

PATIENCE_S = 10
MANY = 100_000  # rings: more than a pipe holds


async def heard(event):
    await asyncio.wait_for(event.wait(), PATIENCE_S)
    event.clear()


def ring_elsewhere(bell):
    child = os.fork()
    if not child:
        bell.ring()
        os._exit(0)
    os.waitpid(child, 0)


async def test_it_is_heard_from_another_process():
    bell, news = Bell(1), asyncio.Event()
    with bell.answered(news.set):
        ring_elsewhere(bell)
        await heard(news)


async def test_who_rings_before_anybody_answers_is_heard_by_who_comes():
    bell, news = Bell(1), asyncio.Event()
    for _ in range(MANY):
        bell.ring()
    with bell.answered(news.set):
        await heard(news)


async def test_the_one_who_comes_answers_when_the_one_before_has_gone():
    bell, old, new = Bell(1), asyncio.Event(), asyncio.Event()
    with bell.answered(new.set):
        with bell.answered(old.set):
            bell.ring()
            await asyncio.wait([asyncio.ensure_future(each.wait()) for each in (old, new)], timeout=PATIENCE_S)
        new.clear()
        old.clear()
        bell.ring()
        await heard(new)
        assert not old.is_set()


def test_it_is_for_one_process():
    assert [Bell(2).is_for(number) for number in range(4)] == [False, False, True, False]
