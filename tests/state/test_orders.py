import asyncio
from functools import partial

from gateway import orders
from gateway.beside import beside


async def test_orders_are_taken_once_in_the_order_in_which_they_were_given(store):
    for number, moment in (("1", "2026-01-01T00:00:02Z"), ("2", "2026-01-01T00:00:01Z")):
        await orders.leave(store, number, {"operation": "failover", "ordered": moment})
    assert [said["ordered"][-3:-1] for said in await orders._take(store)] == ["01", "02"]
    assert await orders._take(store) == []


async def test_what_was_left_is_told_by_who_comes_next(store, monkeypatch):
    told = asyncio.Queue()
    monkeypatch.setattr(orders, "tell_audit", lambda **said: told.put_nowait(said))
    await orders.leave(store, "1", {"operation": "failover", "ordered": "now"})
    async with beside(partial(orders._tell_for_ever, store)), asyncio.timeout(20):
        assert await told.get() == {"operation": "failover", "ordered": "now"}
