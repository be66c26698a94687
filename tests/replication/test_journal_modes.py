from dataclasses import replace

import pytest

from gateway.errors import ServiceUnavailable
from gateway.replication.records import Kind, Mode, Outcome, Vote
from tests.replication.given import AGES, DOWN, KEY, NOTHING, TIMING, UP, committed, failed_over, info, journal

BARRIER = TIMING.lease + TIMING.drift


async def mode(here):
    return (await here.look(KEY)).mode


async def test_a_route_that_was_never_heard_of_is_normal(store):
    here = journal(store)
    look = await here.look(KEY)
    assert (look.mode, look.row) == (Mode.NORMAL, None)


async def test_a_node_may_rely_on_normal_for_its_lease_and_on_nothing_else(store):
    here = journal(store)
    assert await here.beat(UP, automatic=True) == (Mode.NORMAL, 0, TIMING.lease, TIMING.node_lease)
    away = await failed_over(store)
    assert await away.beat(NOTHING, automatic=True) == (Mode.FAILOVER, 1, 0.0, TIMING.node_lease)
    await away.turn(Mode.HEALING, "a test")
    await committed(away)
    assert await away.beat(NOTHING, automatic=True) == (Mode.HEALING, 2, 0.0, TIMING.node_lease)


async def test_entering_failover_waits_for_the_leases_of_normal(store):
    here = journal(store, timing=replace(TIMING, drift=60.0))
    standing = await here.beat(DOWN, automatic=True)
    assert (standing.mode, standing.epoch) == (Mode.NORMAL, 1)
    assert await mode(here) is Mode.NORMAL
    store.later(TIMING.lease)
    op = await here.begin(KEY, Kind.PUT, on_fallback=True)
    with pytest.raises(ServiceUnavailable):
        await here.commit(op, info())
    store.later(60)
    assert await mode(here) is Mode.FAILOVER
    await here.commit(op, info())


async def test_no_lease_of_normal_outlasts_the_barrier(store):
    here, other = journal(store), journal(store, "other")
    await here.beat(DOWN, automatic=True)
    store.later(2)
    standing = await other.beat(NOTHING, automatic=True)
    assert standing.mode is Mode.NORMAL
    assert standing.mode_for <= BARRIER - 2


async def test_a_node_without_a_vote_keeps_nobody_from_changing_the_mode(store):
    await journal(store, "other").beat(None, automatic=True)
    await journal(store).beat(DOWN, automatic=True)
    assert (await journal(store).state()).epoch == 1


async def test_a_node_without_a_vote_changes_the_mode_for_nobody(store):
    here = journal(store)
    await here.beat(NOTHING, automatic=True)
    await journal(store, "other").beat(None, automatic=True)
    assert (await here.state()).epoch == 0


async def test_one_node_of_three_does_not_change_the_mode(store):
    nodes = [journal(store, name) for name in "abc"]
    for node in nodes[1:]:
        await node.beat(UP, automatic=True)
    await nodes[0].beat(DOWN, automatic=True)
    assert (await nodes[0].state()).epoch == 0
    await nodes[1].beat(DOWN, automatic=True)
    assert (await nodes[0].state()).epoch == 1


async def test_a_node_whose_lease_is_over_has_no_vote(store):
    here, gone = journal(store), journal(store, "gone")
    await gone.beat(UP, automatic=True)
    await here.beat(DOWN, automatic=True)
    assert (await here.state()).epoch == 0
    store.later(TIMING.node_lease + 1)
    await here.beat(DOWN, automatic=True)
    assert (await here.state()).epoch == 1


@pytest.mark.parametrize("vote", [Vote(down_for=TIMING.down_after - 1), Vote(up_for=100.0), Vote()])
async def test_a_primary_that_is_not_down_for_long_enough_is_not_left(store, vote):
    here = journal(store)
    await here.beat(vote, automatic=True)
    assert (await here.state()).epoch == 0


async def test_a_primary_that_is_up_again_for_long_enough_is_healed(store):
    here = await failed_over(store)
    await committed(here)
    await here.beat(Vote(up_for=TIMING.up_after - 1), automatic=True)
    assert await mode(here) is Mode.FAILOVER
    await here.beat(Vote(up_for=TIMING.up_after), automatic=True)
    assert await mode(here) is Mode.HEALING


