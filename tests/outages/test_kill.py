"""The gateway itself is killed, at any moment and in every mode: it starts again where it was."""

import os
import random
import time

import pytest

from tests.outages.record import Record
from tests.outages.world import outages

ROUNDS = int(os.environ.get("OUTAGE_KILLS", "2"))


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_gateway_killed_in_every_mode_loses_nothing_and_brings_nothing_back(tmp_path, seed):
    dice, record = random.Random(seed), Record(mixed=True)

    def kill() -> None:
        record.await_acknowledged(dice.randrange(5, 30))
        time.sleep(dice.random() * 0.2)  # at any moment, which is the point
        world.gateway.kill()
        world.gateway.start()

    with outages(tmp_path) as world:
        world.await_baseline()
        # a mirror does not list what was written just before a gateway was killed that could not say so any more
        with record.under_load([world.client], seed=seed, lists=False):
            kill()
            world.down()
            kill()
            world.await_mode("FAILOVER")
            record.await_acknowledged(20)
            kill()
            world.up()
            kill()
            world.await_mode("HEALING", "NORMAL")
            kill()
        record.end(world, [world.client])
