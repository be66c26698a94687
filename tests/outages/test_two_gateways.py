"""Two gateways share a bucket by way of a database; one of them is cut off, stopped or killed."""

import os
import random
import signal
import time
from collections.abc import Iterator

import pytest

from tests.doubles import postgresql
from tests.faults.proxy import Fault, proxying
from tests.outages.record import Record
from tests.outages.world import World, eventually, outages

NO_FAULT = Fault()

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(600),
    pytest.mark.skipif(postgresql.programs() is None, reason="there is no PostgreSQL"),
]


@pytest.fixture
def world(tmp_path) -> Iterator[World]:
    with outages(tmp_path, gateways=2, states=[postgresql.server().database()], hold="3s") as world:
        world.await_baseline()
        yield world


def clients(world: World):
    return [world.client_of(0), world.client_of(1)]


def down_for_all(world: World) -> None:
    """Take the primary away from both."""
    for ways in (world.ways, *world.others):
        ways["primary"].down()


def up_for_all(world: World, fault: Fault = NO_FAULT) -> None:
    for ways in (world.ways, *world.others):
        ways["primary"].set(fault)
        ways["primary"].up()


def test_two_gateways_go_through_an_outage_together(world):
    record = Record()
    with record.under_load(clients(world)):
        record.await_acknowledged(30)
        down_for_all(world)
        world.await_mode("FAILOVER")
        record.await_acknowledged(40)
        up_for_all(world)
        world.await_mode("NORMAL")
        record.await_acknowledged(20)
    record.end(world, clients(world))


def test_one_gateway_that_cannot_reach_the_primary_changes_nothing_for_the_other(world):
    record, (cut_off, other) = Record(), clients(world)
    with record.under_load([cut_off, other]):
        record.await_acknowledged(20)
        world.down()
        eventually(lambda: [record.put(cut_off, "key", os.urandom(9)).was_refused for _ in range(12)] == [True] * 12)
        assert world.mode() == "NORMAL"
        assert record.put(other, "other", b"value").ok
        world.up()
        eventually(lambda: record.put(cut_off, "key", b"again").ok)
        assert world.mode() == "NORMAL"
    record.end(world, clients(world))


@pytest.mark.parametrize("seed", range(int(os.environ.get("OUTAGE_KILLS", "2"))))
def test_gateways_that_are_killed_one_after_another_lose_nothing(world, seed):
    dice, record = random.Random(seed), Record()
    with record.under_load(clients(world), seed=seed, lists=False):
        for number in range(6):
            record.await_acknowledged(dice.randrange(5, 20))
            if number == 1:
                down_for_all(world)
            if number == 4:
                up_for_all(world)
            time.sleep(dice.random() * 0.3)  # at any moment, which is the point
            victim = world.gateways[number % 2]
            victim.kill()
            victim.start()
    record.end(world, clients(world))


def test_a_gateway_that_stands_still_for_longer_than_its_leases_does_no_harm(world):
    record, (_, other) = Record(), clients(world)
    with record.under_load(clients(world)[1:]):
        down_for_all(world)
        world.await_mode("FAILOVER")
        for number in range(40):
            eventually(lambda number=number: record.put(other, f"heal/{number}", os.urandom(5000)).ok)
        up_for_all(world, Fault(delay=0.1))
        world.await_mode("HEALING")
        os.kill(world.gateway.process.pid, signal.SIGSTOP)
        try:
            record.await_acknowledged(30)
            began = time.monotonic()
            eventually(lambda: time.monotonic() > began + 6)  # twice the lease of a worker
        finally:
            os.kill(world.gateway.process.pid, signal.SIGCONT)
        for ways in (world.ways, *world.others):
            ways["primary"].set(Fault())
        record.await_acknowledged(30)
    record.end(world, clients(world))


def test_a_gateway_that_cannot_reach_the_database_stops_in_time_and_reads_nothing_stale(tmp_path):
    url = postgresql.server().database()
    with (
        proxying(postgresql.server().folder / ".s.PGSQL.5432") as way,
        outages(
            tmp_path, gateways=2, states=[f"postgresql://gateway@127.0.0.1:{way.port}/{name_of(url)}", url]
        ) as world,
    ):
        world.await_baseline()
        record, (cut_off, other) = Record(), clients(world)
        # a mirror does not list what was written just before a gateway was cut off that could not say so any more
        with record.under_load([cut_off, other], lists=False):
            record.await_acknowledged(20)
            way.down()
            eventually(lambda: record.put(cut_off, "key", os.urandom(9)).was_refused)
            down_for_all(world)
            world.await_mode("FAILOVER")
            assert not record.put(cut_off, "key", os.urandom(9)).ok
            eventually(lambda: record.put(other, "key", b"newest").ok)
            assert record.get(cut_off, "key").status in {0, 500, 503}
            way.up()
            eventually(lambda: record.get(cut_off, "key").body == b"newest")
            up_for_all(world)
        record.end(world, clients(world))


def test_a_database_that_is_started_anew_costs_refusals_and_nothing_else(world):
    record, server = Record(), postgresql.server()
    with record.under_load(clients(world), lists=False):
        for mode in ("NORMAL", "FAILOVER"):
            if mode == "FAILOVER":
                down_for_all(world)
            world.await_mode(mode)
            record.await_acknowledged(20)
            server.stop()
            try:
                eventually(lambda: not record.put(world.client, "key", os.urandom(9)).ok)
            finally:
                server.start()
            eventually(lambda: record.put(world.client, "key", os.urandom(9)).ok)
            record.await_acknowledged(20)
        up_for_all(world)
    record.end(world, clients(world))


def test_a_gateway_that_stands_still_while_it_mirrors_does_no_harm(world):
    record, (_, other) = Record(), clients(world)
    for ways in (world.ways, *world.others):
        ways["mirror"].set(Fault(delay=0.1))
    with record.under_load(clients(world)[1:]):
        for number in range(40):
            assert record.put(other, f"mirrored/{number}", os.urandom(5000)).ok
        os.kill(world.gateway.process.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            eventually(lambda: time.monotonic() > began + 6)  # twice the lease of a worker
            record.await_acknowledged(30)
        finally:
            os.kill(world.gateway.process.pid, signal.SIGCONT)
    for ways in (world.ways, *world.others):
        ways["mirror"].set(Fault())
    record.end(world, clients(world))


def name_of(url: str) -> str:
    return url.partition("@/")[2].partition("?")[0]
