"""The real classes of a bucket that moves under bad luck: nothing is lost, stale or back, conditions hold.

Each rule is switched off once: then something goes wrong, in one of the first schedules of chance; for those that show
seldom, these begin a little before one that does. The rest are held by schedules made by hand, in `tests/routing/lazy`.
"""

import os

import pytest

from tests.simulation.moving import Rules, outcome
from tests.simulation.unruly import BY_HAND, RULES

SCHEDULES_OF_CHANCE = int(os.environ.get("SIMULATION_SCHEDULES", "0"))
FIRST = int(os.environ.get("SIMULATION_FIRST", "1"))
FEW = 100
AT_MOST = 300  # schedules until a rule that is missing must have shown
SELDOM = {"whether it is buried is asked last": 130, "a delete has one effect": 60, "who decides holds the key": 115}


def violations(rules, seeds):
    told = {seed: outcome(seed, rules) for seed in seeds}
    return [f"seed {seed}: {said}" for seed, said in told.items() if not said.startswith("ok")]


@pytest.mark.timeout(24 * 3600 if SCHEDULES_OF_CHANCE else 600)
def test_nothing_is_lost_stale_or_back():
    assert violations(Rules(), range(FIRST, FIRST + (SCHEDULES_OF_CHANCE or FEW))) == []


@pytest.mark.parametrize("rule", sorted(RULES.keys() - BY_HAND))
def test_without_this_rule_something_goes_wrong(rule):
    first = SELDOM.get(rule, 0)
    assert any(violations(RULES[rule], [seed]) for seed in range(first, first + AT_MOST))


def test_a_schedule_is_the_same_each_time():
    assert outcome(7, Rules()) == outcome(7, Rules())
