"""The real classes of replication under bad luck: what was acknowledged stays, what was deleted stays deleted.

`make simulate` runs many more schedules, and switches off every rule; SIMULATION_SCHEDULES says how many.
"""

import os
from dataclasses import replace

import pytest

from tests.simulation.broken import RULES
from tests.simulation.world import Rules, outcome

SCHEDULES = int(os.environ.get("SIMULATION_SCHEDULES", "0"))
FIRST = int(os.environ.get("SIMULATION_FIRST", "1"))
FEW = 3
AT_MOST = 40  # schedules until a rule that is missing must have shown
VARIANTS = {
    "mirrored": Rules(),
    "slow workers": Rules(slow=True),
    "long pauses": Rules(long_pauses=True),
    "without a mirror": Rules(mirrored=False),
    "a mirror that keeps what goes from it": Rules(protect=1.0, slow=True),
    "a mirror that is waited for": Rules(sync=True),
}
QUICKLY = (  # these show in the first schedules
    "a mirror answers only for a clean key",
    "the intent is committed before the first byte",
    "a key is clean only at an unchanged generation",
)


@pytest.mark.timeout(24 * 3600 if SCHEDULES else 600)
@pytest.mark.parametrize("name", VARIANTS)
def test_nothing_is_lost_stale_or_back_and_all_comes_to_rest(name):
    wrong = []
    acknowledged = 0
    for seed in range(FIRST, FIRST + (SCHEDULES or FEW)):
        said = outcome(seed, VARIANTS[name])
        if said.startswith("ok"):
            acknowledged += int(said.split()[1])
        else:
            wrong.append(f"{name}, seed {seed}: {said}")
    assert wrong == []
    assert acknowledged > FEW


@pytest.mark.timeout(24 * 3600 if SCHEDULES else 600)
@pytest.mark.parametrize("rule", RULES if SCHEDULES else QUICKLY)
def test_without_this_rule_something_goes_wrong(rule):
    broken = replace(RULES[rule], slow=True)
    seeds = range(1000, 1000 + (SCHEDULES or AT_MOST))
    assert any(not outcome(seed, broken).startswith("ok") for seed in seeds)


def test_a_schedule_is_the_same_each_time():
    assert outcome(7) == outcome(7)
