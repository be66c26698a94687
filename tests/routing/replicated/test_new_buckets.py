"""Buckets that are made while the primary is down."""

import asyncio
from unittest.mock import AsyncMock

import pytest

from gateway.conditions import Conditions
from gateway.errors import (
    BucketAlreadyExists,
    BucketNotEmpty,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    PreconditionFailed,
    ServiceUnavailable,
)
from gateway.replication.records import Mode, Presence
from gateway.state.store import StateUnavailable, StateUnknown
from gateway.storage import Address, ListQuery, ReadOptions, Upload, UploadQuery, WriteOptions
from tests.backends.given import completed, put, read
from tests.routing.replicated.test_writing import refused, unknown
from tests.routing.replicated.world import AT, BUCKET, Fault, World

NEW = "new"
KEY = Address(NEW, "key")
ABSENT = Conditions(if_none_match=("*",))
PRESENT = Conditions(if_match=("*",))


async def knowing(**options):
    """Return a world in which it is known which buckets there are."""
    world = await World(**options).ready(BUCKET)
    await world.journal.buckets.know([BUCKET], all_=True)
    return world


@pytest.fixture
async def world():
    world = await knowing()
    await world.fail()
    return world


@pytest.fixture
async def made(world):
    await world.storage.create_bucket(NEW, {"owner": "alice"})
    return world


async def names(storage):
    return [info.name for info in await storage.list_buckets()]


async def listed(storage, **query):
    page = await storage.list_objects(NEW, ListQuery(**query))
    return [info.key for info in page.objects] + list(page.prefixes)


# --- while the primary is down ---


async def test_a_bucket_is_made_and_told_of_while_the_primary_is_down(made):
    info = await made.storage.head_bucket(NEW)
    assert (info.name, info.labels) == (NEW, {"owner": "alice"})
    assert await names(made.storage) == [BUCKET, NEW]
    with pytest.raises(BucketAlreadyExists):
        await made.storage.create_bucket(NEW, {"owner": "bob"})
    assert (await made.storage.head_bucket(NEW)).labels == {"owner": "alice"}
    assert made.primary.told.count(("create_bucket", NEW)) == 0


async def test_no_bucket_is_made_that_the_primary_may_have(world):
    with pytest.raises(BucketAlreadyExists):
        await world.storage.create_bucket(BUCKET, {})
    await world.fallback.inner.delete_bucket(BUCKET)
    await refused(world.storage.create_bucket(BUCKET, {}))


async def test_no_bucket_is_made_before_it_is_known_which_there_are():
    world = await World().ready(BUCKET)
    await world.fail()
    await refused(world.storage.create_bucket(NEW, {}))
    with pytest.raises(ServiceUnavailable):
        await world.storage.head_bucket(NEW)


async def test_a_bucket_whose_creation_got_no_answer_is_none_that_the_primary_lacks():
    world = await knowing()
    world.primary.fails(Fault.LOSES_ANSWER, "create_bucket")
    await unknown(world.storage.create_bucket(NEW, {}))
    await world.fail()
    await refused(world.storage.create_bucket(NEW, {}))
    await world.recover()
    assert await names(world.storage) == [BUCKET, NEW]


async def test_a_bucket_whose_creation_was_refused_can_be_made_in_the_outage():
    world = await knowing()
    world.primary.fails(Fault.REFUSES)
    await refused(world.storage.create_bucket(NEW, {}))
    await world.fail()
    await world.storage.create_bucket(NEW, {})


async def test_a_refusal_takes_back_nothing_that_somebody_else_has_asked_for():
    world = await knowing()
    first = await world.journal.buckets.intend(NEW)
    await world.journal.buckets.intend(NEW)
    await world.journal.buckets.withdraw(first)
    await world.fail()
    await refused(world.storage.create_bucket(NEW, {}))


