"""The primary gets what it is sent, and its answers do not come; or it gets it late, when newer things are known."""

import pytest

from tests.faults.history import sha256
from tests.faults.proxy import Fault
from tests.outages.record import Record
from tests.outages.world import all_at_once, eventually, outages


@pytest.fixture
def world(tmp_path):
    with outages(tmp_path, timeout="1s", hold="5s") as world:
        world.await_baseline()
        yield world


def test_a_write_whose_answer_is_lost_is_unknown_and_tried_nowhere_else(world):
    world.ways["primary"].set(Fault(silent=True))
    answer = world.client.put("key", b"value")
    assert (answer.status, answer.headers["x-gw-applied"]) == (500, "unknown")
    assert world.stored("primary") == {"key": sha256(b"value")}
    assert world.staged() == set()
    world.up()
    eventually(lambda: world.client.get("key").body == b"value")
    world.check_settled({"key": sha256(b"value")})


@pytest.mark.faults
@pytest.mark.parametrize("newer", [b"newer", None])
def test_a_write_that_arrives_late_is_never_seen_over_a_newer_one(world, newer):
    record = Record()
    record.put(world.client, "key", b"old")
    world.await_settled()
    world.ways["primary"].set(Fault(held=True))
    assert record.put(world.client, "key", b"late").status == 500
    all_at_once([lambda: record.get(world.client, "key")] * 24)  # so many failures show that it is down
    world.await_mode("FAILOVER")  # before that the newer one would be late, too
    act = (lambda: record.put(world.client, "key", newer)) if newer else (lambda: record.delete(world.client, "key"))
    eventually(lambda: act().ok)
    world.ways["primary"].proxy.fault.silent = True
    world.ways["primary"].release()
    eventually(lambda: world.stored("primary") == {"key": sha256(b"late")})
    world.up()
    while not world.is_settled():
        record.get(world.client, "key")
    world.check_settled({"key": sha256(newer)} if newer else {})
    record.get(world.client, "key")
    record.check()


@pytest.mark.faults
def test_clients_of_a_primary_that_answers_nothing_see_one_history(world):
    record = Record()
    with record.under_load([world.client]):
        record.await_acknowledged(50)
        world.ways["primary"].set(Fault(silent=True))
        world.await_mode("FAILOVER")
        record.await_acknowledged(50)
        world.up()
        world.await_mode("NORMAL")
        record.await_acknowledged(20)
    world.await_settled()
    record.check()
    assert world.stored("primary") == world.stored("mirror")
