"""The real classes of replication under bad luck: what was acknowledged stays, what was deleted stays deleted.

Each rule is switched off once: then something goes wrong, in a schedule made by hand or in one of the first that come
by chance. `make simulate` runs many more of those; SIMULATION_SCHEDULES says how many.
"""

import os
from dataclasses import replace

import pytest

from tests.simulation.broken import RULES
from tests.simulation.schedules import SCHEDULES
from tests.simulation.world import Rules, outcome

SCHEDULES_OF_CHANCE = int(os.environ.get("SIMULATION_SCHEDULES", "0"))
FIRST = int(os.environ.get("SIMULATION_FIRST", "1"))
SOME = range(FIRST, FIRST + 4)  # of a schedule the seed says only who is a little faster
FEW = 2
AT_MOST = 40  # schedules until a rule that is missing must have shown
VARIANTS = {
    "mirrored": Rules(),
    "slow workers": Rules(slow=True),
    "long pauses": Rules(long_pauses=True),
    "without a mirror": Rules(mirrored=False),
    "a mirror that keeps what goes from it": Rules(protect=1.0, slow=True),
    "a mirror that is waited for": Rules(sync=True),
    "slow clients": Rules(longest_body=30.0),
    "wrong clocks": Rules(wrong_clocks=True),
}
SELDOM = {  # chance needs thousands of schedules for these
    "a lease that ran out taints",
    "only the healer writes a key with a row",
    "the commit checks the mode",
    "a new row rests",
    "the last-chunk gate",
    "the sweeper waits",
    "entering FAILOVER waits for leases",
}


@pytest.mark.timeout(24 * 3600 if SCHEDULES_OF_CHANCE else 600)
@pytest.mark.parametrize("name", VARIANTS)
def test_nothing_is_lost_stale_or_back_and_all_comes_to_rest(name):
    wrong = []
    acknowledged = 0
    for seed in range(FIRST, FIRST + (SCHEDULES_OF_CHANCE or FEW)):
        said = outcome(seed, VARIANTS[name])
        if said.startswith("ok"):
            acknowledged += int(said.split()[1])
        else:
            wrong.append(f"{name}, seed {seed}: {said}")
    assert wrong == []
    assert acknowledged > FEW


@pytest.mark.parametrize("rule", SCHEDULES)
def test_what_a_rule_is_for_does_not_happen(rule):
    schedule, rules = SCHEDULES[rule]
    assert all(outcome(seed, rules, schedule).startswith("ok") for seed in SOME)


@pytest.mark.parametrize("rule", SCHEDULES)
def test_without_this_rule_it_does(rule):
    schedule, rules = SCHEDULES[rule]
    broken = replace(RULES[rule], timing=rules.timing)
    assert any(not outcome(seed, broken, schedule).startswith("ok") for seed in SOME)


@pytest.mark.timeout(24 * 3600 if SCHEDULES_OF_CHANCE else 600)
@pytest.mark.parametrize("rule", RULES if SCHEDULES_OF_CHANCE else sorted(RULES.keys() - SCHEDULES.keys()))
def test_without_this_rule_chance_finds_what_goes_wrong(rule):
    broken = replace(RULES[rule], slow=True)
    seeds = range(1000, 1000 + (SCHEDULES_OF_CHANCE or AT_MOST))
    found = any(not outcome(seed, broken).startswith("ok") for seed in seeds)
    assert found or rule in SELDOM


def test_a_schedule_is_the_same_each_time():
    assert outcome(7, Rules()) == outcome(7, Rules())
