"""What nobody will finish is finished, and what nobody needs is deleted, not a moment too early."""

from gateway.errors import AccessDenied
from gateway.replication.records import Kind, Outcome, Trash
from gateway.replication.sweeper import Sweeper
from gateway.storage import Address, ListQuery
from tests.backends.given import put
from tests.replication.given import NOTHING, journal, settled
from tests.replication.scene import AT, BUCKET, TARGET, found
from tests.routing.replicated.world import Fault

STAGED = Address(BUCKET, ".gw/stage/xy/1")


def sweeper(scene, **backends):
    return Sweeper(scene.journal, backends or {"disk": scene.fallback}, scene.timing)


async def test_trash_is_deleted_when_nobody_can_be_reading_it_any_more(scene):
    await put(scene.fallback.inner, STAGED, b"old")
    await scene.journal.discard(Trash("disk", STAGED))
    await sweeper(scene).round()
    assert await found(scene.fallback, STAGED) == b"old"
    scene.store.later(scene.timing.hold + 1)
    await sweeper(scene).round()
    assert await found(scene.fallback, STAGED) is None


async def test_trash_is_deleted_once(scene):
    await scene.journal.discard(Trash("disk", STAGED))
    for _ in range(3):
        scene.store.later(scene.timing.hold + 1)
        await sweeper(scene).round()
    assert len(scene.fallback.writes) == 1


async def test_trash_that_could_not_be_deleted_is_deleted_later(scene):
    await put(scene.fallback.inner, STAGED, b"old")
    await scene.journal.discard(Trash("disk", STAGED))
    scene.store.later(scene.timing.hold + 1)
    scene.fallback.fails(Fault.REFUSES)
    await sweeper(scene).round()
    scene.fallback.works()
    scene.store.later(scene.timing.hold + 1)
    await sweeper(scene).round()
    assert await found(scene.fallback, STAGED) is None


async def test_one_that_cannot_be_deleted_does_not_keep_the_others(scene):
    other = Address(BUCKET, ".gw/stage/xy/2")
    for at in (STAGED, other):
        await put(scene.fallback.inner, at, b"old")
        await scene.journal.discard(Trash("disk", at))
    delete = scene.fallback.inner.delete

    async def refusing(at):
        if at == STAGED:
            raise AccessDenied
        await delete(at)

    scene.fallback.inner.delete = refusing
    scene.store.later(scene.timing.hold + 1)
    await sweeper(scene).round()
    assert await found(scene.fallback, other) is None


async def test_trash_in_a_bucket_that_is_gone_is_gone(scene):
    await scene.journal.discard(Trash("disk", STAGED))
    await scene.fallback.inner.delete_bucket(BUCKET)
    for _ in range(2):
        scene.store.later(scene.timing.hold + 1)
        await sweeper(scene).round()
    assert len(scene.fallback.writes) == 1


async def test_trash_of_a_backend_that_is_configured_no_more_is_left(scene):
    await put(scene.fallback.inner, STAGED, b"old")
    await scene.journal.discard(Trash("disk", STAGED))
    scene.store.later(scene.timing.hold + 1)
    await sweeper(scene, other=scene.mirror).round()
    assert await found(scene.fallback, STAGED) == b"old"
    assert not scene.mirror.writes


async def test_a_write_of_unknown_outcome_reaches_the_mirror(scene):
    op = await scene.journal.begin(AT, Kind.PUT)
    await put(scene.primary.inner, AT, b"late")
    await settled(scene.journal, (op, Outcome.UNKNOWN, None))
    await sweeper(scene).round()
    assert not await scene.pending()
    scene.store.later(scene.timing.hold + 1)
    await sweeper(scene).round()
    assert await scene.mirrored()
    assert await found(scene.mirror) == b"late"


async def test_what_a_node_that_died_has_written_reaches_the_mirror(scene, timed):
    dead = journal(timed, "two", [TARGET])
    await dead.begin(AT, Kind.PUT)
    await put(scene.primary.inner, AT, b"data")
    scene.store.later(scene.timing.node_lease + scene.timing.hold + 1)
    await sweeper(scene).round()
    assert await scene.mirrored()
    assert await found(scene.mirror) == b"data"


async def test_what_a_node_that_died_has_staged_is_deleted(scene, timed):
    dead = journal(timed, "two", [TARGET])
    op = await dead.begin(AT, Kind.PUT, on_fallback=True)
    staged = Address(BUCKET, op.staged)
    await put(scene.fallback.inner, staged, b"data")
    for _ in range(2):
        scene.store.later(scene.timing.node_lease + scene.timing.hold + 1)
        await sweeper(scene).round()
    assert await found(scene.fallback, staged) is None


async def test_what_a_living_node_is_writing_is_left_alone_however_long_it_takes(scene):
    await scene.fail_over()
    op = await scene.journal.begin(AT, Kind.PUT, on_fallback=True)
    await put(scene.fallback.inner, Address(BUCKET, op.staged), b"data")
    for _ in range(10):
        scene.store.later(scene.timing.hold)
        await scene.journal.beat(NOTHING, automatic=False)
        await sweeper(scene).round()
    assert await found(scene.fallback, Address(BUCKET, op.staged)) == b"data"
    assert await scene.journal.commit(op, await scene.fallback.inner.head(Address(BUCKET, op.staged)))


async def test_a_journal_that_cannot_be_asked_is_no_end_of_the_sweeping(scene):
    await scene.journal.discard(Trash("disk", STAGED))
    scene.store.later(scene.timing.hold + 1)
    scene.store.failures.extend(["before"])
    await sweeper(scene).round()
    await sweeper(scene).round()
    assert len(scene.fallback.writes) == 1


async def test_a_bucket_goes_with_what_the_gateway_has_there_for_itself_but_not_with_objects(scene):
    for key in (".gw/beacon/media", ".gw/health/node", ".gw/stage/aa/object"):
        await put(scene.fallback.inner, Address(BUCKET, key), b"own")
    await scene.journal.discard(Trash("disk", Address(BUCKET)))
    scene.store.later(scene.timing.hold + 1)
    await sweeper(scene).round()
    page = await scene.fallback.inner.list_objects(BUCKET, ListQuery())
    assert [info.key for info in page.objects] == [".gw/stage/aa/object"]
    await scene.fallback.inner.delete(Address(BUCKET, ".gw/stage/aa/object"))
    scene.store.later(scene.timing.worker_lease + 1)
    await sweeper(scene).round()
    assert await scene.fallback.inner.list_buckets() == []
