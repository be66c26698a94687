"""Whether a database that has forgotten something is told from one that has not."""

import asyncio
from functools import partial

import pytest
from sqlalchemy import delete, insert, select

from gateway.errors import ServiceUnavailable
from gateway.replication import beacon as beacons
from gateway.replication.beacon import Beacon
from gateway.replication.echo import Echo, Entry
from gateway.replication.ground import Ground
from gateway.replication.healer import Healer
from gateway.replication.journal import Journal
from gateway.replication.rebuild import Found, Rebuild
from gateway.replication.records import Baseline, Kind, Mode, Presence
from gateway.state.schema import LINEAGES
from gateway.storage import Address, ListQuery
from tests.replication.scene import AT, BUCKET, TARGET
from tests.routing.replicated.world import Fault
from tests.state.databases import opened
from tests.state.timed import Timed


async def buckets(_):
    return [BUCKET]


def echo_of(scene):
    return Echo("media", scene.fallback)


def beacon_of(scene, journal=None, *, fallback=True):
    fallback = scene.fallback if fallback else None
    return Beacon(journal or scene.journal, fallback, [scene.mirror], buckets, echo_of(scene) if fallback else None)


def another(store, scene):
    """Return the journal of the same route in another database."""
    return Journal(store, "media", "two", [TARGET], scene.timing, fallback="disk")


async def mode(journal):
    return (await journal.state()).mode


@pytest.fixture
async def empty(tmp_path):
    """The database that there is when the other was lost."""
    folder = tmp_path / "empty"
    folder.mkdir()
    async with opened("sqlite", folder) as inner:
        yield Timed(inner)


async def test_where_nothing_ever_was_the_mode_stays_normal(scene):
    beacon = beacon_of(scene)
    await beacon.round()
    assert beacon.certain.is_set()
    assert await mode(scene.journal) is Mode.NORMAL
    assert len(beacon.seen()) == 0
    await beacon.round()
    assert len(beacon.seen()) == 2
    assert await mode(scene.journal) is Mode.NORMAL


async def test_a_new_database_is_not_trusted_where_a_beacon_tells_of_another(scene, empty):
    await beacon_of(scene).round()
    journal = another(empty, scene)
    beacon = beacon_of(scene, journal)
    await beacon.round()
    assert await mode(journal) is Mode.RECONCILE
    assert not beacon.certain.is_set()


async def test_a_mirror_s_beacon_is_enough(scene, empty):
    await beacon_of(scene).round()
    await scene.fallback.inner.delete(Address(BUCKET, ".gw/beacon/media"))
    journal = another(empty, scene)
    await beacon_of(scene, journal).round()
    assert await mode(journal) is Mode.RECONCILE


async def test_a_new_database_is_not_trusted_before_the_fallback_has_answered(scene, empty):
    journal = another(empty, scene)
    beacon = beacon_of(scene, journal)
    scene.fallback.fails(Fault.REFUSES)
    await beacon.round()
    assert await mode(journal) is Mode.RECONCILE
    scene.fallback.works()
    await beacon.round()
    empty.later(scene.timing.lease + 1)
    assert await mode(journal) is Mode.NORMAL
    assert beacon.certain.is_set()


async def test_a_database_that_has_been_there_is_trusted_whatever_is_down_but_nothing_is_overwritten(scene):
    await beacon_of(scene).round()
    for storage in (scene.fallback, scene.mirror):
        storage.fails(Fault.REFUSES)
    beacon = beacon_of(scene)
    await beacon.round()
    assert await mode(scene.journal) is Mode.NORMAL
    assert not beacon.certain.is_set()


async def test_a_database_that_was_set_back_is_not_trusted(scene):
    def set_back(tx):
        tx.connection.execute(delete(LINEAGES))
        tx.connection.execute(insert(LINEAGES), then._asdict())

    beacon = beacon_of(scene)
    await beacon.round()
    then = await scene.store.read(lambda tx: tx.connection.execute(select(LINEAGES)).one())
    await scene.put()
    await beacon.round()
    await scene.store.run(set_back)
    await beacon.round()
    assert await mode(scene.journal) is Mode.RECONCILE


async def test_in_reconcile_nothing_is_made_current_claimed_or_swept(scene, empty):
    await scene.fail_over()
    await scene.put_on_fallback()
    op = await scene.journal.begin(AT, Kind.PUT, on_fallback=True)
    await beacon_of(scene, another(empty, scene)).round()
    await beacon_of(scene).round()
    assert await mode(scene.journal) is Mode.RECONCILE
    with pytest.raises(ServiceUnavailable):
        await scene.journal.bury([AT])
    scene.store.later(scene.timing.hold * 2)
    assert await scene.journal.claim_rows(10) == []
    assert await scene.journal.claim_tasks(TARGET, 10) == []
    assert await scene.journal.sweep() == []
    assert op


