import asyncio
from dataclasses import replace

import pytest

from gateway.conditions import Conditions
from gateway.errors import ConditionalRequestConflict, NoSuchKey, PreconditionFailed, ServiceUnavailable
from gateway.replication.records import UNSET, Kind, Mode, Outcome, Trash
from gateway.replication.rules import SUPERSEDED
from gateway.storage import Address
from tests.replication.given import (
    AGES,
    KEY,
    NOTHING,
    TIMING,
    committed,
    failed_over,
    info,
    journal,
    seen,
    settled,
)

HOLD = TIMING.hold
ETAG = info().etag
OTHER = "b026324c6904b2a9cb4b88d6d61c81d1"


async def healing(store, *ats):
    """Return a journal in HEALING with a row for each address, all of them rested."""
    here = await failed_over(store)
    for at in ats:
        await committed(here, at)
    await here.turn(Mode.HEALING, "a test")
    store.later(HOLD + 1)
    return here


async def test_what_is_committed_is_the_newest_state_with_all_that_the_client_gave(store):
    here = await failed_over(store)
    op = await here.begin(KEY, Kind.PUT, on_fallback=True)
    assert (await here.look(KEY)).row is None
    row = await here.commit(op, info())
    assert (row.at, row.staged, row.deleted, row.info) == (KEY, op.staged, False, info())
    assert (await here.look(KEY)).row == row


async def test_staged_objects_never_share_a_name(store):
    here = await failed_over(store)
    first, second = [await here.begin(KEY, Kind.PUT, on_fallback=True) for _ in range(2)]
    assert first.staged.startswith(".gw/stage/")
    assert first.staged != second.staged


async def test_what_is_buried_is_a_tombstone(store):
    here = await failed_over(store)
    await committed(here)
    await here.bury([KEY])
    row = (await here.look(KEY)).row
    assert (row.deleted, row.info) == (True, None)


async def test_what_was_committed_is_lacking_on_the_mirrors(store):
    here = await failed_over(store)
    row = await committed(here)
    [claim] = await here.claim_tasks("copy", 10)
    assert (claim.kind, claim.row) == (Kind.PUT, row)
    await here.bury([KEY])
    assert not await here.mirrored(claim, Outcome.APPLIED)
    [claim] = await here.claim_tasks("copy", 10)
    assert claim.kind is Kind.DELETE
    assert claim.row.deleted


async def test_nothing_is_committed_while_the_primary_takes_writes(store):
    here = journal(store)
    await here.beat(NOTHING, automatic=False)
    op = await here.begin(KEY, Kind.PUT, on_fallback=True)
    with pytest.raises(ServiceUnavailable):
        await here.commit(op, info())
    with pytest.raises(ServiceUnavailable):
        await here.bury([KEY])
    assert (await here.look(KEY)).row is None


async def test_an_op_that_was_swept_is_not_committed(store):
    here = await failed_over(store)
    op = await here.begin(KEY, Kind.PUT, on_fallback=True)
    store.later(AGES)
    await here.sweep()
    with pytest.raises(ServiceUnavailable):
        await here.commit(op, info())
    assert (await here.look(KEY)).row is None


async def test_an_op_is_committed_once(store):
    here = await failed_over(store)
    op = await here.begin(KEY, Kind.PUT, on_fallback=True)
    await here.commit(op, info())
    with pytest.raises(ServiceUnavailable):
        await here.commit(op, info())


async def test_what_a_tombstone_replaces_is_deleted_after_hold(store):
    here = await failed_over(store)
    row = await committed(here)
    await here.bury([KEY])
    store.later(HOLD + 1)
    assert await here.sweep() == [Trash("disk", Address(KEY.bucket, row.staged))]


@pytest.mark.parametrize(
    ("conditions", "error"),
    [
        (Conditions(if_match=[ETAG]), None),
        (Conditions(if_match=[OTHER]), PreconditionFailed),
        (Conditions(if_none_match=["*"]), PreconditionFailed),
        (Conditions(if_none_match=[OTHER]), None),
    ],
)
@pytest.mark.parametrize("known", [False, True])
async def test_conditions_are_decided_by_the_row_or_else_by_what_is_known(store, conditions, error, known):
    here = await failed_over(store)
    if not known:
        await committed(here)
    op = await here.begin(KEY, Kind.PUT, on_fallback=True)
    commit = here.commit(op, info(), conditions, await seen(here, info()) if known else UNSET)
    if error is None:
        assert await commit == (await here.look(KEY)).row
    else:
        with pytest.raises(error):
            await commit


