from tests.faults.history import ABSENT, History, Write


def test_an_acknowledged_write_is_the_only_state_allowed():
    assert History([Write("key", "new", 0, 1)]).allowed("key") == {"new"}


def test_an_acknowledged_delete_allows_nothing_older():
    assert History([Write("key", "old", 0, 1), Write("key", ABSENT, 2, 3)]).allowed("key") == {ABSENT}


def test_of_two_writes_at_the_same_time_either_may_have_been_the_last():
    assert History([Write("key", "one", 0, 3), Write("key", "other", 1, 2)]).allowed("key") == {"one", "other"}


def test_a_write_of_unknown_outcome_may_have_happened_or_not():
    assert History([Write("key", "old", 0, 1), Write("key", "new", 2)]).allowed("key") == {"old", "new"}


def test_where_nothing_was_acknowledged_nothing_may_be_there():
    assert History([Write("key", "new", 0), Write("other", "that", 1, 2)]).allowed("key") == {ABSENT, "new"}