async def test_without_a_fallback_whoever_only_asks_has_no_mirror_walked_anew(scene, empty):
    await beacon_of(scene, fallback=False).round()
    journal = another(empty, scene)
    await journal.set_baseline(TARGET, Baseline.COMPLETE)
    assert await beacon_of(scene, journal, fallback=False).compare(mend=False) is Mode.RECONCILE
    assert (await journal.replica(TARGET)).baseline is Baseline.COMPLETE


async def test_without_a_fallback_the_mirrors_are_walked_anew_and_that_is_all(scene, empty):
    await beacon_of(scene, fallback=False).round()
    journal = another(empty, scene)
    await journal.set_baseline(TARGET, Baseline.COMPLETE)
    beacon = beacon_of(scene, journal, fallback=False)
    await beacon.round()
    assert await mode(journal) is Mode.RECONCILE  # until the leases of others are over
    empty.later(scene.timing.lease + 1)
    assert await mode(journal) is Mode.HEALING
    assert (await journal.replica(TARGET)).baseline is Baseline.INVALID
    assert beacon.certain.is_set()


class Outage:
    """What is written while the primary is down, with its echo."""

    def __init__(self, scene):
        self.scene, self.echo = scene, echo_of(scene)

    async def put(self, key, data=b"data"):
        row = await self.scene.put_on_fallback(data, Address(BUCKET, key))
        await self.echo.note(Entry(row))
        return row

    async def delete(self, key):
        [row] = await self.scene.journal.bury([Address(BUCKET, key)])
        await self.echo.note(Entry(row))

    async def heal(self):
        self.scene.store.later(self.scene.timing.hold + 1)
        scene = self.scene
        await Healer(scene.journal, scene.primary, scene.fallback, scene.timing, self.echo).round()

    async def rebuilt(self, store, *, dry=False):
        """Have a database of nothing rebuilt, and return what was found of which key."""
        journal = another(store, self.scene)
        beacon = beacon_of(self.scene, journal)
        assert await beacon.compare() is Mode.RECONCILE
        rebuild = Rebuild(journal, beacon, self.echo, self.scene.fallback, alone=True, dry=dry)
        found = {step.at.key: step.found async for step in rebuild.run([BUCKET]) if step.found}
        if not dry:
            await rebuild.end()
            store.later(self.scene.timing.lease + 1)
        return journal, found


@pytest.fixture
async def outage(scene):
    await beacon_of(scene).round()
    await scene.fail_over()
    return Outage(scene)


async def test_rows_are_rebuilt_as_they_were(outage, empty):
    await outage.put("replaced", b"old")
    await outage.put("replaced", b"new")
    await outage.put("deleted")
    await outage.delete("deleted")
    await outage.delete("back")
    await outage.put("back")
    journal, found = await outage.rebuilt(empty)
    assert found == {"replaced": Found.OBJECT, "deleted": Found.DELETED, "back": Found.OBJECT}
    assert await journal.rows(BUCKET) == await outage.scene.journal.rows(BUCKET)
    assert await mode(journal) is Mode.HEALING
    assert (await journal.lag())[TARGET].pending == 3


async def test_what_is_rebuilt_comes_before_what_is_written_then(outage, empty):
    row = await outage.put("key")
    journal, _ = await outage.rebuilt(empty)
    op = await journal.begin(row.at, Kind.PUT, on_fallback=True)
    assert (await journal.commit(op, row.info)).gen > row.gen


async def test_what_was_healed_is_not_brought_back_over_what_was_written_since(outage, empty):
    scene = outage.scene
    await outage.put("healed")
    await outage.delete("made again")
    await scene.turn(Mode.HEALING)
    await outage.heal()
    assert await scene.journal.rows(BUCKET) == []
    journal, found = await outage.rebuilt(empty)
    assert found == {}
    assert await journal.rows(BUCKET) == []


async def test_a_dry_run_changes_nothing(outage, empty):
    await outage.put("key")
    journal, found = await outage.rebuilt(empty, dry=True)
    assert found == {"key": Found.OBJECT}
    assert await mode(journal) is Mode.RECONCILE
    assert await journal.rows(BUCKET) == []


async def test_an_object_that_is_gone_is_told(outage, empty):
    row = await outage.put("key")
    await outage.scene.fallback.inner.delete(Address(BUCKET, row.staged))
    journal, found = await outage.rebuilt(empty)
    assert found == {"key": Found.MISSING}
    assert await journal.rows(BUCKET) == []


async def test_rebuilding_twice_is_as_good_as_once(outage, empty):
    await outage.put("key")
    await outage.delete("deleted")
    journal = another(empty, outage.scene)
    beacon = beacon_of(outage.scene, journal)
    await beacon.compare()
    for _ in range(2):
        rebuild = Rebuild(journal, beacon, outage.echo, outage.scene.fallback, alone=True)
        assert len([step async for step in rebuild.run([BUCKET]) if step.found]) == 2
    await rebuild.end()
    assert len(await journal.rows(BUCKET)) == 2


