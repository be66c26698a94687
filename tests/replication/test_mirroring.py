"""What a mirror is given, and what it keeps."""

import asyncio
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from gateway.errors import AccessDenied, CredentialsRefused, InternalError, NoSuchBucket, ServiceUnavailable
from gateway.replication.copier import unstamped
from gateway.replication.mirroring import Done, Mirroring
from gateway.replication.outcome import Fenced
from gateway.replication.records import Kind, Outcome
from gateway.storage import Address, ReadOptions, WriteOptions
from tests.backends.given import body, etag
from tests.replication.scene import AT, BUCKET, MIB, TARGET, found
from tests.routing.replicated.world import Fault

GIVEN = WriteOptions(
    headers={"content-type": "image/png", "cache-control": "no-cache"},
    metadata={"colour": "red"},
    labels={"owner": "me"},
    checksum="SHA256",
)


def puts(storage):
    return [call for call in storage.told if call[0] in {"put", "complete_upload"}]


async def test_an_object_is_copied_with_all_that_its_client_gave(scene):
    stored = await scene.put(b"data", options=GIVEN)
    assert await scene.mirrored()
    copy = unstamped(await scene.mirror.head(AT))
    assert await found(scene.mirror) == b"data"
    assert (copy.headers, copy.metadata, copy.labels) == (GIVEN.headers, GIVEN.metadata, GIVEN.labels)
    assert (copy.checksum, copy.etag, copy.modified) == (stored.checksum, stored.etag, stored.modified)


async def test_an_object_made_of_parts_keeps_its_etag_and_its_parts(scene):
    stored = await scene.upload([5 * MIB, 6 * MIB, 1])
    assert await scene.mirrored()
    copy = await scene.mirror.inner.head(AT, ReadOptions(parts=True))
    assert copy.etag == stored.etag
    assert [part.size for part in copy.parts] == [5 * MIB, 6 * MIB, 1]


async def test_a_mirror_with_etags_of_its_own_shows_those_of_the_source(scene):
    stored = await scene.put(b"data")

    class Encrypted(type(scene.mirror.inner)):
        async def put(self, at, sent, options):
            await super().put(at, sent, options)
            found = self._buckets[at.bucket].objects[at.key]
            info = replace(found.info, etag="0" * 32)
            self._buckets[at.bucket].objects[at.key] = replace(found, info=info)
            return info

    encrypted = Encrypted(TARGET)
    await encrypted.create_bucket(BUCKET, {})
    assert await scene.mirrored(scene.worker(mirror=encrypted))
    assert (await encrypted.head(AT)).etag == "0" * 32
    assert unstamped(await encrypted.head(AT)).etag == stored.etag


async def test_what_the_mirror_holds_already_is_not_sent_again(scene):
    await scene.put()
    assert await scene.mirrored()
    await scene.journal.mark(TARGET, [AT])
    assert await scene.mirrored()
    assert len(puts(scene.mirror)) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"metadata": {"colour": "blue"}},
        {"headers": GIVEN.headers | {"content-type": "text/plain"}},
        {"labels": {"owner": "you"}},
    ],
)
async def test_the_same_bytes_with_something_else_beside_them_are_sent_again(scene, changed):
    await scene.put(options=GIVEN)
    assert await scene.mirrored()
    await scene.put(options=replace(GIVEN, **changed))
    assert await scene.mirrored()
    copy = unstamped(await scene.mirror.head(AT))
    assert {name: getattr(copy, name) for name in changed} == changed


async def test_an_object_without_a_stamp_is_replaced_even_by_one_of_its_size(scene):
    await scene.mirror.inner.put(AT, body(b"DATA"))
    await scene.put(b"data")
    assert await scene.mirrored()
    assert await found(scene.mirror) == b"data"


async def test_many_writes_are_one_copy(scene):
    for number in range(10):
        await scene.put(b"%d" % number)
    assert await scene.mirrored()
    assert await found(scene.mirror) == b"9"
    assert len(puts(scene.mirror)) == 1


