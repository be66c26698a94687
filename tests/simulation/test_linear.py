import pytest

from tests.simulation.linear import Operation, is_linearizable

FOREVER = float("inf")


def put(value, began, ended=FOREVER):
    return Operation("put", value, None, began, ended, ended < FOREVER)


def created(value, began, ended=FOREVER):
    return Operation("create", value, None, began, ended, ended < FOREVER)


def found(began, ended):
    return Operation("found", None, None, began, ended, ok=True)


def deleted(began, ended=FOREVER):
    return Operation("delete", None, None, began, ended, ended < FOREVER)


def got(result, began, ended):
    return Operation("get", None, result, began, ended, ok=True)


@pytest.mark.parametrize(
    "history",
    [
        [],
        [got(None, 0, 1)],
        [put("a", 0, 1), got("a", 2, 3)],
        [put("a", 0, 5), got(None, 1, 2), got("a", 3, 4)],
        [put("a", 0), got(None, 10, 11), got("a", 20, 21)],
        [put("a", 0, 1), deleted(2), got("a", 3, 4), got(None, 5, 6)],
        [put("a", 0, 10), put("b", 0, 10), got("b", 11, 12)],
        [created("a", 0, 10), created("b", 0), found(1, 2), got("a", 11, 12)],
        [put("a", 0, 1), found(2, 3), deleted(2, 4), created("b", 2, 5), got("b", 6, 7)],
    ],
)
def test_what_some_order_explains_is_right(history):
    assert is_linearizable(history)


@pytest.mark.parametrize(
    "history",
    [
        [got("a", 0, 1)],
        [put("a", 0, 1), got(None, 2, 3)],
        [put("a", 0, 1), deleted(2, 3), got("a", 4, 5)],
        [put("a", 0, 1), put("b", 2, 3), got("a", 4, 5)],
        [put("a", 0, 5), got("a", 1, 2), got(None, 3, 4)],
        [put("a", 10), got("a", 0, 1)],
        [created("a", 0, 1), created("b", 0, 1)],
        [put("a", 0, 1), created("b", 2), got("b", 3, 4)],
        [put("a", 0, 1), deleted(2, 3), found(4, 5)],
    ],
)
def test_what_was_lost_or_came_back_is_found(history):
    assert not is_linearizable(history)
