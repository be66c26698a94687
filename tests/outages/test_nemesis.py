"""Three gateways, while whatever they rely on fails, and they themselves, at any moment and for any short time."""

import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial

import pytest

from tests.doubles import postgresql
from tests.faults.proxy import Fault, Remote, proxying
from tests.outages.record import Record
from tests.outages.world import PLACES, World, eventually, outages

SECONDS = float(os.environ.get("OUTAGE_SECONDS", "30"))
SEED = int(os.environ.get("OUTAGE_SEED", "0"))
GATEWAYS = 3
LONGEST = 2.5  # seconds of what is done to them: far less than `hold`, as a loaded machine adds to it
FAULTS = (
    None,
    Fault(silent=True),
    Fault(held=True),
    Fault(lost=True),
    Fault(answer=0),
    Fault(delay=0.05),
)  # None: down


@dataclass
class Nemesis:
    """Does them harm: each method but the first does one thing, and undoes it in the end."""

    world: World
    to_database: Sequence[Remote]
    dice: random.Random

    def strike(self) -> None:
        """Do some of it at once, for a while."""
        harm = [self.gateway, self.database, *(partial(self.storage, place) for place in PLACES)]
        chosen = self.dice.sample(harm, self.dice.choice((1, 1, 2, 3)))
        chosen.sort(key=lambda each: each == self.database)  # it is up again before a gateway is started
        with ExitStack() as struck:
            for each in chosen:
                struck.enter_context(each())
            time.sleep(self.dice.uniform(0, LONGEST))  # at any moment, which is the point

    @contextmanager
    def gateway(self) -> Iterator[None]:
        victim = self.dice.choice(self.world.gateways)
        if self.dice.random() < 0.3:
            os.kill(victim.process.pid, signal.SIGSTOP)
            yield
            os.kill(victim.process.pid, signal.SIGCONT)
        else:
            victim.kill()
            yield
            victim.start()

    @contextmanager
    def database(self) -> Iterator[None]:
        if self.dice.random() < 0.5:
            postgresql.server().stop()
            try:
                yield
            finally:
                postgresql.server().start()
        else:
            with self._fault(self.to_database, self.dice.choice(FAULTS)):
                yield

    @contextmanager
    def storage(self, place: str) -> Iterator[None]:
        with self._fault([ways[place] for ways in (self.world.ways, *self.world.others)], self.dice.choice(FAULTS)):
            yield

    @contextmanager
    def _fault(self, ways: Sequence[Remote], fault: Fault | None) -> Iterator[None]:
        """Have something happen on the ways of all, or of one."""
        struck = ways if self.dice.random() < 0.6 else [self.dice.choice(ways)]
        for way in struck:
            way.set(replace(fault)) if fault else way.down()
        yield
        for way in struck:
            if fault:
                way.release()
                way.set(Fault())
            else:
                way.up()


@pytest.mark.faults
@pytest.mark.timeout(600 + 3 * SECONDS)
@pytest.mark.skipif(postgresql.programs() is None, reason="there is no PostgreSQL")
def test_three_gateways_lose_nothing_whatever_fails_and_whoever_is_killed(tmp_path):
    url, server = postgresql.server().database(), postgresql.server()
    name = url.partition("@/")[2].partition("?")[0]
    with ExitStack() as opened:
        to_database = [opened.enter_context(proxying(server.folder / ".s.PGSQL.5432")) for _ in range(GATEWAYS)]
        states = [f"postgresql://gateway@127.0.0.1:{way.port}/{name}" for way in to_database]
        world = opened.enter_context(
            outages(tmp_path, gateways=GATEWAYS, states=[*states, url], timeout="2s", hold="10s")
        )
        world.await_baseline()
        dice, record = random.Random(SEED), Record(mixed=True)
        clients = [world.client_of(number) for number in range(GATEWAYS)]
        nemesis = Nemesis(world, to_database, dice)
        ends, struck = time.monotonic() + SECONDS, 0
        # a mirror does not list what was written just before a gateway was killed that could not say so any more
        with record.under_load(clients, seed=SEED, lists=False):
            while time.monotonic() < ends:
                record.folder = str(dice.choice((struck, dice.randrange(struck + 1))))  # what was left long ago, too
                record.await_acknowledged(dice.randrange(1, 40))
                nemesis.strike()
                struck += 1
            world.await_mode("NORMAL")
            record.await_acknowledged(20)
        record.end(world, clients)
        for told in ("mirror_pending_objects", "mirror_oldest_pending_seconds", "unhealed_objects"):
            eventually(lambda told=told: world.metric(f"gateway_{told}") == 0, lambda told=told: told)
