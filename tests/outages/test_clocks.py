"""The clocks of gateways are wrong, each in its own way, and step: nothing is decided by them."""

import sys
from pathlib import Path

import pytest

from tests.doubles import postgresql
from tests.outages.record import Record
from tests.outages.world import outages

HOUR = {"GATEWAY_CLOCK": "3600"}
PROGRAM = (sys.executable, str(Path(__file__).with_name("shifted.py")))
WITHOUT = pytest.mark.skipif(postgresql.programs() is None, reason="there is no PostgreSQL")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("gateways", [1, pytest.param(2, marks=[pytest.mark.faults, WITHOUT])])
def test_an_outage_by_clocks_that_step_by_hours_is_as_any_other(tmp_path, gateways):
    states = [postgresql.server().database()] if gateways > 1 else ()
    with outages(tmp_path, gateways=gateways, states=states, program=PROGRAM, environment=HOUR) as world:
        world.await_baseline()
        record, clients = Record(), [world.client_of(number) for number in range(gateways)]
        with record.under_load(clients, lists=gateways == 1):
            record.await_acknowledged(20)
            for ways in (world.ways, *world.others):
                ways["primary"].down()
            world.await_mode("FAILOVER")
            record.await_acknowledged(30)
            for ways in (world.ways, *world.others):
                ways["primary"].up()
            world.await_mode("NORMAL")
            record.await_acknowledged(20)
        record.end(world, clients)