async def test_a_bucket_that_somebody_has_made_at_the_primary_is_known_once_it_was_written():
    world = await knowing()
    await world.primary.inner.create_bucket(NEW, {})
    await put(world.storage, KEY)
    await world.fail()
    await refused(world.storage.create_bucket(NEW, {}))
    with pytest.raises(ServiceUnavailable):
        await read(world.storage, KEY)


async def test_of_a_new_bucket_all_that_was_not_written_is_absent(made):
    with pytest.raises(NoSuchKey):
        await made.storage.head(KEY)
    assert await listed(made.storage) == []
    await put(made.storage, KEY, b"one")
    await put(made.storage, Address(NEW, "a/b"), b"two")
    assert await read(made.storage, KEY) == b"one"
    assert await listed(made.storage) == ["a/b", "key"]
    assert await listed(made.storage, delimiter="/", limit=1) == ["a/"]
    await made.storage.delete(KEY)
    assert await listed(made.storage) == ["a/b"]


async def test_a_new_bucket_is_exact_without_any_mirror():
    world = await knowing(mirrors=())
    await world.fail()
    await world.storage.create_bucket(NEW, {})
    await put(world.storage, KEY)
    assert await listed(world.storage) == ["key"]
    with pytest.raises(NoSuchKey):
        await world.storage.head(Address(NEW, "other"))


async def test_conditions_are_decided_by_what_was_written_to_a_new_bucket(made):
    with pytest.raises(NoSuchKey):
        await put(made.storage, KEY, options=WriteOptions(conditions=PRESENT))
    await put(made.storage, KEY, options=WriteOptions(conditions=ABSENT))
    with pytest.raises(PreconditionFailed):
        await put(made.storage, KEY, options=WriteOptions(conditions=ABSENT))
    await made.storage.delete(KEY, PRESENT)
    with pytest.raises(NoSuchKey):
        await made.storage.delete(Address(NEW, "other"), PRESENT)


async def test_uploads_and_copies_work_in_a_new_bucket(made):
    await completed(made.storage, KEY, [(1, b"part")], WriteOptions())
    info = await made.storage.head(KEY, ReadOptions(parts=True))
    await made.storage.copy(KEY, Address(NEW, "copy"), WriteOptions(), info.etag)
    assert await read(made.storage, Address(NEW, "copy")) == b"part"
    upload = await made.storage.create_upload(Address(NEW, "open"), WriteOptions())
    assert [info.upload for info in (await made.storage.list_uploads(NEW, UploadQuery())).uploads] == [upload]


async def test_no_upload_of_a_new_bucket_is_on_the_primary(made):
    with pytest.raises(NoSuchUpload):
        await made.storage.abort_upload(Upload(KEY, "unheard-of"))


async def test_labels_of_a_new_bucket_change_at_once_and_only_if_they_are_as_they_were(made):
    await made.storage.annotate(Address(NEW), {"acl": "private"}, {"owner": "alice"})
    assert (await made.storage.head_bucket(NEW)).labels == {"acl": "private"}
    with pytest.raises(PreconditionFailed):
        await made.storage.annotate(Address(NEW), {"acl": "public"}, {"owner": "alice"})


async def test_what_is_not_written_down_does_not_exist(world):
    for call in (
        world.storage.head_bucket(NEW),
        world.storage.head(KEY),
        put(world.storage, KEY),
        world.storage.delete(KEY),
        world.storage.list_objects(NEW, ListQuery()),
        world.storage.create_upload(KEY, WriteOptions()),
        world.storage.delete_bucket(NEW),
    ):
        with pytest.raises(NoSuchBucket):
            await call


async def test_a_mirror_that_was_down_when_a_bucket_was_made_gets_it_with_the_first_object(world):
    world.mirror.fails(Fault.REFUSES)
    await world.storage.create_bucket(NEW, {"owner": "alice"})
    world.mirror.works()
    await put(world.storage, KEY, b"one")
    await world.mirrored()
    assert await read(world.mirror.inner, KEY) == b"one"
    assert (await world.mirror.inner.head_bucket(NEW)).labels == {"owner": "alice"}


