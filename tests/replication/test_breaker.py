import pytest

from gateway.replication.breaker import ENOUGH, FIRST_PAUSE, IN_A_ROW, LONGEST_PAUSE, SUCCESSES, WINDOW, Breaker


@pytest.fixture
def breaker():
    return Breaker(0.0)


def tripped(breaker, now=0.0):
    for _ in range(IN_A_ROW):
        breaker.record(now, ok=False, reached=False)
    assert breaker.open
    return breaker


def test_connections_that_fail_in_a_row_open_it(breaker):
    for _ in range(IN_A_ROW - 1):
        breaker.record(0.0, ok=False, reached=False)
    assert not breaker.open
    breaker.record(0.0, ok=False, reached=False)
    assert breaker.open


def test_one_answer_ends_the_row(breaker):
    for _ in range(3 * IN_A_ROW):
        breaker.record(0.0, ok=False, reached=False)
        breaker.record(0.0, ok=True)
        breaker.record(0.0, ok=True)
    assert not breaker.open


def test_half_of_many_calls_failing_open_it(breaker):
    for number in range(ENOUGH):
        assert not breaker.open
        breaker.record(0.0, ok=number % 2 == 1)
    assert breaker.open


def test_failures_of_long_ago_are_forgotten(breaker):
    for number in range(10 * ENOUGH):
        breaker.record(number * WINDOW / (ENOUGH - 2), ok=False)
    assert not breaker.open


def test_while_open_only_probes_are_due_after_a_pause(breaker):
    tripped(breaker)
    assert not breaker.probe_due(0.5 * FIRST_PAUSE)
    assert breaker.probe_due(1.25 * FIRST_PAUSE)


def test_a_probe_that_fails_lets_it_rest_longer_and_longer_up_to_a_limit(breaker):
    tripped(breaker)
    for _ in range(20):
        breaker.probed(100.0, ok=False)
    assert not breaker.probe_due(100.0 + 0.7 * LONGEST_PAUSE)
    assert breaker.probe_due(100.0 + 1.25 * LONGEST_PAUSE)


def test_probes_in_a_row_close_it_and_one_failure_between_does_not(breaker):
    tripped(breaker)
    for _ in range(SUCCESSES - 1):
        breaker.probed(10.0, ok=True)
    breaker.probed(10.0, ok=False)
    for _ in range(SUCCESSES - 1):
        breaker.probed(20.0, ok=True)
    assert breaker.open
    breaker.probed(20.0, ok=True)
    assert (breaker.open, breaker.changed) == (False, 20.0)


def test_calls_that_were_under_way_when_it_opened_change_nothing(breaker):
    tripped(breaker)
    breaker.record(1.0, ok=True)
    assert breaker.open
    for _ in range(SUCCESSES):
        breaker.probed(10.0, ok=True)
    assert not breaker.open
    breaker.record(10.0, ok=False, reached=False)
    assert not breaker.open


def test_what_it_keeps_of_calls_is_bounded_by_its_window(breaker):
    for number in range(10_000):
        breaker.record(float(number), ok=True)
    assert len(breaker._calls) <= WINDOW + 1
