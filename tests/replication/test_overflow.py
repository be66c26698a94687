"""A mirror that is away for long costs the database no more than so many rows, and gets everything when it is back."""

import asyncio

import pytest
from sqlalchemy import func, select

from gateway.errors import ServiceUnavailable
from gateway.replication import baseline as baselines
from gateway.replication.baseline import Baseline
from gateway.replication.records import Baseline as State
from gateway.replication.records import Kind, Outcome
from gateway.state.schema import TASKS
from gateway.storage import Address
from tests.backends.given import put
from tests.replication.given import settled
from tests.replication.scene import BUCKET, TARGET, found

MOST = 10
NEW = Address(BUCKET, "new")


def at(number):
    return Address(BUCKET, f"key {number}")


def baseline(scene, most=MOST):
    async def named():
        return [BUCKET]

    return Baseline(scene.journal, TARGET, scene.primary, scene.mirror, named, most=most)


async def tasks(scene):
    return await scene.store.read(lambda tx: tx.connection.scalar(select(func.count()).select_from(TASKS)))


async def overflow(scene):
    """Have the mirror lack more than may be, and the gateway know it."""
    for number in range(MOST + 1):
        await scene.put(b"before", at(number))
    await baseline(scene).round()


async def caught_up(scene):
    """Have the mirror be there again for as long as it takes."""
    for _ in range(3):
        await scene.mirrored()
        await baseline(scene).round()
    return await scene.mirrored()


async def replica(scene):
    return await scene.journal.replica(TARGET)


async def test_so_many_keys_are_written_down_and_no_more(scene):
    await overflow(scene)
    for number in range(100):
        await scene.put(at=at(number))
        await scene.delete(at(number + 1000))
        await baseline(scene).round()
    assert await tasks(scene) == MOST + 1


async def test_what_is_written_while_the_mirror_is_filled_is_bounded_as_well(scene, monkeypatch):
    for number in range(MOST):
        await put(scene.primary.inner, at(number), b"before")
    await scene.journal.set_baseline(TARGET, State.NONE)
    monkeypatch.setattr(baselines, "BATCH", 1)
    walk = asyncio.create_task(baseline(scene).round())
    while await tasks(scene) <= MOST // 2:  # noqa: ASYNC110  only the database knows
        await asyncio.sleep(0.01)
    for number in range(MOST + 1):
        await scene.put(at=at(number + 100))
    with pytest.raises(ServiceUnavailable):
        await walk
    await baseline(scene).round()
    assert (await replica(scene)).overflowed


async def test_it_is_told_and_nothing_is_read_from_the_mirror(scene):
    await scene.put(at=NEW)
    assert await scene.mirrored()
    assert (await replica(scene)).overflowed is False
    assert await scene.is_clean(NEW)
    await overflow(scene)
    assert (await replica(scene)).overflowed is True
    assert (await replica(scene)).baseline is State.INVALID
    assert not await scene.is_clean(NEW)


async def test_what_was_not_written_down_is_copied_when_the_mirror_is_back(scene):
    await overflow(scene)
    await scene.put(b"unheard of", NEW)
    await scene.put(b"newer", at(3))
    assert await caught_up(scene)
    assert await found(scene.mirror, NEW) == b"unheard of"
    assert await found(scene.mirror, at(3)) == b"newer"
    assert (await replica(scene)).overflowed is False
    assert (await replica(scene)).baseline is State.COMPLETE
    assert await scene.is_clean(NEW)


async def test_what_was_deleted_goes_when_the_mirror_is_back_whether_it_was_written_down_or_not(scene):
    await scene.put(at=NEW)
    assert await scene.mirrored()
    await overflow(scene)
    await scene.delete(NEW)
    await scene.delete(at(5))
    assert await caught_up(scene)
    assert await found(scene.mirror, NEW) is None
    assert await found(scene.mirror, at(5)) is None
    assert await found(scene.mirror, at(6)) == b"before"


async def test_what_the_gateway_has_not_copied_there_stays(scene):
    await put(scene.mirror.inner, Address(BUCKET, "somebody's"), b"theirs")
    await overflow(scene)
    await scene.delete(NEW)
    await caught_up(scene)
    assert await found(scene.mirror, Address(BUCKET, "somebody's")) == b"theirs"


async def test_what_vanished_from_the_primary_by_itself_stays_if_nobody_has_deleted_anything(scene):
    await scene.put(at=NEW)
    assert await scene.mirrored()
    await overflow(scene)
    await scene.primary.inner.delete(NEW)
    await caught_up(scene)
    assert await found(scene.mirror, NEW) == b"data"


async def test_what_is_written_while_both_sides_are_compared_is_neither_lost_nor_deleted(scene):
    await scene.put(at=NEW)
    assert await scene.mirrored()
    await overflow(scene)
    await scene.delete(NEW)
    await scene.mirrored()
    await baseline(scene).round()  # NEW is to be deleted there
    await scene.put(b"again", NEW)
    assert await caught_up(scene)
    assert await found(scene.mirror, NEW) == b"again"


async def test_a_mirror_that_has_not_got_what_was_written_down_is_not_compared(scene):
    await overflow(scene)
    await scene.put(at=NEW)
    scene.mirror.told.clear()
    await baseline(scene).round()
    assert ("list_objects", BUCKET) not in scene.mirror.told
    assert (await replica(scene)).overflowed is True


async def test_a_mirror_that_overflows_again_while_it_is_compared_is_not_complete(scene):
    await overflow(scene)
    await scene.mirrored()
    await scene.journal.excess.end(TARGET)
    await scene.journal.excess.begin(TARGET)
    assert not await scene.journal.excess.complete(TARGET, deletes=True)
    assert (await replica(scene)).baseline is State.INVALID


async def test_a_mirror_of_which_it_came_out_too_late_that_it_lacks_deletes_is_not_complete(scene):
    await scene.journal.excess.begin(TARGET)
    await scene.delete(NEW)
    await scene.journal.excess.end(TARGET)
    assert not await scene.journal.excess.complete(TARGET, deletes=False)
    assert await scene.journal.excess.complete(TARGET, deletes=True)


async def test_a_write_of_ours_that_may_have_gone_wrong_is_always_written_down(scene):
    await scene.put(at=NEW)
    claim = await scene.claim()
    scene.store.later(scene.timing.worker_lease + 1)
    [taken_over] = await scene.journal.claim_tasks(TARGET, 10)
    scene.store.later(scene.timing.hold)
    await scene.journal.mirrored(taken_over, Outcome.APPLIED)
    scene.store.later(scene.timing.hold)
    again = await scene.journal.claim_tasks(TARGET, 10)
    for each in again:
        await scene.journal.mirrored(each, Outcome.APPLIED)
    assert await scene.is_clean(NEW)
    await scene.journal.excess.begin(TARGET)
    await scene.journal.mirrored(claim, Outcome.UNKNOWN)
    assert await tasks(scene) == 1


async def test_who_waits_for_a_mirror_is_not_told_that_it_has_what_is_not_written_down(scene):
    await overflow(scene)
    op = await scene.journal.begin(NEW, Kind.PUT)
    stored = await put(scene.primary.inner, NEW, b"data")
    await settled(scene.journal, (op, Outcome.APPLIED, stored))
    with pytest.raises(ServiceUnavailable):
        await scene.mirroring.follow(NEW)