async def test_a_mirror_that_lost_a_bucket_has_nothing_to_delete_there(made):
    await put(made.storage, KEY)
    await made.storage.delete(KEY)
    await made.mirror.inner.delete_bucket(NEW)
    await made.mirrored()
    await made.storage.delete_bucket(NEW)


# --- deletion ---


async def test_a_new_bucket_is_deleted_when_it_is_empty(made):
    await put(made.storage, KEY)
    with pytest.raises(BucketNotEmpty):
        await made.storage.delete_bucket(NEW)
    await made.storage.delete(KEY)
    await made.mirrored()
    await made.storage.delete_bucket(NEW)
    assert await names(made.storage) == [BUCKET]
    with pytest.raises(NoSuchBucket):
        await made.storage.head(KEY)
    for _ in range(2):  # what was in it goes first
        await made.sweep()
    assert await names(made.fallback.inner) == [BUCKET]
    await made.recover()
    await made.heal()
    assert await names(made.primary.inner) == [BUCKET]
    assert await made.mode() is Mode.NORMAL


async def test_a_bucket_is_not_deleted_while_a_mirror_lacks_its_deletions(made):
    await put(made.storage, KEY)
    await made.mirrored()
    await made.storage.delete(KEY)
    with pytest.raises(BucketNotEmpty):
        await made.storage.delete_bucket(NEW)


async def test_an_object_is_not_acknowledged_into_a_bucket_that_was_deleted_meanwhile(made):
    """The bytes are staged when the bucket goes."""
    hold = made.fallback.hold("put")

    writing = asyncio.create_task(put(made.storage, KEY))
    await hold.reached.wait()
    await made.storage.delete_bucket(NEW)
    hold.go_on.set()
    with pytest.raises(NoSuchBucket):
        await writing
    assert await names(made.storage) == [BUCKET]


async def test_a_deleted_bucket_takes_its_open_uploads_along(made):
    await made.storage.create_upload(KEY, WriteOptions())
    await made.storage.delete_bucket(NEW)
    await made.storage.create_bucket(NEW, {})
    assert (await made.storage.list_uploads(NEW, UploadQuery())).uploads == []


async def test_a_bucket_that_is_made_again_begins_empty_and_stays(made):
    await put(made.storage, KEY)
    await made.storage.delete(KEY)
    await made.mirrored()
    await made.storage.delete_bucket(NEW)
    await made.storage.create_bucket(NEW, {"owner": "bob"})
    with pytest.raises(NoSuchKey):
        await made.storage.head(KEY)
    await put(made.storage, KEY, b"again")
    for _ in range(2):
        await made.sweep()
    assert await read(made.storage, KEY) == b"again"


async def test_a_bucket_of_the_primary_is_not_deleted_while_it_is_down(world):
    await refused(world.storage.delete_bucket(BUCKET))


# --- when the primary is back ---


async def test_the_primary_gets_a_new_bucket_with_its_labels_and_all_that_is_in_it(made):
    await put(made.storage, KEY, b"one")
    await made.storage.annotate(Address(NEW), {"acl": "private"})
    await made.recover()
    await made.heal()
    assert await made.mode() is Mode.NORMAL
    assert await read(made.primary.inner, KEY) == b"one"
    for storage in (made.primary, made.fallback):
        assert (await storage.inner.head_bucket(NEW)).labels == {"acl": "private"}
    await put(made.storage, KEY, b"two")
    assert await read(made.primary.inner, KEY) == b"two"


async def test_an_empty_new_bucket_keeps_the_mode_from_being_normal_until_the_primary_has_it(made):
    await made.recover()
    await made.member.beat()
    assert await made.mode() is Mode.HEALING
    assert (await made.journal.unhealed()).buckets == 1
    await made.heal()
    assert await made.mode() is Mode.NORMAL
    assert await names(made.primary.inner) == [BUCKET, NEW]