async def test_what_a_client_deleted_is_deleted(scene):
    await scene.put()
    assert await scene.mirrored()
    await scene.delete()
    assert await scene.mirrored()
    assert await found(scene.mirror) is None


async def test_what_vanished_from_the_primary_by_itself_is_kept(scene):
    await scene.put()
    assert await scene.mirrored()
    await scene.primary.inner.delete(AT)
    await scene.journal.mark(TARGET, [AT])
    assert not await scene.mirrored()
    assert await found(scene.mirror) == b"data"
    assert not await scene.is_clean()


async def test_what_vanished_from_both_is_done_with(scene):
    await scene.put()
    await scene.primary.inner.delete(AT)
    assert await scene.mirrored()


async def test_what_was_deleted_and_written_again_is_copied(scene):
    await scene.put()
    assert await scene.mirrored()
    await scene.delete()
    await scene.put(b"new")
    assert await scene.mirrored()
    assert await found(scene.mirror) == b"new"
    assert "delete" not in [name for name, _ in scene.mirror.told]


async def test_with_a_bucket_that_is_gone_nothing_is_deleted(scene):
    await scene.put()
    assert await scene.mirrored()
    await scene.delete()
    await scene.primary.inner.delete_bucket(BUCKET)
    assert not await scene.mirrored()
    assert await found(scene.mirror) == b"data"


async def test_a_missing_key_in_a_bucket_that_is_gone_deletes_nothing(scene):
    """Some storages tell the key before the bucket."""
    await scene.put()
    assert await scene.mirrored()
    await scene.delete()

    async def head_bucket(bucket):
        raise NoSuchBucket

    scene.primary.inner.head_bucket = head_bucket
    assert not await scene.mirrored()
    assert await found(scene.mirror) == b"data"


@pytest.mark.parametrize("fault", [Fault.REFUSES, Fault.LOSES_QUESTION])
async def test_a_primary_that_does_not_answer_deletes_nothing(scene, fault):
    await scene.put()
    assert await scene.mirrored()
    await scene.delete()
    scene.primary.fails(fault)
    assert not await scene.mirrored()
    assert await found(scene.mirror) == b"data"
    scene.primary.works()
    assert await scene.mirrored()
    assert await found(scene.mirror) is None


async def test_while_the_primary_is_down_the_mirror_gets_what_is_on_the_fallback(scene):
    await scene.fail_over()
    scene.primary.fails(Fault.REFUSES)
    await scene.put_on_fallback(b"new", options=GIVEN)
    assert await scene.mirrored()
    assert await found(scene.mirror) == b"new"


async def test_a_mirror_of_what_is_on_the_fallback_shows_the_etag_that_its_client_was_told(scene):
    await scene.fail_over()
    await scene.put_on_fallback(b"new")
    stored = scene.fallback.inner._buckets[BUCKET].objects
    [(key, staged)] = stored.items()
    stored[key] = replace(staged, info=replace(staged.info, etag="0" * 32, checksum=None))  # as with a key of its own
    scene.mirror.inner._store = _without_etag(scene.mirror.inner._store)
    assert await scene.mirrored()
    assert unstamped(await scene.mirror.head(AT)).etag == etag(b"new")


def _without_etag(store):
    def stored(at, made, conditions):
        return store(at, replace(made, info=replace(made.info, etag="0" * 32)), conditions)

    return stored


async def test_while_the_primary_is_down_a_tombstone_deletes(scene):
    await scene.put()
    assert await scene.mirrored()
    await scene.fail_over()
    scene.primary.fails(Fault.REFUSES)
    await scene.journal.bury([AT])
    assert await scene.mirrored()
    assert await found(scene.mirror) is None


async def test_without_a_fallback_a_row_waits(scene):
    await scene.fail_over()
    await scene.put_on_fallback()
    assert not await scene.mirrored(scene.worker(fallback=None))
    assert await found(scene.mirror) is None


