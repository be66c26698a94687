"""Errands: made on threads beside the event loop, and told of where they are waited for."""

import asyncio
import gc
import weakref
from functools import partial
from threading import Event, current_thread, main_thread

import pytest

from gateway import hashing
from gateway.errors import BadDigest
from gateway.hashing import Errand


async def test_an_errand_is_made_beside_the_event_loop():
    assert await Errand(lambda *numbers: (sum(numbers), current_thread() is main_thread()), 1, 2).result() == (3, False)


async def test_what_an_errand_raises_is_raised_where_it_is_waited_for():
    def fail():
        raise BadDigest

    for _ in range(2 * hashing.THREADS):  # the threads live on
        with pytest.raises(BadDigest):
            await Errand(fail).result()


async def test_an_errand_that_is_done_is_not_waited_for():
    errand = Errand(abs, -1)
    assert await errand.result() == 1
    with pytest.raises(StopIteration) as done:
        errand.result().send(None)
    assert done.value.value == 1


async def test_each_of_many_errands_has_its_own_result():
    results = await asyncio.gather(*(Errand(pow, number, 2).result() for number in range(500)))
    assert results == [number * number for number in range(500)]


@pytest.mark.skipif(hashing.THREADS < 2, reason="there is one thread")
async def test_an_errand_does_not_wait_behind_one_that_takes_long():
    go = Event()
    first = Errand(go.wait)
    for number in range(10):
        assert await Errand(abs, -number).result() == number
    go.set()
    assert await first.result()


async def test_whoever_is_cancelled_leaves_an_errand_to_its_thread():
    go, made = Event(), Event()

    def work():
        go.wait()
        made.set()

    waiting = asyncio.create_task(Errand(work).result())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go.set()
    assert await asyncio.to_thread(made.wait, 10)


def test_an_errand_outlives_the_loop_that_waited_for_it():
    go = Event()

    async def leave():
        waiting = asyncio.create_task(Errand(go.wait).result())
        await asyncio.sleep(0)
        waiting.cancel()

    asyncio.run(leave())
    go.set()
    assert asyncio.run(Errand(abs, -1).result()) == 1


async def test_nothing_holds_the_bytes_of_an_errand_that_is_done():
    class Piece(bytearray):
        pass

    piece = Piece(1000)
    held = weakref.ref(piece)
    errand = Errand(len, piece)
    assert await errand.result() == 1000
    del piece
    gc.collect()
    assert held() is None


async def test_nothing_holds_what_an_errand_raised_when_it_was_told():
    def fail():
        raise BadDigest

    gc.collect()
    gc.disable()  # so that nobody finds what only holds itself
    try:
        with pytest.raises(BadDigest) as told:
            await Errand(fail).result()
        held = weakref.ref(told.value)
        del told
        assert held() is None
    finally:
        gc.enable()


async def test_threads_share_what_is_to_be_done(monkeypatch):
    monkeypatch.setattr(hashing, "_runners", lambda: runners)
    runners = [hashing._Runner(), hashing._Runner(), hashing._Runner()]
    go = Event()
    errands = [Errand(partial(go.wait)) for _ in range(9)]
    assert [runner.load for runner in runners] == [3, 3, 3]
    go.set()
    assert all([await errand.result() for errand in errands])