async def test_while_the_primary_lacks_a_bucket_its_keys_are_written_to_the_fallback(made):
    await made.recover()
    await put(made.storage, KEY, b"one")
    assert ("put", "key") not in made.primary.told
    assert await read(made.storage, KEY) == b"one"
    assert await listed(made.storage) == ["key"]
    assert await names(made.storage) == [BUCKET, NEW]
    with pytest.raises(NoSuchKey):
        await made.storage.head(Address(NEW, "other"))
    with pytest.raises(BucketAlreadyExists):
        await made.storage.create_bucket(NEW, {})
    await made.heal()
    assert await read(made.primary.inner, KEY) == b"one"


async def test_a_bucket_on_its_way_to_the_primary_stays(made):
    await made.recover()
    [coming] = await made.journal.buckets.claim(10)
    await refused(made.storage.delete_bucket(NEW))
    await made.fail()
    await refused(made.storage.delete_bucket(NEW))
    await put(made.storage, KEY, b"one")
    assert not await made.journal.buckets.healed(coming), "in an outage the primary does not decide about its keys"
    with pytest.raises(NoSuchKey):
        await made.storage.head(Address(NEW, "other"))


async def test_labels_that_change_while_the_bucket_is_made_reach_the_primary(made):
    await made.recover()
    [coming] = await made.journal.buckets.claim(10)
    await made.storage.annotate(Address(NEW), {"acl": "private"})
    assert not await made.journal.buckets.healed(coming)
    await made.heal()
    assert (await made.primary.inner.head_bucket(NEW)).labels == {"acl": "private"}


async def test_a_primary_that_refuses_a_bucket_is_asked_again_and_loses_nothing(made):
    await put(made.storage, KEY, b"one")
    await made.recover()
    made.primary.fails(Fault.REFUSES, "create_bucket")
    await made.heal_some(2)
    assert (await made.journal.unhealed()).buckets == 1
    assert await read(made.storage, KEY) == b"one"
    made.primary.works()
    await made.heal()
    assert await read(made.primary.inner, KEY) == b"one"


async def test_a_bucket_that_the_primary_got_and_did_not_say_so_is_made_once(made):
    await made.recover()
    made.primary.fails(Fault.LOSES_ANSWER, "create_bucket")
    await made.heal_some(1)
    made.primary.works()
    await made.heal()
    assert await names(made.primary.inner) == [BUCKET, NEW]


async def test_a_write_begun_before_the_outage_does_not_get_into_a_bucket_made_in_it(made):
    await made.recover()
    assert not await made.member.may_write(KEY, made.member.term)


# --- the journal ---


@pytest.mark.parametrize(("fails", "told"), [(StateUnavailable, refused), (StateUnknown, unknown)])
async def test_without_the_journal_no_bucket_is_made_nor_labelled_nor_deleted(made, monkeypatch, fails, told):
    for bucket, call in (
        ("another", made.storage.create_bucket),
        (NEW, lambda name, labels: made.storage.annotate(Address(name), labels)),
        (NEW, lambda name, _: made.storage.delete_bucket(name)),
    ):
        look = await made.journal.look(Address(bucket))
        with monkeypatch.context() as patch:
            patch.setattr(made.state, "fails", fails)
            patch.setattr(made.journal, "look", AsyncMock(return_value=look))
            await told(call(bucket, {}))


async def test_what_the_primary_lacks_for_long_is_forgotten_and_what_it_was_just_asked_for_is_not():
    world = await knowing()
    await world.journal.buckets.know(["gone"])
    await world.journal.buckets.fade(["gone"])
    records, is_complete = await world.journal.buckets.every()
    assert set(records) == {BUCKET, "gone"}
    assert is_complete
    world.journal._scope.rules.absent_before = lambda now: now + 1
    await put(world.storage, AT)
    await world.journal.buckets.fade(["gone", BUCKET])
    records, is_complete = await world.journal.buckets.every()
    assert set(records) == {BUCKET}, "there is something left to be done for it"
    assert records[BUCKET].presence is Presence.KNOWN
    assert is_complete