async def test_a_mirror_that_is_down_is_caught_up_with_later(scene):
    await scene.put()
    scene.mirror.fails(Fault.REFUSES)
    assert not await scene.mirrored()
    scene.mirror.works()
    assert await scene.mirrored()
    assert await found(scene.mirror) == b"data"


async def test_a_copy_whose_answer_was_lost_is_looked_at_again_when_it_can_land_no_more(scene):
    await scene.put()
    scene.mirror.fails(Fault.LOSES_ANSWER, "put")
    assert not await scene.mirrored()
    scene.mirror.works()
    assert not await scene.mirrored()
    scene.store.later(scene.timing.hold + 1)
    assert await scene.mirrored()
    assert len(puts(scene.mirror)) == 1


async def test_bytes_that_arrive_as_others_are_no_copy(scene):
    await scene.put()

    async def put(at, sent, options):
        stored = await type(scene.mirror.inner).put(scene.mirror.inner, at, sent, options)
        return replace(stored, size=stored.size - 1)

    scene.mirror.inner.put = put
    assert not await scene.mirrored()


async def test_no_write_begins_after_the_deadline(scene):
    await scene.put()
    claim = replace(await scene.claim(), deadline=0.0)
    await scene.mirroring.work(claim)
    assert await found(scene.mirror) is None
    assert await scene.pending() == 1


async def test_no_delete_begins_after_the_deadline(scene):
    await scene.put()
    assert await scene.mirrored()
    await scene.delete()
    await scene.mirroring.work(replace(await scene.claim(), deadline=0.0))
    assert await found(scene.mirror) == b"data"


async def test_what_was_not_begun_after_the_deadline_is_known_not_to_be_done(scene):
    await scene.put()
    await scene.mirroring.work(replace(await scene.claim(), deadline=0.0))
    assert await scene.mirrored(), "no rest is needed"


async def test_who_lost_the_claim_while_writing_has_the_key_looked_at_again(scene):
    await scene.put()
    late = await scene.claim()
    await scene.journal.release(late, 0.0)
    assert await scene.mirrored()
    await scene.mirroring.work(late)
    assert not await scene.is_clean()


async def test_a_worker_that_ends_before_it_writes_gives_its_key_back_at_once(scene):
    await scene.put()
    await ended(scene, scene.mirror.hold("put").reached)
    scene.store.later(scene.timing.backoff)
    assert await scene.mirrored(), "no rest is needed"


async def test_a_worker_that_ends_while_it_writes_has_the_key_looked_at_again(scene):
    await scene.put()
    written = asyncio.Event()

    async def put(at, sent, options):
        await type(scene.mirror.inner).put(scene.mirror.inner, at, sent, options)
        written.set()
        await asyncio.Event().wait()

    scene.mirror.inner.put = put
    await ended(scene, written)
    del scene.mirror.inner.put
    scene.store.later(scene.timing.backoff)
    assert not await scene.mirrored()
    assert await found(scene.mirror) == b"data"
    scene.store.later(scene.timing.hold + 1)
    assert await scene.mirrored()


async def test_a_worker_that_ends_while_it_asks_for_keys_gives_them_back(scene):
    await scene.put()
    claiming = asyncio.create_task(scene.mirroring.round())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    claiming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await claiming
    assert await scene.mirrored()


async def ended(scene, reached):
    """Have a worker of the mirror end when it is as far as that."""
    working = asyncio.create_task(scene.mirroring.work(await scene.claim()))
    await reached.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working


async def test_a_journal_that_cannot_be_asked_is_no_end_of_the_work(scene):
    await scene.put()
    scene.store.failures.extend(["before"])
    assert await scene.mirroring.round() == 0
    assert await scene.mirrored()


async def test_what_the_journal_was_not_told_is_done_again(scene):
    await scene.put()
    claim = await scene.claim()
    scene.store.failures.extend(["before"])
    await scene.mirroring.work(claim)
    assert not await scene.is_clean()
    scene.store.later(scene.timing.worker_lease + scene.timing.hold)
    assert not await scene.mirrored()
    scene.store.later(scene.timing.hold + 1)
    assert await scene.mirrored()
    assert len(puts(scene.mirror)) == 1


