"""Whoever is cancelled goes on only when the thread that works for him is done."""

import asyncio
import errno
import gc
import threading

import pytest

from gateway.backends.local.threads import Threads
from gateway.errors import ServiceUnavailable


@pytest.fixture
async def threads():
    threads = Threads("test", 1)
    yield threads
    await threads.close()


class Work:
    """Work that ends when it is told to."""

    def __init__(self):
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.is_done = False

    def __call__(self):
        self.begun.set()
        assert self.may_end.wait(10)
        self.is_done = True


async def test_a_cancelled_caller_waits_for_its_thread(threads):
    work = Work()
    caller = asyncio.create_task(threads.run(work))
    await asyncio.to_thread(work.begun.wait)
    for _ in range(3):
        caller.cancel()
        await asyncio.wait([caller], timeout=0.05)
        assert not caller.done()
    work.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert work.is_done


async def test_what_did_not_begin_before_it_was_cancelled_never_does(threads):
    busy, waiting = Work(), Work()
    waiting.may_end.set()
    first = asyncio.create_task(threads.run(busy))
    await asyncio.to_thread(busy.begun.wait)
    second = asyncio.create_task(threads.run(waiting))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    busy.may_end.set()
    await first
    assert not waiting.begun.is_set()


async def test_what_must_be_done_is_done_though_the_caller_is_cancelled_before_it_begins(threads):
    busy, needed = Work(), Work()
    needed.may_end.set()
    first = asyncio.create_task(threads.run(busy))
    await asyncio.to_thread(busy.begun.wait)
    second = asyncio.create_task(threads.surely(needed))
    await asyncio.sleep(0)
    second.cancel()
    busy.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await second
    await first
    assert needed.is_done


async def test_an_error_of_the_system_is_told_in_the_words_of_s3(threads):
    def fail():
        raise OSError(errno.EIO, "broken", "/where/our/files/are")

    for call in (threads.run(fail), threads.surely(fail)):
        with pytest.raises(ServiceUnavailable) as caught:
            await call
        assert "/where" not in str(caught.value)


async def test_an_error_that_was_told_is_not_logged_as_one_that_nobody_saw(threads):
    def fail():
        raise OSError(errno.EIO, "broken")

    unseen = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
    with pytest.raises(ServiceUnavailable):
        await threads.surely(fail)
    gc.collect()
    assert unseen == []


async def test_one_call_after_another_needs_one_thread():
    threads = Threads("test", 4)
    names = {await threads.run(lambda: threading.current_thread().name) for _ in range(20)}
    assert names == {"test-0"}
    await threads.close()


async def test_no_more_threads_are_at_work_than_there_may_be_and_all_calls_are_made():
    threads, lock, at_work, most = Threads("test", 3), threading.Lock(), 0, 0
    meeting = threading.Barrier(3)

    def work(number):
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        meeting.wait(10)
        with lock:
            at_work -= 1
        return number

    assert await asyncio.gather(*(threads.run(work, number) for number in range(12))) == list(range(12))
    assert most == 3
    await threads.close()


async def test_what_was_asked_for_is_done_before_the_threads_end(threads):
    busy, queued = Work(), Work()
    queued.may_end.set()
    calls = [asyncio.create_task(threads.run(work)) for work in (busy, queued)]
    await asyncio.to_thread(busy.begun.wait)
    closing = asyncio.create_task(threads.close())
    await asyncio.sleep(0)
    busy.may_end.set()
    await asyncio.gather(closing, *calls)
    assert queued.is_done
    with pytest.raises(RuntimeError):
        await threads.run(queued)
