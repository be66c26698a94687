"""What a node may rely on without asking, and until when."""

import pytest

from gateway.replication.member import Member
from gateway.replication.records import Look, Mode, Standing
from gateway.state.store import StateUnavailable
from tests.replication.given import DOWN, NOTHING, UP
from tests.replication.scene import AT, Scene

LASTS = 100.0


class Clock(Member):
    """A member whose time goes on when it is told to."""

    time = 1000.0

    def _now(self):
        return self.time


class Saying:
    """A journal that says what is written here."""

    def __init__(self, standing):
        self.standing, self.votes = standing, []

    async def beat(self, vote, *, automatic):
        self.votes.append((vote, automatic))
        if isinstance(self.standing, Exception):
            raise self.standing
        return self.standing

    async def look(self, at):
        raise StateUnavailable


def member(journal, **options):
    return Clock(journal, lambda: NOTHING, Scene(None).timing, **options)


async def test_before_it_has_asked_a_node_relies_on_nothing():
    new = member(Saying(Standing(Mode.NORMAL, 1, LASTS, LASTS)))
    assert (new.mode, new.alive) == (None, False)
    assert not await new.may_write(AT, new.term)


async def test_normal_is_certain_until_the_lease_is_over():
    one = member(Saying(Standing(Mode.NORMAL, 1, LASTS, 2 * LASTS)))
    await one.beat()
    one.time += LASTS - 0.1
    assert one.mode is Mode.NORMAL
    one.time += 0.1
    assert (one.mode, one.alive) == (None, True)


async def test_normal_is_not_certain_to_a_node_whose_own_lease_is_over():
    one = member(Saying(Standing(Mode.NORMAL, 1, 2 * LASTS, LASTS)))
    await one.beat()
    one.time += LASTS
    assert (one.mode, one.alive) == (None, False)


async def test_a_lease_counts_from_before_the_question():
    class Slow(Saying):
        async def beat(self, vote, *, automatic):
            one.time += LASTS / 2
            return await super().beat(vote, automatic=automatic)

    one = member(Slow(Standing(Mode.NORMAL, 1, LASTS, LASTS)))
    await one.beat()
    one.time += LASTS / 2
    assert (one.mode, one.alive) == (None, False)


@pytest.mark.parametrize("mode", [Mode.FAILOVER, Mode.HEALING])
async def test_no_mode_but_normal_is_ever_certain(mode):
    one = member(Saying(Standing(mode, 1, LASTS, LASTS)))
    await one.beat()
    assert (one.mode, one.alive) == (None, True)


async def test_a_journal_that_does_not_answer_takes_nothing_away_before_its_time():
    journal = Saying(Standing(Mode.NORMAL, 1, LASTS, LASTS))
    one = member(journal)
    await one.beat()
    journal.standing = StateUnavailable()
    await one.beat()
    assert one.mode is Mode.NORMAL
    one.time += LASTS
    await one.beat()
    assert (one.mode, one.alive) == (None, False)


@pytest.mark.parametrize("automatic", [True, False])
async def test_the_vote_is_told_with_who_may_change_the_mode(automatic):
    journal = Saying(Standing(Mode.NORMAL, 1, LASTS, LASTS))
    one = Member(journal, lambda: DOWN, Scene(None).timing, automatic=automatic)
    await one.beat()
    assert journal.votes == [(DOWN, automatic)]


async def test_while_normal_is_certain_a_write_needs_no_question():
    one = member(Saying(Standing(Mode.NORMAL, 1, LASTS, LASTS)))
    await one.beat()
    assert await one.may_write(AT, one.term)


async def test_a_node_whose_lease_is_over_does_not_write_whatever_the_journal_says(scene):
    one = member(scene.journal)
    assert not await one.may_write(AT, one.term)


async def test_in_failover_nobody_writes_the_primary(scene):
    await scene.fail_over()
    one = member(scene.journal)
    await one.beat()
    assert not await one.may_write(AT, one.term)


async def test_in_healing_a_client_writes_what_the_primary_does_not_lack(scene):
    await scene.fail_over()
    await scene.put_on_fallback()
    await scene.turn(Mode.HEALING)
    one = member(scene.journal)
    await one.beat()
    assert not await one.may_write(AT, one.term)
    assert await one.may_write(AT._replace(key="other"), one.term)


async def test_a_lease_that_ran_out_during_the_question_is_over():
    class Slow(Saying):
        async def look(self, at):
            one.time += LASTS
            return Look(Mode.HEALING, None, frozenset())

    one = member(Slow(Standing(Mode.HEALING, 1, LASTS, LASTS)))
    await one.beat()
    assert not await one.may_write(AT, one.term)


async def test_a_primary_that_is_down_makes_it_fail_over_and_one_that_is_back_ends_that(scene):
    seen = [DOWN]
    one = Member(scene.journal, lambda: seen[0], scene.timing)
    await one.beat()
    scene.store.later(scene.timing.lease + scene.timing.drift)
    assert (await scene.journal.state()).mode is Mode.FAILOVER
    seen[0] = UP
    await one.beat()
    assert (await scene.journal.state()).mode is Mode.HEALING


async def test_a_write_that_began_before_the_lease_was_over_is_not_finished_after_it():
    """Others may have settled meanwhile what it intended: no mirror would hear of it."""
    one = member(Saying(Standing(Mode.NORMAL, 1, LASTS, LASTS)))
    await one.beat()
    began = one.term
    await one.beat()
    assert await one.may_write(AT, began)
    one.time += LASTS
    await one.beat()
    assert not await one.may_write(AT, began)
    assert await one.may_write(AT, one.term)
