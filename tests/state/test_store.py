import asyncio
import threading

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import func, insert, select
from sqlalchemy.exc import DBAPIError

from gateway.errors import SlowDown
from gateway.state import StateUnavailable, line, open_store
from gateway.state.postgresql import Postgres
from gateway.state.schema import NODES
from tests.state.databases import empty


def wrote(name):
    """Return work that leaves a row."""

    def work(tx):
        tx.connection.execute(insert(NODES), {"id": name, "lease_until": tx.now})
        return name

    return work


def count(tx):
    return tx.connection.scalar(select(func.count()).select_from(NODES))


async def test_work_is_done_and_its_result_returned(store):
    assert await store.run(wrote("a")) == "a"
    assert await store.read(count) == 1


async def test_what_work_raises_is_raised_and_undoes_this_work_only(store):
    def fails(tx):
        wrote("gone")(tx)
        raise LookupError("mine")

    ends = await asyncio.gather(
        store.run(wrote("a")), store.run(fails), store.run(wrote("b")), store.run(fails), return_exceptions=True
    )
    assert [type(end) for end in ends] == [str, LookupError, str, LookupError]
    assert await store.read(count) == 2


async def test_an_error_of_the_work_s_own_is_not_the_database_s(store):
    await store.run(wrote("a"))
    for broken in (wrote("a"), lambda tx: tx.connection.exec_driver_sql("SELECT * FROM nowhere")):
        with pytest.raises(DBAPIError):
            await store.run(broken)
    assert await store.run(wrote("b")) == "b"


async def test_a_read_writes_nothing(store):
    with pytest.raises(StateUnavailable):
        await store.read(wrote("a"))
    assert await store.read(count) == 0


async def test_a_read_sees_one_moment(store):
    if isinstance(store, Postgres):
        pytest.skip("its work is done in the loop's own thread")
    loop, began, written = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    async def write():
        await began.wait()
        await store.run(wrote("a"))
        written.set()

    def twice(tx):
        first = count(tx)
        loop.call_soon_threadsafe(began.set)
        assert written.wait(10)
        return first, count(tx)

    assert (await asyncio.gather(store.read(twice), write()))[0] == (0, 0)
    assert await store.read(count) == 1


async def test_a_clock_goes_on_within_a_transaction_only_when_a_lock_was_waited_for(store):
    def moments(tx):
        first = tx.now
        same = tx.now == first
        tx.lock_route("media")
        return first, same, tx.now

    first, same, second = await store.run(moments)
    assert same
    assert second >= first
    assert await store.run(lambda tx: tx.now) > second


async def test_numbers_only_grow(store):
    some = await store.run(lambda tx: list(tx.gens(3)))
    more = await store.run(lambda tx: list(tx.gens(2)))
    assert sorted({*some, *more}) == [*some, *more]
    assert len(some + more) == 5


async def test_numbers_of_work_that_was_undone_are_not_given_below_others(store):
    def fails(tx):
        tx.gens(5)
        raise LookupError

    before = await store.run(lambda tx: tx.gens(1)[0])
    with pytest.raises(LookupError):
        await store.run(fails)
    assert await store.run(lambda tx: tx.gens(1)[0]) > before


async def test_who_locks_a_key_is_alone_with_it(store):
    def slow(tx):
        tx.lock_route("media", shared=True)
        tx.lock("media", "bucket", [b"b", b"a"])
        seen = count(tx)
        tx.connection.execute(insert(NODES), {"id": f"{seen}", "lease_until": 0.0})
        return seen

    assert sorted(await asyncio.gather(*(store.run(slow) for _ in range(20)))) == list(range(20))


async def test_who_locks_a_route_is_alone_with_it(store):
    def slow(tx):
        tx.lock_route("media")
        seen = count(tx)
        tx.connection.execute(insert(NODES), {"id": f"{seen}", "lease_until": 0.0})
        return seen

    assert sorted(await asyncio.gather(*(store.run(slow) for _ in range(20)))) == list(range(20))


async def test_who_would_wait_behind_too_many_is_not_let_in(store, monkeypatch):
    monkeypatch.setattr(line, "LONGEST", 30)
    store.admit()
    waiting = [asyncio.ensure_future(store.run(lambda _: None)) for _ in range(60)]
    await asyncio.sleep(0)
    before = refused()
    with pytest.raises(SlowDown):
        store.admit()
    assert refused() == before + 1
    await asyncio.gather(*waiting)
    store.admit()


async def test_who_would_wait_for_too_long_is_not_let_in(store, monkeypatch):
    waiting = [asyncio.ensure_future(store.run(lambda _: None)) for _ in range(20)]
    await asyncio.sleep(0)
    store.admit()
    monkeypatch.setattr(line, "SLOWEST", 0.0)
    with pytest.raises(SlowDown):
        store.admit()
    await asyncio.gather(*waiting)
    store.admit()


async def test_who_has_gone_away_does_not_wait_any_more(store, monkeypatch):
    monkeypatch.setattr(line, "LONGEST", 2)
    waiting = [asyncio.ensure_future(store.run(lambda _: None)) for _ in range(40)]
    await asyncio.sleep(0)
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    store.admit()


def refused():
    return REGISTRY.get_sample_value("gateway_limited_total", {"limit": "state"}) or 0.0


async def test_a_thousand_keys_are_locked_at_once(store):
    keys = [b"%d" % number for number in range(1000)]
    ends = await asyncio.gather(*(store.run(lambda tx: tx.lock("media", "bucket", keys)) for _ in range(3)))
    assert ends == [None] * 3


async def test_a_cancelled_caller_ends_and_the_store_goes_on(store):
    tasks = [asyncio.create_task(store.run(wrote(f"{number}"))) for number in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends[::2])
    assert ends[1::2] == [f"{number}" for number in range(1, 20, 2)]
    assert await store.read(count) >= 10


async def test_what_was_done_is_there_when_it_is_opened_again(kind, tmp_path):
    url = empty(kind, tmp_path)
    for number in range(3):
        async with open_store(url) as store:
            before = await store.run(lambda tx: (tx.gens(1)[0], tx.now))
            await store.run(wrote(f"{number}"))
        async with open_store(url) as store:
            after = await store.run(lambda tx: (tx.gens(1)[0], tx.now))
            assert after > before
            assert await store.read(count) == number + 1


async def test_who_opens_it_at_the_same_time_finds_the_same_tables(kind, tmp_path):
    url = empty(kind, tmp_path)

    async def use(name):
        async with open_store(url) as store:
            await store.run(wrote(name))
            return await store.read(count)

    assert max(await asyncio.gather(*(use(f"{number}") for number in range(5)))) <= 5
    async with open_store(url) as store:
        assert await store.read(count) == 5


async def test_numbers_can_be_raised_and_never_go_back(store):
    [first] = await store.run(lambda tx: tx.gens(1))
    assert await store.run(lambda tx: tx.outrun(0)) >= first
    assert await store.run(lambda tx: tx.outrun(first + 1000)) == first + 1000
    assert await store.run(lambda tx: tx.outrun(first)) == first + 1000
    assert await store.run(lambda tx: list(tx.gens(2))) == [first + 1001, first + 1002]
