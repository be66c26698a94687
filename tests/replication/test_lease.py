"""Until when a write may begin, and what is known of one that did not."""

import asyncio
from dataclasses import replace

import pytest

from gateway.errors import InternalError, ServiceUnavailable
from gateway.replication.lease import Lease
from gateway.replication.outcome import Fenced
from gateway.replication.records import Claim, Kind, Outcome, Timing
from gateway.state.store import StateUnavailable
from tests.replication.scene import AT

TIMING = Timing(worker_lease=0.003)


class Answering:
    """A journal that renews as it is told to, and then says no more."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.asked, self.all_asked = asyncio.Event(), asyncio.Event()

    async def renew(self, claim):
        self.asked.set()
        if not self._answers:
            self.all_asked.set()
            await asyncio.Event().wait()
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if answer is None else replace(claim, deadline=now() + answer)


def now():
    return asyncio.get_running_loop().time()


def claim(lasts):
    return Claim(AT, 1, "token", 0.0, now() + lasts, None, Kind.PUT)


async def may_write(lease):
    try:
        await lease.check()
    except Fenced:
        return False
    return True


async def test_a_write_may_begin_before_the_deadline():
    assert await may_write(Lease(Answering(), claim(100), TIMING))


async def test_no_write_may_begin_at_the_deadline():
    assert not await may_write(Lease(Answering(), claim(0), TIMING))


async def test_a_lease_that_is_renewed_lasts_longer():
    journal = Answering(100)
    lease = Lease(journal, claim(0), TIMING)
    async with lease.held():
        await journal.all_asked.wait()
        assert await may_write(lease)


async def test_with_a_lease_that_is_lost_no_write_may_begin():
    journal = Answering(None)
    lease = Lease(journal, claim(100), TIMING)
    async with lease.held():
        await journal.asked.wait()
        assert not await may_write(lease)


async def test_a_journal_that_does_not_answer_leaves_the_deadline_as_it_was():
    journal = Answering(StateUnavailable())
    lease = Lease(journal, claim(100), TIMING)
    async with lease.held():
        await journal.all_asked.wait()
        assert await may_write(lease)


async def test_it_is_asked_again_after_no_answer():
    journal = Answering(StateUnavailable(), 100)
    lease = Lease(journal, claim(0), TIMING)
    async with lease.held():
        await journal.all_asked.wait()
        assert await may_write(lease)


async def test_nothing_is_renewed_when_all_is_done():
    journal = Answering()
    async with Lease(journal, claim(100), TIMING).held():
        pass
    await asyncio.sleep(TIMING.worker_lease * 3)
    assert not journal.all_asked.is_set()


@pytest.mark.parametrize("error", [InternalError(), ServiceUnavailable(), ValueError()])
async def test_what_was_never_let_begin_was_certainly_not_done(error):
    assert Lease(Answering(), claim(100), TIMING).outcome_of(error) is Outcome.REFUSED


async def test_what_was_fenced_was_certainly_not_done():
    lease = Lease(Answering(), claim(0), TIMING)
    await may_write(lease)
    assert lease.outcome_of(InternalError()) is Outcome.REFUSED


@pytest.mark.parametrize(
    ("error", "outcome"), [(InternalError(), Outcome.UNKNOWN), (ServiceUnavailable(), Outcome.REFUSED)]
)
async def test_what_was_let_begin_may_have_been_done(error, outcome):
    lease = Lease(Answering(), claim(100), TIMING)
    await lease.check()
    assert lease.outcome_of(error) is outcome
