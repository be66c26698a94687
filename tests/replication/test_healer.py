"""What the primary is given when it is back."""

import asyncio
from dataclasses import replace

import pytest

from gateway.errors import NoSuchKey
from gateway.replication.healer import Healer
from gateway.replication.records import Mode
from gateway.storage import Address, WriteOptions
from tests.backends.given import body, completed, etag
from tests.replication.given import NOTHING, UP
from tests.replication.scene import AT, BUCKET, MIB, found, parts
from tests.routing.replicated.world import Fault

GIVEN = WriteOptions({"content-type": "image/png"}, {"colour": "red"}, {"owner": "me"}, checksum="SHA256")


@pytest.fixture
async def healing(scene):
    """After an outage in which a key was written; now it is healed."""
    await scene.fail_over()
    await scene.put_on_fallback(b"new", options=GIVEN)
    await scene.turn(Mode.HEALING)
    return scene


async def work(scene, claim):
    await Healer(scene.journal, scene.primary, scene.fallback, scene.timing).heal(claim)


async def test_an_object_comes_back_with_all_that_its_client_gave(healing):
    assert await healing.healed()
    info = await healing.primary.head(AT)
    assert await found(healing.primary) == b"new"
    assert (info.headers, info.metadata, info.labels) == (GIVEN.headers, GIVEN.metadata, GIVEN.labels)
    assert (info.etag, info.checksum.algorithm) == (etag(b"new"), "SHA256")


async def test_an_object_made_of_parts_keeps_its_etag_where_the_fallback_has_forgotten_them(scene):
    await scene.fail_over()
    op = await scene.journal.begin(AT, 1, on_fallback=True)
    staged = Address(BUCKET, op.staged)
    await completed(scene.fallback.inner, staged, parts([5 * MIB, 1]))
    objects = scene.fallback.inner._buckets[BUCKET].objects
    stored = objects[op.staged]
    await scene.journal.commit(op, replace(stored.info, key=AT.key, parts=stored.parts))
    objects[op.staged] = replace(stored, parts=())
    await scene.turn(Mode.HEALING)
    assert await scene.healed()
    assert (await scene.primary.head(AT)).etag == stored.info.etag


async def test_a_tombstone_deletes(scene):
    await scene.put()
    await scene.fail_over()
    await scene.journal.bury([AT])
    await scene.turn(Mode.HEALING)
    assert await scene.healed()
    assert await found(scene.primary) is None


async def test_a_key_that_is_still_there_after_its_delete_is_not_healed(scene):
    await scene.put()
    await scene.fail_over()
    await scene.journal.bury([AT])
    await scene.turn(Mode.HEALING)

    async def delete(at):
        pass

    scene.primary.inner.delete = delete
    assert not await scene.healed()


async def test_nothing_is_healed_while_the_primary_is_down(scene):
    await scene.fail_over()
    await scene.put_on_fallback()
    assert not await scene.healed()
    assert not scene.primary.writes


async def test_a_primary_that_goes_down_again_is_healed_later(healing):
    healing.primary.fails(Fault.REFUSES)
    assert not await healing.healed()
    healing.primary.works()
    assert await healing.healed()


async def test_a_heal_whose_answer_was_lost_is_done_again_when_it_can_land_no_more(healing):
    healing.store.later(healing.timing.hold + 1)
    healing.primary.fails(Fault.LOSES_ANSWER, "put")
    await work(healing, await healing.claim_row())
    healing.primary.works()
    claim = await healing.claim_row()
    await work(healing, claim)
    assert (await healing.journal.unhealed()).objects == 1
    assert await healing.healed()
    assert len(healing.primary.writes) == 3


async def test_a_source_that_does_not_answer_leaves_nothing_in_doubt(healing):
    healing.store.later(healing.timing.hold + 1)
    healing.fallback.fails(Fault.LOSES_QUESTION)
    await work(healing, await healing.claim_row())
    healing.fallback.works()
    await work(healing, await healing.claim_row())
    assert not (await healing.journal.unhealed()).objects


async def test_a_delete_after_which_nobody_answers_may_have_hit_what_another_wrote(scene):
    await scene.put()
    await scene.fail_over()
    await scene.journal.bury([AT])
    await scene.turn(Mode.HEALING)
    scene.store.later(scene.timing.hold + 1)
    late = await scene.claim_row()
    await scene.journal.release(late, 0.0)
    claim = await scene.claim_row()
    scene.primary.fails(Fault.REFUSES, "head")
    await work(scene, late)
    scene.primary.works()
    await work(scene, claim)
    assert (await scene.journal.unhealed()).tombstones == 1, "it rests first"


async def test_a_worker_that_ends_gives_its_key_back_at_once(healing):
    healing.store.later(healing.timing.hold + 1)
    hold = healing.primary.hold("put")
    working = asyncio.create_task(work(healing, await healing.claim_row()))
    await hold.reached.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    healing.store.later(healing.timing.backoff)
    await work(healing, await healing.claim_row())
    assert not (await healing.journal.unhealed()).objects


async def test_no_write_begins_after_the_deadline(healing):
    healing.store.later(healing.timing.hold + 1)
    await work(healing, replace(await healing.claim_row(), deadline=0.0))
    assert await found(healing.primary) is None
    assert (await healing.journal.unhealed()).objects == 1


async def test_no_delete_begins_after_the_deadline(scene):
    await scene.put()
    await scene.fail_over()
    await scene.journal.bury([AT])
    await scene.turn(Mode.HEALING)
    scene.store.later(scene.timing.hold + 1)
    await work(scene, replace(await scene.claim_row(), deadline=0.0))
    assert await found(scene.primary) == b"data"


async def test_what_was_written_anew_while_it_was_healed_is_healed_again(healing):
    healing.store.later(healing.timing.hold + 1)
    claim = await healing.claim_row()
    await healing.put_on_fallback(b"newer")
    await work(healing, claim)
    assert (await healing.journal.unhealed()).objects == 1
    assert await healing.healed()
    assert await found(healing.primary) == b"newer"


async def test_a_staged_object_that_is_gone_heals_nothing(healing):
    await healing.put(b"old")
    [staged] = healing.fallback.inner._buckets[BUCKET].objects
    await healing.fallback.inner.delete(Address(BUCKET, staged))
    assert not await healing.healed()
    assert await found(healing.primary) == b"old"


async def test_bytes_that_changed_on_the_fallback_do_not_come_back(healing):
    objects = healing.fallback.inner._buckets[BUCKET].objects
    [staged] = objects
    objects[staged] = replace(objects[staged], data=b"NEW")
    assert not await healing.healed()
    with pytest.raises(NoSuchKey):
        await healing.primary.inner.head(AT)


async def test_a_journal_that_cannot_be_asked_is_no_end_of_the_work(healing):
    healing.store.failures.extend(["before"])
    assert not await healing.healed()
    assert await healing.healed()


async def test_when_all_is_healed_the_mode_is_normal_again(healing):
    assert await healing.healed()
    await healing.journal.beat(UP, automatic=True)
    assert (await healing.journal.state()).mode is Mode.NORMAL


async def test_while_something_is_left_the_mode_stays(healing):
    await healing.journal.beat(NOTHING, automatic=True)
    assert (await healing.journal.state()).mode is Mode.HEALING


async def test_what_is_not_ours_beside_it_stays(healing):
    other = Address(BUCKET, "other")
    await healing.primary.inner.put(other, body(b"other"))
    assert await healing.healed()
    assert await found(healing.primary, other) == b"other"
