"""The gateway is killed at each point of its work between two steps that must not be torn apart."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.gateway_process import GatewayProcess
from tests.outages.record import Record
from tests.outages.world import World, eventually, outages

DYING = (sys.executable, str(Path(__file__).with_name("dying.py")))
JOURNAL, HEALER = "gateway.replication.journal:Journal", "gateway.replication.healer:Healer"
MIRRORING, MEMBER = "gateway.replication.mirroring:Mirroring", "gateway.replication.member:Member"
POINTS = [
    f"{JOURNAL}.begin before",
    f"{JOURNAL}.begin after",
    f"{JOURNAL}.settle before",
    f"{JOURNAL}.commit before",
    f"{JOURNAL}.commit after",
    f"{JOURNAL}.bury before",
    f"{JOURNAL}.bury after",
    f"{HEALER}.write before",
    f"{HEALER}.write after",
    f"{JOURNAL}.healed before",
    f"{JOURNAL}.healed after",
    f"{MIRRORING}.write before",
    f"{MIRRORING}.write after",
    f"{JOURNAL}.mirrored before",
    f"{JOURNAL}.mirrored after",
    f"{JOURNAL}.sweep after",
    f"{JOURNAL}.swept before",
    f"{JOURNAL}.swept after",
    f"{JOURNAL}.beat after",
    f"{MEMBER}.may_write after",
]

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


@contextmanager
def revived(gateway: GatewayProcess, flag: Path) -> Iterator[list[int]]:
    """Start a gateway again when it has died; what is given tells with which status it did."""
    died: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            status = gateway.process.poll()
            if status is not None:
                flag.unlink(missing_ok=True)
                died.append(status)
                gateway.start()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield died
    finally:
        ended.set()
        thread.join(60)


def go_through_an_outage(world: World, record: Record) -> None:
    for key in ("written", "deleted"):
        eventually(lambda key=key: record.put(world.client, key, os.urandom(9)).ok)
    world.down()
    for key in ("written", "new"):
        eventually(lambda key=key: record.put(world.client, key, os.urandom(9)).ok)
    eventually(lambda: record.delete(world.client, "deleted").ok)
    for key in ("written", "new", "deleted"):
        eventually(lambda key=key: record.get(world.client, key).status in {200, 404})
    world.up()
    world.await_settled()


@pytest.mark.parametrize("point", POINTS)
def test_a_gateway_that_is_killed_there_loses_nothing_and_brings_nothing_back(tmp_path, point):
    record, flag = Record(), tmp_path / "flag"
    environment = {"GATEWAY_DIES": point, "GATEWAY_DIES_IF": str(flag)}
    with outages(tmp_path, program=DYING, environment=environment) as world:
        world.await_baseline()
        flag.touch()
        with revived(world.gateway, flag) as died:
            go_through_an_outage(world, record)
        assert died == [-9]
        for key in ("written", "new", "deleted"):
            record.get(world.client, key)
        record.check()
        assert world.stored("primary") == world.stored("mirror")
        assert set(world.stored("primary")) == {"written", "new"}
        assert world.staged() == set()