@pytest.mark.parametrize("error", [AccessDenied, CredentialsRefused])
async def test_answers_that_no_retry_will_change_are_given_up_after_a_while(scene, error):
    await scene.put()

    async def put(at, sent, options):
        raise error

    scene.mirror.inner.put = put
    for _ in range(scene.timing.dead_failures):
        scene.store.later(scene.timing.dead_after / 2)
        await scene.mirroring.round()
    [dead] = await scene.journal.dead(TARGET)
    assert (dead.at, dead.error) == (AT, error.__name__)


async def test_what_the_primary_refuses_is_not_given_up(scene):
    """It is no refusal of the mirror, and over when the primary's account is mended."""
    await scene.put()

    async def head(at, options=...):
        raise CredentialsRefused

    asked, scene.primary.inner.head = scene.primary.inner.head, head
    for _ in range(scene.timing.dead_failures * 2):
        scene.store.later(scene.timing.dead_after)
        await scene.mirroring.round()
    assert not await scene.journal.dead(TARGET)
    scene.primary.inner.head = asked
    scene.store.later(scene.timing.dead_after)
    assert await scene.mirrored()


async def test_what_is_tried_in_vain_for_long_is_not_given_up_while_it_may_change(scene):
    await scene.put()
    scene.mirror.fails(Fault.REFUSES)
    for _ in range(scene.timing.dead_failures * 2):
        scene.store.later(scene.timing.dead_after)
        await scene.mirroring.round()
    assert not await scene.journal.dead(TARGET)


async def test_what_does_not_come_from_a_storage_is_a_failure_too(scene):
    await scene.put()

    class Broken(Mirroring):
        async def write(self, claim, lease):
            await lease.check()
            raise ValueError

    assert not await scene.mirrored(scene.worker(Broken))
    scene.store.later(scene.timing.hold + 1)
    assert await scene.mirrored()


async def test_keys_are_mirrored_side_by_side(scene):
    ats = [Address(BUCKET, f"key {number}") for number in range(3)]
    for at in ats:
        await scene.put(at.key.encode(), at)
    assert await scene.mirroring.round() == 3
    assert [await found(scene.mirror, at) for at in ats] == [at.key.encode() for at in ats]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (InternalError(), Outcome.UNKNOWN),
        (ValueError(), Outcome.UNKNOWN),
        (ServiceUnavailable(), Outcome.REFUSED),
        (Fenced(), Outcome.REFUSED),
    ],
)
async def test_a_turn_is_counted_by_its_result(scene, error, outcome):
    def count(result):
        labels = {"route": "media", "target": TARGET, "result": result}
        return REGISTRY.get_sample_value("gateway_mirror_objects_total", labels) or 0

    class Failing(Mirroring):
        async def write(self, claim, lease):
            await lease.check()
            raise error

    told = []
    mirrored = scene.journal.mirrored

    async def listening(claim, what, name, **options):
        told.append((claim.kind, what))
        return await mirrored(claim, what, name, **options)

    scene.journal.mirrored = listening
    await scene.put()
    before = count("failed"), count("noop")
    await scene.worker(Failing).round()
    assert told == [(Kind.PUT, outcome)]
    assert (count("failed"), count("noop")) == (before[0] + 1, before[1])


async def test_turns_tell_what_was_done(scene):
    def counted():
        labels = {"route": "media", "target": TARGET}
        name = "gateway_mirror_objects_total"
        return {what: REGISTRY.get_sample_value(name, labels | {"result": what}) or 0 for what in Done}

    before = counted()
    await scene.put()
    assert await scene.mirrored()
    await scene.journal.mark(TARGET, [AT])
    assert await scene.mirrored()
    await scene.delete()
    assert await scene.mirrored()
    assert {what: count - before[what] for what, count in counted().items()} == {
        Done.COPIED: 1,
        Done.NOOP: 1,
        Done.DELETED: 1,
    }
