"""The gateway is killed at each point of its work between two steps that must not be torn apart."""

import os
import random
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.outages.points import POINTS
from tests.outages.record import Record
from tests.outages.world import Shared, World, eventually

DYING = (sys.executable, str(Path(__file__).with_name("dying.py")))
DEATHS = int(os.environ.get("OUTAGE_DEATHS", "1"))  # at each point
FIRST = int(os.environ.get("OUTAGE_SEED", "0"))
PASSED = 12  # times at most before it is killed
SOME = POINTS[::8]

pytestmark = pytest.mark.timeout(120 + 60 * DEATHS)


@pytest.fixture(scope="module")
def order(tmp_path_factory):
    return tmp_path_factory.mktemp("dying") / "order"


@pytest.fixture(scope="module")
def shared(tmp_path_factory, order):
    shared = Shared(tmp_path_factory, program=DYING, environment={"GATEWAY_DIES": str(order)})
    yield shared
    shared.close()


@contextmanager
def coming_and_going(world: World, record: Record) -> Iterator[None]:
    """Have the primary go and come back all the time, so that every kind of work is done."""
    ended = threading.Event()

    def come_and_go() -> None:
        while not ended.is_set():
            world.down()
            eventually(lambda: ended.is_set() or world.mode() == "FAILOVER")
            eventually(lambda goal=record.acknowledged + 30: ended.is_set() or record.acknowledged > goal)
            world.up()
            eventually(lambda: ended.is_set() or world.mode() == "NORMAL")
            eventually(lambda goal=record.acknowledged + 30: ended.is_set() or record.acknowledged > goal)

    thread = threading.Thread(target=come_and_go, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(60)
        world.up()


def die(world: World, order: Path, point: str, passed: int) -> None:
    """Have the gateway die at a point, when it has passed that so often, and return when it lives again."""
    told = order.with_suffix(".new")
    told.write_text(f"{point} {passed}")
    told.rename(order)
    eventually(lambda: not order.exists() or world.gateway.process.poll(), lambda: f"{point} is never reached")
    assert world.gateway.process.poll() is None, world.gateway.log[-3000:]
    eventually(world.gateway.ready, lambda: world.gateway.log[-3000:])


def live_through(world: World, order: Path, points: Sequence[str], seed: int) -> None:
    """Die at one point after another, and check what there is in the end.

    Keys are written around one death only, so that nothing done later hides what is wrong with them.
    """
    record, dice = Record(mixed=True), random.Random(f"{points} {seed}")
    with record.under_load([world.client], seed=seed, lists=False), coming_and_going(world, record):
        for number, point in enumerate(points):
            record.folder = f"{number}"
            record.await_acknowledged(dice.randrange(20))
            die(world, order, point, dice.randrange(PASSED))
    record.end(world, [world.client])


def test_a_gateway_that_is_killed_at_some_points_loses_nothing_and_brings_nothing_back(world, order):
    live_through(world, order, SOME, FIRST)


@pytest.mark.faults
@pytest.mark.parametrize("point", POINTS)
def test_a_gateway_that_is_killed_there_loses_nothing_and_brings_nothing_back(world, order, point):
    live_through(world, order, [point] * DEATHS, FIRST)