async def test_a_match_where_nothing_is_says_so(store):
    here = await failed_over(store)
    for known in (await seen(here, None), UNSET):
        if known is UNSET:
            await here.bury([KEY])
        with pytest.raises(NoSuchKey):
            await here.bury([KEY], Conditions(if_match=["*"]), known)


async def test_conditions_about_what_nobody_knows_are_refused(store):
    here = await failed_over(store)
    with pytest.raises(ServiceUnavailable):
        await here.bury([KEY], Conditions(if_none_match=["*"]))


async def test_conditions_about_what_was_known_are_refused_while_the_primary_takes_writes(store):
    here = await failed_over(store)
    await here.turn(Mode.HEALING, "a test")
    with pytest.raises(ServiceUnavailable):
        await here.bury([KEY], Conditions(if_match=["*"]), await seen(here, info()))


async def test_conditions_about_what_was_known_are_refused_after_the_primary_has_taken_writes(store):
    here = await failed_over(store)
    known = await seen(here, info())
    for mode in (Mode.HEALING, Mode.FAILOVER):
        await here.turn(mode, "a test")
        store.later(TIMING.lease + TIMING.drift)
    op = await here.begin(KEY, Kind.PUT, on_fallback=True)
    with pytest.raises(ServiceUnavailable):
        await here.commit(op, info(), Conditions(if_match=[ETAG]), known)


async def test_a_row_that_came_up_meanwhile_conflicts_with_what_was_known(store):
    here = await failed_over(store)
    await committed(here)
    op = await here.begin(KEY, Kind.PUT, on_fallback=True)
    with pytest.raises(ConditionalRequestConflict):
        await here.commit(op, info(), Conditions(if_match=[ETAG]), await seen(here, info()))
    await settled(here, (op, Outcome.REFUSED))
    store.later(HOLD + 1)
    assert await here.sweep() == [Trash("disk", Address(KEY.bucket, op.staged))]


async def test_of_writers_who_want_a_new_key_one_gets_it(store):
    here = await failed_over(store)
    ops = [await here.begin(KEY, Kind.PUT, on_fallback=True) for _ in range(8)]
    anew = Conditions(if_none_match=["*"])
    nothing = await seen(here, None)
    ends = await asyncio.gather(*(here.commit(op, info(), anew, nothing) for op in ops), return_exceptions=True)
    assert sum(not isinstance(end, Exception) for end in ends) == 1
    assert all(isinstance(end, ConditionalRequestConflict) for end in ends if isinstance(end, Exception))


async def test_writers_of_one_key_at_once_leave_one_row_and_the_rest_to_the_trash(store):
    here = await failed_over(store)
    rows = await asyncio.gather(*(committed(here) for _ in range(20)))
    newest = max(rows, key=lambda row: row.gen)
    assert (await here.look(KEY)).row == newest
    store.later(HOLD + 1)
    trash = {item.at.key for item in await here.sweep()}
    assert trash == {row.staged for row in rows} - {newest.staged}


async def test_keys_are_buried_all_or_none(store):
    here = await failed_over(store)
    await committed(here)
    with pytest.raises(ServiceUnavailable):
        await here.bury([KEY, Address("media", "unknown")], Conditions(if_match=[ETAG]))
    assert (await here.look(KEY)).row.info == info()
    await here.bury([Address("media", f"{number}") for number in range(1000)])
    assert (await here.unhealed())[:2] == (1, 1000)
    await here.bury([])


async def test_rows_come_in_byte_order_within_a_span(store):
    here = await failed_over(store)
    names = ["a", "a/1", "a/2", "a/é", "a/\U0001f600", "a/\ufffd", "b", "~"]
    for name in reversed(names):
        await committed(here, Address("media", name))
    await committed(here, Address("other", "a/0"))
    await here.bury([Address("media", "a/2")])

    async def keys(*args, **options):
        return [row.at.key for row in await here.rows("media", *args, **options)]

    assert await keys() == sorted(names, key=str.encode)
    assert await keys("a/") == ["a/1", "a/2", "a/é", "a/\ufffd", "a/\U0001f600"]
    assert await keys("a/", "a/2") == ["a/é", "a/\ufffd", "a/\U0001f600"]
    assert await keys("a/", "a/2", 1, inclusive=True) == ["a/2"]
    assert await keys("", "b") == ["~"]
    assert [row.deleted for row in await here.rows("media", "a/", limit=2)] == [False, True]


