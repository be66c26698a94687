"""What many ask for is done in one go, and each learns what became of his."""

import asyncio

import pytest

from gateway.errors import ServiceUnavailable
from gateway.replication.together import Together


class Slow:
    """Does what it is asked for when it is let."""

    def __init__(self):
        self.done, self.go_on = [], asyncio.Event()
        self.fails = False

    async def __call__(self, asked):
        await self.go_on.wait()
        self.done.append(list(asked))
        if self.fails:
            raise ServiceUnavailable
        return [f"{what} done" for what in asked]


async def asking(together, *asked):
    tasks = [asyncio.create_task(together.ask(what)) for what in asked]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_what_comes_while_the_first_is_done_is_done_together():
    slow = Slow()
    together = Together(slow)
    first = await asking(together, "a")
    others = await asking(together, "b", "c")
    slow.go_on.set()
    assert await asyncio.gather(*first, *others) == ["a done", "b done", "c done"]
    assert slow.done == [["a"], ["b", "c"]]


async def test_what_fails_fails_for_all_with_whom_it_was_done_and_for_nobody_else():
    slow = Slow()
    together = Together(slow)
    tasks = await asking(together, "a", "b")
    slow.fails = True
    slow.go_on.set()
    for task in tasks:
        with pytest.raises(ServiceUnavailable):
            await task
    slow.fails = False
    assert await together.ask("c") == "c done"


async def test_who_goes_takes_nothing_from_others():
    slow = Slow()
    together = Together(slow)
    first, gone, stays = await asking(together, "a", "b", "c")
    gone.cancel()
    slow.go_on.set()
    assert [await first, await stays] == ["a done", "c done"]


async def test_what_was_asked_for_by_those_who_went_away_is_waited_for():
    slow = Slow()
    together = Together(slow)
    [task] = await asking(together, "a")
    task.cancel()
    draining = asyncio.create_task(together.drained())
    await asyncio.sleep(0)
    assert not draining.done()
    slow.go_on.set()
    await draining
    assert slow.done == [["a"]]
