"""A storage is filled with what another one holds while clients go on, or by a gateway that is killed."""

import os

import pytest

from tests.faults.history import sha256
from tests.faults.proxy import Fault
from tests.outages.world import eventually, outages

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
KILLS = 20
LARGE = 4_000_000  # bytes, which take seconds on the way
WORKED_ON = "select key from task where token is not null"


def test_what_is_deleted_or_replaced_before_while_and_after_it_is_copied_is_so_on_both_sides(tmp_path):
    before = dict.fromkeys(("kept", "deleted before", "deleted after", "replaced after"), b"from before")
    before |= {key: os.urandom(LARGE) for key in ("deleted meanwhile", "replaced meanwhile")}
    expected = before | dict.fromkeys(("replaced meanwhile", "replaced after", "new"), b"newer")
    with outages(tmp_path, before=before, timeout="30s", faults={"mirror": Fault(held=True)}) as world:
        client = world.client

        def delete(key: str) -> None:
            assert client.delete(key).ok
            del expected[key]
            assert client.get(key).status == 404
            assert key not in (client.listing() or ())

        delete("deleted before")
        world.up("mirror", Fault(delay=0.02))
        large = {"deleted meanwhile", "replaced meanwhile"}
        eventually(lambda: large <= {bytes(key).decode() for [key] in world.query(WORKED_ON)}, world.left)
        assert not large & set(world.stored("mirror"))
        delete("deleted meanwhile")
        for key in ("replaced meanwhile", "new"):
            assert client.put(key, b"newer").ok
        world.up("mirror")
        world.await_baseline()
        delete("deleted after")
        assert client.put("replaced after", b"newer").ok
        world.check_settled({key: sha256(body) for key, body in expected.items()})
        world.fail_over()
        assert {key: client.read(key).body for key in expected} == expected
        assert {client.read(key).status for key in before.keys() - expected.keys()} == {404}
        assert client.listing() == set(expected)
        world.up()
        world.await_settled()


def test_a_gateway_that_is_killed_again_and_again_fills_a_storage_exactly(tmp_path):
    before = {f"{number % 7}/{number}": os.urandom(500) for number in range(KILLS * 40)}
    with outages(tmp_path, before=before, faults={"mirror": Fault(delay=0.05)}) as world:
        for _ in range(KILLS):
            there = len(world.stored("mirror"))
            eventually(lambda there=there: len(world.stored("mirror")) > there, lambda: world.gateway.log[-3000:])
            world.gateway.kill()
            assert len(world.stored("mirror")) < len(before)
            world.gateway.start()
        world.up("mirror")
        world.await_baseline()
        expected = {key: sha256(body) for key, body in before.items()}
        assert world.stored("primary") == expected
        assert world.stored("mirror") == expected
