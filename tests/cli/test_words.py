import pytest

from gateway.cli.words import amount, duration, printable, size, table


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (7260, "2 h 1 min"), (3600, "1 h"), (100_000, "1 d 3 h")],
)
def test_a_duration_has_two_units_at_most(seconds, shown):
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 30, "3.0 GiB"), (1 << 60, "1024.0 PiB")]
)
def test_a_size_has_the_unit_that_fits(count, shown):
    assert size(count) == shown


def test_one_is_no_plural():
    assert [amount(0, "key"), amount(1, "key"), amount(2, "key")] == ["0 keys", "1 key", "2 keys"]


def test_a_key_cannot_play_tricks_with_the_terminal():
    assert printable("a\x1b[2J\nb blå") == "a\\x1b[2J\\nb blå"


def test_the_cells_of_a_table_stand_below_each_other():
    assert list(table([("a", "b"), ("long", "c")])) == ["a     b", "long  c"]