# --- healing ---


async def test_nothing_is_healed_unless_it_is_time_to(store):
    here = await failed_over(store)
    await committed(here)
    store.later(AGES)
    assert await here.claim_rows(10) == []


async def test_a_row_is_claimed_by_one_worker_and_a_write_may_begin_until_a_margin_before_the_end(store):
    here, other = await healing(store, KEY), journal(store, "other")
    before = asyncio.get_running_loop().time()
    [claim] = await here.claim_rows(10)
    assert before + 39 <= claim.deadline <= asyncio.get_running_loop().time() + 40
    assert (claim.at, claim.row.info, claim.target) == (KEY, info(), "")
    assert await other.claim_rows(10) == []


async def test_workers_never_get_the_same_row(store):
    ats = [Address("media", f"{number}") for number in range(40)]
    await healing(store, *ats)
    claims = await asyncio.gather(*(journal(store, f"{number}").claim_rows(10) for number in range(4)))
    assert sorted(claim.at for some in claims for claim in some) == sorted(ats)


async def test_what_was_deleted_is_healed_first_and_then_the_oldest(store):
    names = ["z", "y", "x", "w"]
    here = await failed_over(store)
    for name in names:
        await committed(here, Address("media", name))
    await here.bury([Address("media", "x"), Address("media", "w")])
    await here.turn(Mode.HEALING, "a test")
    store.later(HOLD + 1)
    assert sorted(claim.at.key for claim in await here.claim_rows(2)) == ["w", "x"]
    assert [claim.at.key for claim in await here.claim_rows(1)] == ["z"]
    assert [claim.at.key for claim in await here.claim_rows(5)] == ["y"]


async def test_a_healed_row_is_gone_and_its_staged_object_is_deleted_after_hold(store):
    here = await healing(store, KEY)
    [claim] = await here.claim_rows(10)
    assert await here.healed(claim, Outcome.APPLIED)
    assert (await here.look(KEY)).row is None
    assert await here.sweep() == []
    store.later(HOLD + 1)
    assert await here.sweep() == [Trash("disk", Address(KEY.bucket, claim.row.staged))]


async def test_a_new_row_rests_before_its_heal_counts(store):
    here = await failed_over(store)
    await committed(here)
    await here.turn(Mode.HEALING, "a test")
    store.later(HOLD - 1)
    assert await here.claim_rows(10) == []
    store.later(1)
    [claim] = await here.claim_rows(10)
    assert await here.healed(claim, Outcome.APPLIED)


async def test_a_row_that_is_replaced_does_not_rest_again(store):
    here = await healing(store, KEY)
    await committed(here)
    [claim] = await here.claim_rows(10)
    assert await here.healed(claim, Outcome.APPLIED)


async def test_a_heal_of_what_was_replaced_meanwhile_does_not_count(store):
    here = await healing(store, KEY)
    [claim] = await here.claim_rows(10)
    newest = await committed(here)
    assert not await here.healed(claim, Outcome.APPLIED)
    assert (await here.look(KEY)).row == newest
    [claim] = await here.claim_rows(10)
    assert claim.row == newest
    assert await here.healed(claim, Outcome.APPLIED)


async def test_a_heal_of_unknown_outcome_taints_the_key_for_hold(store):
    here = await healing(store, KEY)
    [claim] = await here.claim_rows(10)
    assert not await here.healed(claim, Outcome.UNKNOWN)
    store.later(HOLD / 2)
    [claim] = await here.claim_rows(10)
    assert not await here.healed(claim, Outcome.APPLIED)
    assert await here.claim_rows(10) == []
    store.later(HOLD / 2 + 1)
    [claim] = await here.claim_rows(10)
    assert await here.healed(claim, Outcome.APPLIED)


async def test_a_heal_counts_by_when_it_was_claimed_not_by_when_it_ended(store):
    here = await healing(store, KEY)
    [claim] = await here.claim_rows(10)
    await here.healed(claim, Outcome.UNKNOWN)
    store.later(HOLD - 1)
    [claim] = await here.claim_rows(10)
    store.later(2)
    assert not await here.healed(claim, Outcome.APPLIED)


async def test_who_takes_over_a_lease_that_ran_out_taints_the_key(store):
    here, other = await healing(store, KEY), journal(store, "other")
    await here.claim_rows(10)
    store.later(TIMING.worker_lease + 1)
    [claim] = await other.claim_rows(10)
    assert not await other.healed(claim, Outcome.APPLIED)
    store.later(HOLD + 1)
    [claim] = await other.claim_rows(10)
    assert await other.healed(claim, Outcome.APPLIED)


