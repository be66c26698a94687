import asyncio

import pytest
from sqlalchemy import insert, select, text, update

from gateway.state import StateUnavailable, StateUnknown, open_store
from gateway.state.schema import NODES
from tests.doubles import postgresql
from tests.state.databases import WITHOUT

pytestmark = WITHOUT


@pytest.fixture
def kind():
    return "postgresql"


def wrote(name):
    return lambda tx: tx.connection.execute(insert(NODES), {"id": name, "lease_until": 0.0}).rowcount


def names(tx):
    return sorted(tx.connection.scalars(select(NODES.c.id)))


async def test_a_server_that_was_started_anew_is_not_noticed(store):
    await asyncio.gather(*(store.run(wrote(f"{number}")) for number in range(5)))
    server = postgresql.server()
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)
    assert await asyncio.gather(*(store.run(wrote(f"a{number}")) for number in range(5))) == [1] * 5
    assert len(await store.read(names)) == 10


async def test_a_server_that_is_away_is_unavailable(store):
    await store.run(wrote("a"))
    server = postgresql.server()
    await asyncio.to_thread(server.stop)
    try:
        for ask in (store.run(wrote("b")), store.read(names)):
            with pytest.raises(StateUnavailable):
                await ask
    finally:
        await asyncio.to_thread(server.start)
    assert await store.run(wrote("c")) == 1
    assert await store.read(names) == ["a", "c"]


async def test_a_server_that_was_never_there_is_told_at_once(tmp_path):
    with pytest.raises(StateUnavailable):
        async with open_store(f"postgresql://gateway@/nothing?host={tmp_path}"):
            pass


async def test_a_commit_whose_answer_is_lost_leaves_its_outcome_unknown(store):
    def cut_off(tx):
        wrote("a")(tx)
        # the server ends this connection when it is told to commit
        tx.connection.execute(text("CREATE TEMP TABLE trap (x int)"))
        tx.connection.execute(
            text(
                "CREATE FUNCTION pg_temp.spring() RETURNS trigger LANGUAGE plpgsql AS "
                "'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'"
            )
        )
        tx.connection.execute(
            text(
                "CREATE CONSTRAINT TRIGGER spring AFTER INSERT ON trap DEFERRABLE INITIALLY DEFERRED "
                "FOR EACH ROW EXECUTE FUNCTION pg_temp.spring()"
            )
        )
        tx.connection.execute(text("INSERT INTO trap VALUES (1)"))

    with pytest.raises(StateUnknown):
        await store.run(cut_off)
    assert await store.run(wrote("b")) == 1


async def test_work_that_met_a_deadlock_is_done_again(store):
    await store.run(wrote("a"))
    await store.run(wrote("b"))

    def touch(first, second):
        def work(tx):
            for name in (first, second):
                tx.connection.execute(update(NODES).where(NODES.c.id == name).values(lease_until=1.0))
                tx.connection.execute(text("SELECT pg_sleep(0.05)"))

        return work

    ends = await asyncio.gather(*(store.run(touch(*pair)) for pair in ("ab", "ba") * 2))
    assert ends == [None] * 4


async def test_nothing_is_answered_before_it_is_durable(store):
    settings = ("synchronous_commit", "transaction_isolation")
    found = await store.run(lambda tx: [tx.connection.scalar(text(f"SHOW {name}")) for name in settings])
    assert found == ["on", "read committed"]


async def test_more_callers_than_connections_wait_for_their_turn(store):
    def slow(tx):
        tx.connection.execute(text("SELECT pg_sleep(0.02)"))

    assert await asyncio.gather(*(store.run(slow) for _ in range(40))) == [None] * 40
