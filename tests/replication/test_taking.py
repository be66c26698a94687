"""Who may work at one key at once, without waiting for its turn."""

import pytest

from gateway.replication.records import Baseline, Kind, Outcome, Turn
from tests.replication.given import KEY, NOTHING, TIMING, info, journal

OVER = Turn(None, is_over=True)


@pytest.fixture
async def here(store):
    here = journal(store, targets=["copy"])
    await here.beat(NOTHING, automatic=False)
    await here.set_baseline("copy", Baseline.COMPLETE)
    return here


async def wrote(here, kind=Kind.PUT):
    op = await here.begin(KEY, kind)
    await here.settled(op, Outcome.APPLIED, info() if kind is Kind.PUT else None)


async def taken(here):
    claim = (await here.take("copy", KEY)).claim
    assert claim
    return claim


async def test_what_was_written_down_at_once_is_there_when_it_returns(here):
    await wrote(here)
    assert (await here.lag())["copy"].pending == 1


async def test_what_could_not_be_written_down_at_once_is_later(store, here):
    op = await here.begin(KEY, Kind.PUT)
    store.failures.append("before")
    with pytest.raises(Exception, match="Service"):
        await here.settled(op, Outcome.APPLIED, info())
    await here.drained()
    assert (await here.lag())["copy"].pending == 1


async def test_with_a_clean_key_there_is_nothing_to_do(here):
    assert await here.take("copy", KEY) == OVER


async def test_who_takes_a_key_may_make_it_clean(here):
    await wrote(here)
    assert await here.mirrored(await taken(here), Outcome.APPLIED)
    assert await here.take("copy", KEY) == OVER


async def test_a_key_that_somebody_has_is_not_taken(here):
    await wrote(here)
    await here.claim_tasks("copy", 10)
    assert await here.take("copy", KEY) == Turn(None)


async def test_a_key_that_was_taken_is_not_claimed(here):
    await wrote(here)
    await taken(here)
    assert await here.claim_tasks("copy", 10) == []


async def test_a_key_that_waits_after_a_failure_is_taken(here):
    await wrote(here)
    assert not await here.mirrored(await taken(here), Outcome.REFUSED)
    assert await here.claim_tasks("copy", 10) == []
    assert await taken(here)


async def test_who_takes_over_a_key_whose_lease_ran_out_taints_it(store, here):
    await wrote(here)
    await taken(here)
    store.later(TIMING.worker_lease + 1)
    assert not await here.mirrored(await taken(here), Outcome.APPLIED)


async def test_a_tainted_key_is_not_clean_by_being_taken(here):
    await wrote(here)
    await here.mirrored(await taken(here), Outcome.UNKNOWN)
    assert not await here.mirrored(await taken(here), Outcome.APPLIED)


async def test_nobody_waits_for_a_paused_mirror(here):
    await wrote(here)
    await here.pause("copy")
    assert await here.take("copy", KEY) == OVER


@pytest.mark.parametrize(("kind", "is_over"), [(Kind.DELETE, True), (Kind.PUT, False)])
async def test_nobody_waits_for_a_delete_that_the_brake_holds(here, kind, is_over):
    await wrote(here, kind)
    await here.count("copy", 0, 5000)
    assert (await here.take("copy", KEY)).is_over == is_over
