"""When a mirror may be taken at its word."""

import pytest

from gateway.errors import ServiceUnavailable
from gateway.replication.baseline import Baseline
from gateway.replication.records import Baseline as State
from gateway.replication.records import Mode, Replica
from gateway.storage import Address
from tests.backends.given import body, put
from tests.replication.given import NOTHING
from tests.replication.scene import AT, BUCKET, TARGET, found
from tests.routing.replicated.world import Fault


@pytest.fixture
async def scene(scene):
    """With a mirror that has just become one."""
    await scene.journal.set_baseline(TARGET, State.NONE)
    return scene


def baseline(scene, *buckets):
    async def named():
        return buckets or [BUCKET]

    return Baseline(scene.journal, TARGET, scene.primary, scene.mirror, named)


async def state(scene):
    return (await scene.journal.replica(TARGET)).baseline


async def test_what_was_there_before_is_copied(scene):
    await put(scene.primary.inner, AT, b"old")
    await baseline(scene).round()
    assert await scene.mirrored()
    assert await found(scene.mirror) == b"old"
    assert await scene.is_clean()


async def test_a_key_that_is_still_to_be_copied_is_dirty_when_the_baseline_is_complete(scene):
    await put(scene.primary.inner, AT, b"old")
    await baseline(scene).round()
    assert await state(scene) is State.COMPLETE
    assert not await scene.is_clean()


async def test_what_is_the_same_already_is_not_looked_at(scene):
    for storage in (scene.primary, scene.mirror):
        await put(storage.inner, AT, b"same")
    await baseline(scene).round()
    assert not await scene.pending()


async def test_what_differs_is_looked_at(scene):
    await put(scene.primary.inner, AT, b"data")
    await put(scene.mirror.inner, AT, b"DATA")
    await baseline(scene).round()
    assert await scene.mirrored()
    assert await found(scene.mirror) == b"data"


async def test_what_only_the_mirror_holds_is_kept_and_never_answers(scene):
    await put(scene.mirror.inner, AT, b"foreign")
    await baseline(scene).round()
    assert not await scene.mirrored()
    assert await found(scene.mirror) == b"foreign"
    assert not await scene.is_clean()


async def test_a_bucket_that_the_mirror_lacks_is_made_there(scene):
    await scene.primary.inner.create_bucket("second", {"owner": "me"})
    await put(scene.primary.inner, Address("second", "a"))
    await baseline(scene, BUCKET, "second").round()
    assert (await scene.mirror.inner.head_bucket("second")).labels == {"owner": "me"}
    assert await scene.pending() == 1


async def test_a_bucket_that_nobody_has_created_is_none_to_walk_through(scene):
    await baseline(scene, "second").round()
    assert await state(scene) is State.COMPLETE


async def test_a_walk_that_breaks_off_leaves_the_baseline_incomplete(scene):
    scene.mirror.fails(Fault.REFUSES, "list_objects")
    with pytest.raises(ServiceUnavailable):
        await baseline(scene).round()
    assert await state(scene) is State.RUNNING
    assert not await scene.is_clean()
    scene.mirror.works()
    await baseline(scene).round()
    assert await state(scene) is State.COMPLETE


async def test_a_walk_during_which_the_mode_changed_leaves_the_baseline_incomplete(scene):
    async def turning():
        await scene.journal.turn(Mode.FAILOVER, "a test")
        return [BUCKET]

    await Baseline(scene.journal, TARGET, scene.primary, scene.mirror, turning).round()
    assert await state(scene) is State.RUNNING


async def test_while_the_primary_is_down_there_is_no_walk(scene):
    await scene.fail_over()
    await baseline(scene).round()
    assert await state(scene) is State.NONE


async def test_a_paused_mirror_is_not_walked_through(scene):
    await scene.journal.pause(TARGET)
    await baseline(scene).round()
    assert await scene.journal.replica(TARGET) == Replica(State.NONE, paused=True)


async def test_a_mirror_that_is_complete_is_not_walked_through_again(scene):
    await scene.journal.set_baseline(TARGET, State.COMPLETE)
    await baseline(scene).round()
    assert not scene.mirror.told


async def test_a_delete_during_the_walk_is_not_undone(scene):
    await put(scene.primary.inner, AT, b"old")
    await put(scene.mirror.inner, AT, b"older")
    await scene.delete()
    await scene.journal.mark(TARGET, [AT])
    await scene.journal.beat(NOTHING, automatic=False)
    assert await scene.mirrored()
    assert await found(scene.mirror) is None


async def test_many_keys_are_marked_in_turns(scene, monkeypatch):
    monkeypatch.setattr("gateway.replication.baseline.BATCH", 2)
    for number in range(5):
        await scene.primary.inner.put(Address(BUCKET, f"{number}"), body(b"data"))
    await baseline(scene).round()
    assert await scene.pending() == 5
