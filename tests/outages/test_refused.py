"""A mirror refuses one key, however often it is asked, and takes all others."""

import os
import signal
from collections.abc import Sequence

import pytest
import yaml
from click.testing import CliRunner

from gateway.cli import main
from tests.faults.history import sha256
from tests.outages.world import ACCOUNT, BUCKET, World, eventually

REFUSED, OTHERS = "refused", ("other/1", "other/2", "other/3")
ALL_BUT_ONE = ("* primary primary/* fallback fallback/*", "* mirror mirror/.gw/* mirror/other/* mirror/nothing*")


def allow(world: World, grants: Sequence[str]) -> None:
    """Have the gateway's account at the storages may do that only."""
    far = world.far
    config = {**far.config(), "keys": [{**ACCOUNT, "allow": [*grants]}]}
    scratch = far.folder / "scratch"
    scratch.write_text(yaml.safe_dump(config))
    scratch.replace(far.folder / "config.yaml")
    far.process.send_signal(signal.SIGHUP)


@pytest.fixture
def refusing(world):
    allow(world, ALL_BUT_ONE)
    yield world
    allow(world, ["*"])


def dead(world: World) -> float:
    return world.metric("gateway_mirror_dead_objects")


def test_a_key_that_a_mirror_refuses_keeps_no_other_from_it_is_given_up_and_copied_when_it_is_told_to_be(refusing):
    world = refusing
    bodies = {key: os.urandom(1000) for key in (REFUSED, *OTHERS)}
    for key, body in bodies.items():
        assert world.client.put(key, body).ok
    expected = {key: sha256(body) for key, body in bodies.items()}
    taken = {key: expected[key] for key in OTHERS}
    eventually(lambda: world.stored("mirror") == taken, lambda: world.stored("mirror"))
    eventually(lambda: dead(world) == 1)
    assert world.left()["task"] == 1
    assert world.metric("gateway_mirror_pending_objects") == 1

    world.fail_over()
    assert world.client.get(REFUSED).headers["x-gw-reason"] == "not-current"
    assert {key: sha256(world.client.read(key).body) for key in OTHERS} == taken
    world.up()
    world.await_mode("NORMAL")
    assert sha256(world.client.read(REFUSED).body) == expected[REFUSED]
    assert world.stored("mirror") == taken

    allow(world, ["*"])
    said = CliRunner().invoke(main, ["mirror", "retry", BUCKET, "--config", str(world.gateway.folder / "config.yaml")])
    assert said.output == "mirror: 1 key is tried again\n"
    world.check_settled(expected)
    eventually(lambda: dead(world) == 0)
    world.fail_over()
    assert sha256(world.client.read(REFUSED).body) == expected[REFUSED]