async def test_without_automatic_only_the_operator_changes_the_mode(store):
    here = journal(store)
    await here.beat(DOWN, automatic=False)
    assert (await here.state()).epoch == 0
    away = await failed_over(store)
    await away.beat(UP, automatic=False)
    assert await mode(away) is Mode.FAILOVER


async def test_a_pinned_mode_is_not_left_by_itself(store):
    here = journal(store)
    assert await here.turn(Mode.NORMAL, "maintenance", pin=True) is Mode.NORMAL
    await here.beat(DOWN, automatic=True)
    assert (await here.state()).epoch == 0
    assert (await here.state()).pinned
    await here.turn(Mode.NORMAL, "done")
    await here.beat(DOWN, automatic=True)
    assert (await here.state()).epoch == 1


async def test_healing_ends_only_when_no_row_is_left(store):
    here = await failed_over(store)
    await committed(here)
    await here.turn(Mode.HEALING, "a test")
    for _ in range(3):
        assert (await here.beat(UP, automatic=True)).mode is Mode.HEALING
    store.later(TIMING.hold + 1)
    [claim] = await here.claim_rows(10)
    assert await here.healed(claim, Outcome.APPLIED)
    assert (await here.beat(UP, automatic=True)).mode is Mode.NORMAL


async def test_a_row_that_comes_up_in_healing_keeps_it_from_ending(store):
    here = await failed_over(store)
    await here.turn(Mode.HEALING, "a test")
    await here.bury([KEY])
    assert (await here.beat(UP, automatic=True)).mode is Mode.HEALING


async def test_healing_with_nothing_to_heal_is_over_at_the_next_beat(store):
    here = await failed_over(store)
    await here.turn(Mode.HEALING, "a test")
    assert (await here.beat(UP, automatic=False)).mode is Mode.NORMAL


async def test_a_primary_that_fails_again_while_it_is_healed_is_left_at_once(store):
    here = await failed_over(store)
    await committed(here)
    await here.turn(Mode.HEALING, "a test")
    assert (await here.beat(DOWN, automatic=True)).mode is Mode.FAILOVER
    await here.bury([KEY])


async def test_the_way_from_failover_to_normal_is_healing(store):
    here = await failed_over(store)
    await committed(here)
    assert await here.turn(Mode.NORMAL, "a test") is Mode.HEALING
    assert await here.turn(Mode.NORMAL, "a test") is Mode.HEALING


async def test_nothing_is_healed_that_was_never_left(store):
    here = journal(store)
    assert await here.turn(Mode.HEALING, "a test") is Mode.NORMAL
    assert (await here.state()).epoch == 0


async def test_a_change_of_mode_under_way_is_not_changed_again(store):
    here = journal(store)
    await here.turn(Mode.FAILOVER, "a test")
    with pytest.raises(ServiceUnavailable):
        await here.turn(Mode.NORMAL, "a test")
    await here.beat(UP, automatic=True)
    assert (await here.state()).epoch == 1


async def test_an_operator_is_told_why_and_since_when(store):
    here = await failed_over(store)
    store.later(60)
    state = await here.state()
    assert (state.mode, state.reason) == (Mode.FAILOVER, "a test")
    assert 60 <= state.since < 120


async def test_routes_have_modes_of_their_own(store):
    here, elsewhere = await failed_over(store), journal(store, route="elsewhere")
    assert await mode(here) is Mode.FAILOVER
    assert await mode(elsewhere) is Mode.NORMAL


async def test_a_node_that_is_long_gone_is_forgotten_without_its_ops(store):
    here, gone = journal(store), journal(store, "gone")
    await gone.beat(UP, automatic=True)
    await gone.begin(KEY, Kind.PUT)
    store.later(AGES)
    await here.beat(DOWN, automatic=False)
    await here.sweep()
    assert len(await here.claim_tasks("copy", 10)) == 1
    assert (await here.beat(DOWN, automatic=True)).epoch == 1
