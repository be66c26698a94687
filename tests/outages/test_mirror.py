"""A mirror falls behind and catches up; it loses nothing that nobody deleted."""

import os
import time

import pytest

from tests.faults.history import sha256
from tests.outages.record import Record
from tests.outages.world import eventually, outages


def test_a_mirror_that_was_away_gets_each_key_once_however_often_it_was_written(world):
    bodies = {}
    copied = world.metric("gateway_mirror_objects_total", result="copied")
    began = time.monotonic()
    world.down("mirror")
    for number in range(100):
        key = f"key {number % 50}"
        bodies[key] = os.urandom(100)
        assert world.client.put(key, bodies[key]).ok
    eventually(lambda: world.left()["op"] == 0)
    assert world.left()["task"] == 50
    eventually(lambda: world.metric("gateway_mirror_pending_objects") == 50)
    eventually(lambda: world.metric("gateway_mirror_oldest_pending_seconds") > 1)
    assert world.metric("gateway_mirror_oldest_pending_seconds") <= time.monotonic() - began
    world.up("mirror")
    world.check_settled({key: sha256(body) for key, body in bodies.items()})
    assert world.metric("gateway_mirror_objects_total", result="copied") - copied == 50
    eventually(lambda: world.metric("gateway_mirror_pending_objects") == 0)
    assert world.metric("gateway_mirror_oldest_pending_seconds") == 0


def test_a_mirror_keeps_what_vanished_from_the_primary_until_a_client_deletes_it(world):
    assert world.client.put("key", b"value").ok
    assert world.client.put("other", b"value").ok
    world.await_settled()
    world.down("mirror")
    assert world.client.put("key", b"newer").ok
    (world.far.objects / "primary" / "key").unlink()
    world.up("mirror")
    eventually(lambda: world.query("select attempts from task where token is null and attempts > 3"))
    assert world.stored("mirror") == {"key": sha256(b"value"), "other": sha256(b"value")}
    assert world.client.delete("key").ok
    world.check_settled({"other": sha256(b"value")})


def test_a_mirror_loses_nothing_when_the_bucket_of_the_primary_is_gone(world):
    """Neither an error nor a bucket that is not there says that an object was deleted."""
    assert world.client.put("key", b"value").ok
    assert world.client.put("other", b"value").ok
    world.await_settled()
    bucket, away = world.far.objects / "primary", world.far.objects / "away"
    world.down("mirror")
    assert world.client.put("key", b"newer").ok
    assert world.client.delete("other").ok
    bucket.rename(away)
    try:
        world.up("mirror")
        eventually(lambda: world.query("select count(*) from task where attempts > 1") == [(2,)])
        assert world.stored("mirror") == {"key": sha256(b"value"), "other": sha256(b"value")}
    finally:
        away.rename(bucket)
    world.check_settled({"key": sha256(b"newer")})


@pytest.mark.faults
def test_what_clients_write_while_a_mirror_is_filled_is_neither_lost_nor_brought_back(tmp_path):
    before = {f"load/{number}": b"from before" for number in range(12)}
    before |= {f"kept/{number}": os.urandom(300) for number in range(200)}
    record = Record()
    for key in before:
        record.was_there(key, before[key])
    with outages(tmp_path, before=before) as world:
        with record.under_load([world.client]):
            world.ways["mirror"].down()
            record.await_acknowledged(30)
            world.ways["mirror"].up()
            record.await_acknowledged(60)
        world.await_baseline()
        world.await_settled()
        assert world.stored("primary") == world.stored("mirror")
        assert all(world.stored("mirror")[key] == sha256(before[key]) for key in before if key.startswith("kept/"))
        record.check()
