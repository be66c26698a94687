"""Too many deletes at once wait for somebody who knows better."""

import pytest

from gateway.replication.records import Baseline, Kind, Outcome, Replica
from gateway.storage import Address
from tests.backends.given import body
from tests.replication.given import NOTHING, journal, settled
from tests.replication.scene import BUCKET, TARGET, found

HOUR = 3600.0
LIMIT = 1000


@pytest.fixture
async def here(store):
    here = journal(store, targets=["copy", "vault"])
    await here.beat(NOTHING, automatic=False)
    return here


async def braked(here, target="copy"):
    return (await here.replica(target)).braked


async def test_as_many_deletes_as_allowed_are_no_accident(here):
    assert not await here.count("copy", 0, LIMIT)
    assert not await braked(here)


async def test_one_more_is_one_and_that_is_told_once(here):
    assert not await here.count("copy", 0, LIMIT)
    assert await here.count("copy", 0, 1)
    assert await braked(here)
    assert not await here.count("copy", 0, 1)


async def test_another_mirror_is_not_concerned(here):
    await here.count("copy", 0, LIMIT + 1)
    assert not await braked(here, "vault")


async def test_deletes_of_another_hour_are_not_counted(store, here):
    await here.count("copy", 0, LIMIT)
    store.later(HOUR)
    await here.count("copy", 0, LIMIT)
    assert not await braked(here)


async def test_a_brake_stays_on_however_long_it_takes(store, here):
    await here.count("copy", 0, LIMIT + 1)
    store.later(10 * HOUR)
    assert not await here.count("copy", 0, 1)
    assert await braked(here)


async def test_of_many_keys_a_twentieth_may_be_deleted(here):
    await here.know("copy", 100_000)
    await here.count("copy", 0, 5000)
    assert not await braked(here)
    assert await here.count("copy", 0, 1)


async def test_keys_that_were_made_are_known_too(here):
    await here.count("copy", 40_000, 0)
    await here.count("copy", 0, 2000)
    assert not await braked(here)
    assert await here.count("copy", 0, 1)


async def test_keys_that_were_deleted_in_another_hour_are_known_no_more(store, here):
    await here.know("copy", 40_000)
    for _ in range(5):
        await here.count("copy", 0, 1500)
        store.later(HOUR)
    assert not await here.count("copy", 0, 1625)
    assert await here.count("copy", 0, 1)


async def deleted(here, keys):
    for key in range(keys):
        op = await here.begin(Address("media", f"{key}"), Kind.DELETE)
        await settled(here, (op, Outcome.APPLIED, None))


async def test_who_is_let_go_on_may_delete_what_waits_and_then_as_much_as_ever(store, here):
    await here.count("copy", 0, LIMIT + 1)
    await deleted(here, 3)
    await here.pause("copy", paused=False)
    assert not await braked(here)
    store.later(HOUR)
    assert not await here.count("copy", 0, LIMIT + 3)
    assert await here.count("copy", 0, 1)


async def test_to_let_go_on_what_was_not_braked_allows_nothing_more(here):
    await deleted(here, 3)
    await here.pause("copy", paused=False)
    assert not await here.count("copy", 0, LIMIT)
    assert await here.count("copy", 0, 1)


async def test_who_pauses_a_mirror_does_not_release_its_brake(here):
    await here.count("copy", 0, LIMIT + 1)
    await here.pause("copy")
    assert await braked(here)


async def test_the_baseline_is_told_beside_it(here):
    await here.set_baseline("copy", Baseline.COMPLETE)
    await here.count("copy", 0, LIMIT + 1)
    assert await here.replica("copy") == Replica(Baseline.COMPLETE, braked=True)


# --- the workers ---


async def test_a_delete_waits_while_copies_go_on(scene):
    other = Address(BUCKET, "other")
    await scene.put()
    assert await scene.mirrored()
    await scene.journal.count(TARGET, 0, LIMIT + 1)
    await scene.delete()
    await scene.put(b"new", other)
    assert not await scene.mirrored()
    assert await found(scene.mirror) == b"data"
    assert await found(scene.mirror, other) == b"new"
    assert not await scene.is_clean()
    assert await scene.is_clean(other)


async def test_what_waited_is_deleted_at_once_when_somebody_says_so(scene):
    await scene.put()
    assert await scene.mirrored()
    await scene.journal.count(TARGET, 0, LIMIT + 1)
    await scene.delete()
    scene.journal._scope.rules.again = lambda attempts, now: now + HOUR
    assert not await scene.mirrored()
    await scene.journal.pause(TARGET, paused=False)
    assert await scene.mirrored()
    assert await found(scene.mirror) is None


async def test_a_tombstone_waits_as_well(scene):
    await scene.put()
    assert await scene.mirrored()
    await scene.fail_over()
    await scene.journal.bury([Address(BUCKET, "designs/42.png")])
    await scene.journal.count(TARGET, 0, LIMIT + 1)
    assert not await scene.mirrored()
    assert await found(scene.mirror) == b"data"


async def counted(scene):
    told = []
    count = scene.journal.count

    async def listening(target, made, deleted):
        told.append((made, deleted))
        return await count(target, made, deleted)

    scene.journal.count = listening
    return told


async def test_what_was_made_and_deleted_is_counted_and_what_was_replaced_is_not(scene):
    told = await counted(scene)
    ats = [Address(BUCKET, f"{number}") for number in range(3)]
    for at in ats:
        await scene.put(b"old", at)
    await scene.mirrored()
    await scene.put(b"new", ats[0])
    for at in ats[1:]:
        await scene.delete(at)
    await scene.mirrored()
    assert told == [(3, 0), (0, 2)]


async def test_what_the_journal_could_not_be_told_is_told_later(scene):
    told = await counted(scene)
    await scene.put()
    claim = await scene.claim()
    await scene.mirroring.work(claim)
    scene.store.failures.extend(["before"])
    await scene.mirroring._count()
    await scene.mirroring._count()
    await scene.mirroring._count()
    assert told == [(1, 0), (1, 0)]


async def test_keys_of_the_baseline_are_counted_by_that_only(scene):
    told = await counted(scene)
    at = Address(BUCKET, "old")
    await scene.primary.inner.put(at, body(b"old"))
    await scene.journal.mark(TARGET, [at])
    assert await scene.mirrored()
    assert told == []


async def test_the_worker_whose_deletes_were_too_many_says_so(scene, capsys):
    scene.journal._scope.rules.are_too_many = lambda deletes, keys: deletes > 1
    for number in range(3):
        at = Address(BUCKET, f"{number}")
        await scene.put(b"old", at)
        assert await scene.mirrored()
        await scene.delete(at)
        await scene.mirrored()
    assert capsys.readouterr().out.count("deletes_braked") == 1
    assert await found(scene.mirror, Address(BUCKET, "2")) == b"old"
