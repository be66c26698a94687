"""During an outage of the primary, or while it is healed, something else fails too."""

import os
import time

import pytest

from tests.faults.history import sha256
from tests.faults.proxy import Fault
from tests.outages.record import Record
from tests.outages.world import eventually, outages

EPOCH = "select coalesce(sum(epoch), 0) from route"


@pytest.mark.faults
def test_the_primary_may_go_again_while_it_is_healed(world):
    bodies = {f"key {number}": os.urandom(20_000) for number in range(60)}
    world.fail_over()
    for key, body in bodies.items():
        assert world.client.put(key, body).ok
    world.up(fault=Fault(delay=0.15))
    eventually(lambda: world.mode() == "HEALING" and 0 < world.left()["key_state"] < len(bodies))
    world.fail_over()
    assert world.rows()
    eventually(lambda: {world.client.get(key).status for key in bodies} == {200})  # mirrors may have to catch up first
    assert {key: world.client.read(key).body for key in bodies} == bodies
    assert world.client.put("key 1", b"second outage").ok
    assert world.client.delete("key 2").ok
    world.up()
    expected = bodies | {"key 1": b"second outage"}
    del expected["key 2"]
    world.check_settled({key: sha256(body) for key, body in expected.items()})


def test_without_the_fallback_an_outage_refuses_what_only_it_could_tell_or_take(world):
    for key in ("mirrored", "deleted", "old"):
        assert world.client.put(key, b"old").ok
    world.await_settled()
    world.fail_over()
    assert world.client.put("old", b"new").ok
    world.ways["mirror"].set(Fault(delay=0.01))
    world.down("fallback")
    assert world.client.put("key", b"value").was_refused
    assert world.client.delete("deleted").status == 204
    assert world.client.get("deleted").status == 404
    assert world.client.get("old").status == 503
    assert world.client.read("mirrored").body == b"old"
    world.up("fallback")
    world.up()
    world.check_settled({"mirrored": sha256(b"old"), "old": sha256(b"new")})


def test_without_the_fallback_deletes_are_healed_and_the_rest_waits_for_it(world):
    for key in ("deleted", "old"):
        assert world.client.put(key, b"old").ok
    world.await_settled()
    world.fail_over()
    assert world.client.put("old", b"new").ok
    assert world.client.delete("deleted").status == 204
    world.down("fallback")
    world.up()
    eventually(lambda: world.rows() == {"old"} and world.mode() == "HEALING")
    assert world.stored("primary") == {"old": sha256(b"old")}
    assert world.client.get("old").status == 503
    assert world.client.put("old", b"newer").was_refused
    eventually(lambda: world.client.put("other", b"value").ok)
    assert world.mode() == "HEALING"
    world.up("fallback")
    world.check_settled({"old": sha256(b"new"), "other": sha256(b"value")})


@pytest.mark.faults
def test_what_a_client_overwrites_while_it_is_healed_is_the_client_s(world):
    record = Record()
    world.fail_over()
    keys = [f"key {number}" for number in range(8)]
    for key in keys:
        record.put(world.client, key, os.urandom(100_000))
    world.up(fault=Fault(delay=0.2))
    world.await_mode("HEALING")
    for key in keys:
        eventually(lambda key=key: record.put(world.client, key, f"newest of {key}".encode()).ok)
        record.get(world.client, key)
    world.up()
    world.check_settled({key: sha256(f"newest of {key}".encode()) for key in keys})
    record.check()


@pytest.mark.faults
def test_a_primary_that_comes_and_goes_breaks_no_promise(world):
    record = Record()
    with record.under_load([world.client]):
        for _ in range(int(os.environ.get("OUTAGE_FLAPS", "8"))):
            world.down()
            record.await_acknowledged(10)
            world.up()
            record.await_acknowledged(10)
    world.await_settled()
    record.check()
    assert world.stored("primary") == world.stored("mirror")


@pytest.mark.faults
def test_a_primary_that_comes_and_goes_quickly_has_the_mode_changed_once_at_most(tmp_path):
    """Neither is it gone for as long as is waited, nor back: the mode does not follow it, whoever is refused."""
    record = Record()
    with outages(tmp_path, down_after="3s", up_after="20s") as world:
        world.await_baseline()
        [[before]] = world.query(EPOCH)
        with record.under_load([world.client]):
            for _ in range(int(os.environ.get("OUTAGE_FLAPS", "8")) * 2):
                world.down()
                time.sleep(0.3)  # how long it is there and not is what this is about
                world.up()
                time.sleep(0.3)
        [[after]] = world.query(EPOCH)
        assert after - before <= 1
        world.await_settled()
        record.check()
        assert world.stored("primary") == world.stored("mirror")
