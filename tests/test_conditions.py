from datetime import UTC, datetime, timedelta

import pytest

from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import NoSuchKey, NotModified, PreconditionFailed
from gateway.storage import ObjectInfo

WRITTEN = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)
SECOND = WRITTEN.replace(microsecond=0)
BEFORE, AFTER = SECOND - timedelta(seconds=1), SECOND + timedelta(seconds=1)
INFO = ObjectInfo("key", 1, "is", WRITTEN)
TRUE, FALSE = ("is",), ("other",)


def outcome(check, *arguments):
    try:
        check(*arguments)
    except (PreconditionFailed, NotModified, NoSuchKey) as error:
        return error.status
    return 200


@pytest.mark.parametrize(
    ("match", "unmodified", "none_match", "modified", "expected"),
    [
        # https://www.rfc-editor.org/rfc/rfc9110#section-13.2.2, step by step
        ((), None, (), None, 200),
        (TRUE, None, (), None, 200),
        (("*",), None, (), None, 200),
        (("a", "is", "b"), None, (), None, 200),
        (FALSE, None, (), None, 412),
        ((), SECOND, (), None, 200),
        ((), AFTER, (), None, 200),
        ((), BEFORE, (), None, 412),
        ((), None, TRUE, None, 304),
        ((), None, ("*",), None, 304),
        ((), None, ("a", "is"), None, 304),
        ((), None, FALSE, None, 200),
        ((), None, (), SECOND, 304),
        ((), None, (), AFTER, 304),
        ((), None, (), BEFORE, 200),
        # an ETag outweighs the date beside it
        (TRUE, BEFORE, (), None, 200),
        (FALSE, AFTER, (), None, 412),
        ((), None, FALSE, AFTER, 200),
        ((), None, TRUE, BEFORE, 304),
        # a failed precondition comes before "not modified"
        (FALSE, None, TRUE, None, 412),
        ((), BEFORE, TRUE, None, 412),
        (TRUE, None, TRUE, None, 304),
        ((), AFTER, (), AFTER, 304),
    ],
)
def test_a_read_is_decided_in_the_order_of_rfc_9110(match, unmodified, none_match, modified, expected):
    conditions = Conditions(match, none_match, modified, unmodified)
    assert outcome(conditions.check_read, INFO) == expected
    assert outcome(conditions.check_source, INFO) == (412 if expected == 304 else expected)


@pytest.mark.parametrize(
    ("match", "none_match", "info", "expected"),
    [
        ((), (), INFO, 200),
        ((), (), None, 200),
        (TRUE, (), INFO, 200),
        (("*",), (), INFO, 200),
        (FALSE, (), INFO, 412),
        (TRUE, (), None, 404),
        (("*",), (), None, 404),
        ((), ("*",), None, 200),
        ((), ("*",), INFO, 412),
        ((), TRUE, INFO, 412),
        ((), FALSE, INFO, 200),
        ((), TRUE, None, 200),
        (TRUE, ("*",), INFO, 412),
        (TRUE, ("*",), None, 404),
    ],
)
def test_a_write_is_decided_by_what_is_there(match, none_match, info, expected):
    assert outcome(Conditions(match, none_match).check_write, "key", info) == expected


def test_a_match_of_nothing_names_the_key():
    with pytest.raises(NoSuchKey) as caught:
        Conditions(if_match=("*",)).check_write("the key", None)
    assert caught.value.fields == {"Key": "the key"}


def test_not_modified_tells_what_a_get_would_have_told():
    with pytest.raises(NotModified) as caught:
        Conditions(if_none_match=("*",)).check_read(INFO)
    assert caught.value.headers == {"ETag": '"is"', "Last-Modified": "Wed, 04 Mar 2026 05:06:07 GMT"}


def test_a_failed_condition_is_named():
    for conditions, name in (
        (Conditions(if_match=FALSE), "If-Match"),
        (Conditions(if_unmodified_since=BEFORE), "If-Unmodified-Since"),
    ):
        with pytest.raises(PreconditionFailed) as caught:
            conditions.check_read(INFO)
        assert caught.value.fields == {"Condition": name}


def test_conditions_are_true_where_there_are_any():
    assert not Conditions()
    assert not ANY_STATE
    assert Conditions(if_match=("*",))
    assert Conditions(if_modified_since=SECOND)
