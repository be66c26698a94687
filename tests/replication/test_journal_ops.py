import asyncio

import pytest

from gateway.replication import ops
from gateway.replication.records import Baseline, Kind, Outcome, Trash, staged_key
from gateway.state import StateUnavailable, StateUnknown
from gateway.storage import Address
from tests.replication.given import AGES, DOWN, KEY, NOTHING, TARGETS, TIMING, failed_over, info, journal, settled

HOLD = TIMING.hold


@pytest.fixture
async def here(store):
    """A node whose mirrors have been given all there was."""
    here = journal(store)
    await here.beat(NOTHING, automatic=False)
    for target in TARGETS:
        await here.set_baseline(target, Baseline.COMPLETE)
    return here


async def dirty(here, at=KEY):
    return set((await here.look(at)).dirty)


async def test_an_op_makes_its_key_dirty_on_every_mirror_until_it_is_settled(here):
    op = await here.begin(KEY, Kind.PUT)
    assert await dirty(here) == set(TARGETS)
    assert await dirty(here, Address("media", "other")) == set()
    await settled(here, (op, Outcome.REFUSED))
    assert await dirty(here) == set()


async def test_what_was_applied_is_lacking_on_every_mirror(here):
    op = await here.begin(KEY, Kind.PUT)
    await settled(here, (op, Outcome.APPLIED, info()))
    assert await dirty(here) == set(TARGETS)
    for target in TARGETS:
        [claim] = await here.claim_tasks(target, 10)
        assert (claim.at, claim.kind, claim.target, claim.row) == (KEY, Kind.PUT, target, None)


async def test_a_mirror_whose_baseline_is_not_complete_is_never_clean(here):
    await here.set_baseline("vault", Baseline.INVALID)
    assert await dirty(here) == {"vault"}


async def test_an_op_of_unknown_outcome_makes_a_task_only_after_hold(store, here):
    op = await here.begin(KEY, Kind.DELETE)
    await settled(here, (op, Outcome.UNKNOWN))
    store.later(HOLD - 1)
    await here.beat(NOTHING, automatic=False)
    await here.sweep()
    assert await here.claim_tasks("copy", 10) == []
    assert await dirty(here) == set(TARGETS)
    store.later(2)
    await here.sweep()
    [claim] = await here.claim_tasks("copy", 10)
    assert claim.kind is Kind.DELETE


async def test_an_op_lives_as_long_as_its_node_whatever_its_age(store, here):
    other = journal(store, "other")
    await other.beat(NOTHING, automatic=False)
    await other.begin(KEY, Kind.PUT)
    for _ in range(5):
        store.later(AGES)
        await other.beat(NOTHING, automatic=False)
        await here.sweep()
        assert await here.claim_tasks("copy", 10) == []


async def test_the_sweeper_waits_for_the_lease_of_the_node_and_then_for_hold(store, here):
    other = journal(store, "other")
    await other.beat(NOTHING, automatic=False)
    await other.begin(KEY, Kind.PUT)
    store.later(TIMING.node_lease + HOLD - 1)
    await here.sweep()
    assert await here.claim_tasks("copy", 10) == []
    store.later(2)
    await here.sweep()
    assert len(await here.claim_tasks("copy", 10)) == 1


async def test_what_was_applied_is_lacking_on_the_mirrors_even_if_the_op_was_swept(store, here):
    op = await here.begin(KEY, Kind.PUT)
    store.later(AGES)
    await here.sweep()
    for target in TARGETS:
        [claim] = await here.claim_tasks(target, 10)
        assert await here.mirrored(claim, Outcome.APPLIED)
    assert await dirty(here) == set()
    await settled(here, (op, Outcome.APPLIED, info()))
    assert await dirty(here) == set(TARGETS)


async def test_settling_goes_on_until_the_database_has_taken_it(store, here, monkeypatch):
    op = await here.begin(KEY, Kind.PUT)
    monkeypatch.setattr("gateway.replication.journal._FIRST_PAUSE", 0.001)
    store.failures.extend(["before", "after", "before"])
    await settled(here, (op, Outcome.APPLIED, info()))
    assert not store.failures
    assert len(await here.claim_tasks("copy", 10)) == 1


async def test_what_is_settled_together_is_one_transaction(store, here):
    begun = [await here.begin(Address("media", f"{number}"), Kind.PUT) for number in range(50)]
    before = store.writes
    await settled(here, *[(op, Outcome.APPLIED, info()) for op in begun])
    assert store.writes - before == 1
    assert len(await here.claim_tasks("copy", 100)) == 50


async def test_what_the_database_never_takes_does_not_hold_up_the_rest(store, here, monkeypatch):
    bad, good = await here.begin(KEY, Kind.PUT), await here.begin(Address("media", "good"), Kind.PUT)

    def broken(tx, scope, settlements, inner=ops.settle):
        inner(tx, scope, settlements)
        if any(settlement.op == bad for settlement in settlements):
            tx.connection.exec_driver_sql("SELECT * FROM nowhere")

    monkeypatch.setattr(ops, "settle", broken)
    await settled(here, (bad, Outcome.APPLIED))
    await settled(here, (good, Outcome.APPLIED))
    assert [claim.at.key for claim in await here.claim_tasks("copy", 10)] == ["good"]
    assert await dirty(here) == set(TARGETS)
    store.later(TIMING.node_lease * 6 + 1)
    await here.beat(NOTHING, automatic=False)
    await here.sweep()
    store.later(HOLD + 1)
    await here.sweep()
    assert KEY in [claim.at for claim in await here.claim_tasks("copy", 10)]