async def test_the_echo_is_cleared_when_nothing_is_left_and_not_before(outage):
    scene, beacon = outage.scene, beacon_of(outage.scene)
    await outage.put("key")
    await beacon.round()
    assert await outage.echo.is_any(BUCKET)
    await scene.turn(Mode.HEALING)
    await outage.heal()
    await beacon.round()
    assert not await outage.echo.is_any(BUCKET)


async def test_what_cannot_be_echoed_is_owed(outage):
    scene = outage.scene
    scene.fallback.fails(Fault.REFUSES)
    [row] = await scene.journal.bury([AT])
    await outage.echo.note_if_possible(Entry(row))
    with pytest.raises(ServiceUnavailable):
        await outage.echo.settle()
    scene.fallback.works()
    await outage.echo.settle()
    page = await scene.fallback.inner.list_objects(BUCKET, ListQuery(".gw/echo/"))
    assert [await outage.echo.read(BUCKET, info.key) for info in page.objects] == [[Entry(row)]]


async def test_every_process_stores_what_it_owes(outage, monkeypatch):
    monkeypatch.setattr(beacons, "EVERY", 0.01)
    scene = outage.scene
    beacon = Beacon(scene.journal, scene.fallback, [scene.mirror], buckets, outage.echo)
    await beacon.round()
    scene.fallback.fails(Fault.REFUSES)
    [row] = await scene.journal.bury([AT])
    await outage.echo.note_if_possible(Entry(row))
    scene.fallback.works()
    running = asyncio.create_task(beacon.run(first=False))
    async with asyncio.timeout(10):
        while not await outage.echo.is_any(BUCKET):  # noqa: ASYNC110  only the storage knows
            await asyncio.sleep(0.01)
    running.cancel()


async def test_a_beacon_that_could_not_be_stored_is_the_next_time(scene):
    beacon = beacon_of(scene)
    scene.fallback.fails(Fault.REFUSES, "put")
    await beacon.round()
    scene.fallback.works()
    await beacon.round()
    await beacon.compare()
    assert len(beacon.seen()) == 2


async def test_a_mirror_that_does_not_answer_in_time_is_not_written_to_either(scene):
    async def late(storage):
        await asyncio.sleep(0.5 if storage is scene.mirror else 0)
        return [BUCKET]

    await Beacon(scene.journal, scene.fallback, [scene.mirror], late).round(patience=0.1)
    assert ("put", ".gw/beacon/media") in scene.fallback.told
    assert ("put", ".gw/beacon/media") not in scene.mirror.told


async def asked(outage, empty):
    """Have a database rebuilt while the primary can be asked, and return the journal and what it was found to lack."""
    scene = outage.scene
    journal = another(empty, scene)
    beacon = beacon_of(scene, journal)
    await beacon.compare()
    rebuild = Rebuild(journal, beacon, outage.echo, scene.fallback, alone=True)
    async for _ in rebuild.run([BUCKET]):
        pass
    await rebuild.ask(scene.primary)
    await rebuild.end()
    return journal, set(rebuild.lacking)


async def test_a_bucket_that_the_primary_lacks_is_written_down_as_new_with_its_labels(outage, empty):
    await outage.put("key")
    await outage.scene.primary.inner.delete_bucket(BUCKET)
    await outage.scene.fallback.inner.annotate(Address(BUCKET), {"acl": "public-read"})
    journal, lacking = await asked(outage, empty)
    assert lacking == {BUCKET}
    found = await journal.buckets.find(BUCKET)
    assert (found.presence, found.labels) == (Presence.NEW, {"acl": "public-read"})


async def test_a_bucket_in_which_nothing_waits_is_not_made_again(outage, empty):
    """It may have been deleted at the primary: the fallback keeps its own for a while."""
    await outage.delete("key")
    await outage.scene.primary.inner.delete_bucket(BUCKET)
    journal, lacking = await asked(outage, empty)
    assert lacking == set()
    assert await journal.buckets.find(BUCKET) is None


@pytest.mark.parametrize("answers", [True, False])
async def test_a_bucket_that_the_primary_has_or_does_not_tell_of_is_not_new(outage, empty, answers):
    await outage.put("key")
    if not answers:
        await outage.scene.primary.inner.delete_bucket(BUCKET)
        outage.scene.primary.fails(Fault.REFUSES)
    journal, lacking = await asked(outage, empty)
    assert lacking == set()
    assert await journal.buckets.find(BUCKET) is None


async def test_a_bucket_of_what_was_rebuilt_is_made_at_the_primary_if_that_lacks_it(outage, empty):
    await outage.put("key")
    await outage.scene.primary.inner.delete_bucket(BUCKET)
    journal, _ = await outage.rebuilt(empty)
    await Ground(journal, outage.scene.primary, outage.scene.fallback, partial(buckets, None)).round()
    assert (await journal.buckets.find(BUCKET)).presence is Presence.NEW
