import pytest

from gateway.replication.records import Timing
from gateway.replication.rules import Rules

TIMING = Timing()
DRAWS = 2000


@pytest.mark.parametrize(
    ("attempts", "most"),
    [(0, TIMING.backoff), (1, 2 * TIMING.backoff), (6, 64 * TIMING.backoff), (50, TIMING.backoff_limit)],
)
def test_what_failed_is_tried_again_at_any_moment_of_a_time_that_doubles(attempts, most):
    """Who waits at least half of it is one of a crowd in the other half: after an outage all failed at one moment."""
    waits = sorted(Rules(TIMING).again(attempts, 100.0) - 100.0 for _ in range(DRAWS))
    assert 0 <= waits[0] < most / 10
    assert most * 9 / 10 < waits[-1] <= most
    assert waits[DRAWS // 2] == pytest.approx(most / 2, rel=0.2)