async def test_an_op_that_was_certainly_not_begun_leaves_nothing(store, here):
    store.failures.append("before")
    with pytest.raises(StateUnavailable):
        await here.begin(KEY, Kind.PUT)
    await here.drained()
    assert await dirty(here) == set()


async def test_an_op_whose_begin_was_not_answered_is_given_up(store, here):
    store.failures.append("after")
    with pytest.raises(StateUnknown):
        await here.begin(KEY, Kind.PUT)
    await here.drained()
    await swept_after_hold(store, here)


async def test_an_op_whose_begin_was_cancelled_is_given_up(store, here, monkeypatch):
    async def cancelled(work, inner=store.run):
        monkeypatch.setattr(store, "run", inner)
        await inner(work)
        raise asyncio.CancelledError

    monkeypatch.setattr(store, "run", cancelled)
    with pytest.raises(asyncio.CancelledError):
        await here.begin(KEY, Kind.PUT)
    await here.drained()
    await swept_after_hold(store, here)


async def swept_after_hold(store, here):
    assert await dirty(here) == set(TARGETS)
    store.later(HOLD + 1)
    await here.beat(NOTHING, automatic=False)
    await here.sweep()
    assert len(await here.claim_tasks("copy", 10)) == 1


async def test_an_op_that_its_own_node_does_not_know_of_is_given_up(store, here):
    op = await here.begin(KEY, Kind.PUT)
    here._begun.clear()  # as if the begin had come to the database after it was given up
    store.later(TIMING.node_lease * 6 + 1)
    await here.beat(NOTHING, automatic=False)
    await here.sweep()
    store.later(HOLD + 1)
    await here.beat(NOTHING, automatic=False)
    await here.sweep()
    assert [claim.at for claim in await here.claim_tasks("copy", 10)] == [op.at]


async def test_an_op_that_its_own_node_knows_of_is_not_given_up(store, here):
    await here.begin(KEY, Kind.PUT)
    store.later(AGES)
    await here.beat(NOTHING, automatic=False)
    await here.sweep()
    store.later(AGES)
    await here.beat(NOTHING, automatic=False)
    await here.sweep()
    assert await here.claim_tasks("copy", 10) == []


async def test_what_a_swept_op_staged_is_deleted_after_another_hold(store):
    here = await failed_over(store)
    op = await here.begin(KEY, Kind.PUT, on_fallback=True)
    assert op.staged == staged_key(op.id)
    store.later(TIMING.node_lease + HOLD + 1)
    assert await here.sweep() == []
    store.later(HOLD + 1)
    assert await here.sweep() == [Trash("disk", Address(KEY.bucket, op.staged))]
    assert await here.claim_tasks("copy", 10) == []


async def test_what_a_refused_op_staged_is_deleted_after_hold(store):
    here = await failed_over(store)
    op = await here.begin(KEY, Kind.PUT, on_fallback=True)
    await settled(here, (op, Outcome.REFUSED))
    assert await here.sweep() == []
    store.later(HOLD + 1)
    assert await here.sweep() == [Trash("disk", Address(KEY.bucket, op.staged))]


async def test_what_was_committed_is_never_deleted_by_a_late_settlement(store):
    here = await failed_over(store)
    op = await here.begin(KEY, Kind.PUT, on_fallback=True)
    await here.commit(op, info())
    await settled(here, (op, Outcome.REFUSED))
    store.later(AGES)
    assert await here.sweep() == []


async def test_trash_is_told_again_until_it_is_swept(store, here):
    trash = Trash("copy", Address("media", ".gw/trash/x"))
    await here.discard(trash)
    store.later(HOLD + 1)
    assert await here.sweep() == [trash]
    assert await here.sweep() == []  # somebody is at it
    store.later(TIMING.worker_lease + 1)
    assert await here.sweep() == [trash]
    await here.swept(trash)
    store.later(AGES)
    assert await here.sweep() == []


async def test_ops_of_one_route_are_not_swept_for_another(store, here):
    elsewhere = journal(store, "one", route="elsewhere")
    await elsewhere.beat(DOWN, automatic=False)
    await elsewhere.begin(KEY, Kind.PUT)
    store.later(AGES)
    await here.sweep()
    assert await here.claim_tasks("copy", 10) == []
    await elsewhere.sweep()
    assert len(await elsewhere.claim_tasks("copy", 10)) == 1


async def test_of_two_writes_that_overlapped_the_delete_is_remembered(here):
    put, delete = await here.begin(KEY, Kind.PUT), await here.begin(KEY, Kind.DELETE)
    await settled(here, (delete, Outcome.APPLIED))
    await settled(here, (put, Outcome.APPLIED, info()))
    [claim] = await here.claim_tasks("copy", 10)
    assert claim.kind is Kind.DELETE


async def test_a_delete_is_forgotten_for_a_put_that_began_after_it(store, here):
    delete = await here.begin(KEY, Kind.DELETE)
    await settled(here, (delete, Outcome.APPLIED))
    store.later(1)
    put = await here.begin(KEY, Kind.PUT)
    await settled(here, (put, Outcome.APPLIED, info()))
    [claim] = await here.claim_tasks("copy", 10)
    assert claim.kind is Kind.PUT
