"""The published lists hold together: what passes on a disk passes in front of a cloud, or the cloud is the reason."""

import pytest

from tests.conformance.run import HERE, limits

PUBLISHED = {file.stem.removeprefix("passing-"): file.read_text().split() for file in HERE.glob("passing-*.txt")}


@pytest.mark.parametrize("backend", sorted(PUBLISHED))
def test_what_passes_on_a_disk_and_not_here_has_a_reason(backend):
    excused = {test for tests in limits(backend).values() for test in tests}
    assert not excused & set(PUBLISHED[backend])
    assert set(PUBLISHED["local"]) - set(PUBLISHED[backend]) == excused


def test_a_reason_is_given_for_a_backend_that_is_published():
    assert {file.stem.removeprefix("limits-") for file in HERE.glob("limits-*.txt")} <= PUBLISHED.keys()