@pytest.mark.parametrize("outcome", [Outcome.APPLIED, Outcome.UNKNOWN])
async def test_who_has_lost_a_lease_and_may_have_written_taints_the_key(store, outcome):
    here, other = await healing(store, KEY), journal(store, "other")
    [late] = await here.claim_rows(10)
    await here.release(late, 0.0)  # so that whoever is next does not taint it for having taken it over
    [claim] = await other.claim_rows(10)
    assert not await here.healed(late, outcome)
    assert not await other.healed(claim, Outcome.APPLIED)
    assert (await here.look(KEY)).row


async def test_who_has_lost_a_lease_and_has_not_written_taints_nothing(store):
    here, other = await healing(store, KEY), journal(store, "other")
    [late] = await here.claim_rows(10)
    await here.release(late, 0.0)
    [claim] = await other.claim_rows(10)
    assert not await here.healed(late, Outcome.REFUSED)
    assert await other.healed(claim, Outcome.APPLIED)


async def test_a_late_heal_does_not_touch_what_came_up_anew(store):
    here = await healing(store, KEY)
    [claim] = await here.claim_rows(10)
    assert await here.healed(claim, Outcome.APPLIED)
    assert not await here.healed(claim, Outcome.APPLIED)
    newest = await committed(here)
    assert not await here.healed(claim, Outcome.APPLIED)
    assert (await here.look(KEY)).row == newest


@pytest.mark.usefixtures("longest_waits")
async def test_a_refused_heal_is_tried_again_ever_later(store):
    here = await healing(store, KEY)
    waits = []
    for attempts in range(6):
        [claim] = await here.claim_rows(10)
        assert claim.attempts == attempts
        assert not await here.healed(claim, Outcome.REFUSED, "AccessDenied")
        waits.append(0)
        while not (found := await here.claim_rows(10)):
            waits[-1] += 1
            store.later(0.5)
        await here.release(found[0], 0.0)
    assert waits[-1] >= 16
    store.later(TIMING.backoff_limit)


async def test_a_lease_lasts_longer_for_who_renews_it(store):
    here, other = await healing(store, KEY), journal(store, "other")
    [claim] = await here.claim_rows(10)
    for _ in range(5):
        store.later(TIMING.worker_lease - 1)
        renewed = await here.renew(claim)
        assert renewed.deadline > claim.deadline
        assert replace(renewed, deadline=claim.deadline) == claim
        assert await other.claim_rows(10) == []
    assert await here.healed(claim, Outcome.APPLIED)


async def test_a_lost_lease_is_not_renewed(store):
    here, other = await healing(store, KEY), journal(store, "other")
    [claim] = await here.claim_rows(10)
    store.later(TIMING.worker_lease + 1)
    await other.claim_rows(10)
    assert await here.renew(claim) is None


async def test_a_released_row_comes_again_when_it_was_said(store):
    here = await healing(store, KEY)
    [claim] = await here.claim_rows(10)
    await here.release(claim, 30.0)
    store.later(29)
    assert await here.claim_rows(10) == []
    store.later(1)
    [claim] = await here.claim_rows(10)
    assert claim.attempts == 0
    assert await here.healed(claim, Outcome.APPLIED)


async def test_an_operator_is_told_what_the_primary_lacks(store):
    here = await failed_over(store)
    assert (await here.unhealed())[:3] == (0, 0, 0)
    await committed(here)
    await committed(here, Address("media", "x"))
    await here.bury([Address("media", "y")])
    store.later(60)
    healing = await here.unhealed()
    assert healing[:3] == (2, 1, 6)
    assert 60 <= healing.oldest < 120


async def test_what_a_newer_state_has_replaced_goes_sooner_than_what_nobody_knows_of(store):
    here = await failed_over(store)
    first = await committed(here)
    given_up = await here.begin(KEY, Kind.PUT, on_fallback=True)
    second = await committed(here)
    assert second.gen > first.gen
    await settled(here, (given_up, Outcome.REFUSED, None))
    store.later(SUPERSEDED - 1)
    assert await here.sweep() == []
    store.later(2)
    assert await here.sweep() == [Trash("disk", Address(KEY.bucket, first.staged))]
    store.later(TIMING.hold)
    assert Trash("disk", Address(KEY.bucket, given_up.staged)) in await here.sweep()
