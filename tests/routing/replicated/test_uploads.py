"""Multipart uploads that are begun, gone on with, and completed in different modes."""

import asyncio

import pytest

from gateway.checksums import multipart_etag
from gateway.conditions import Conditions
from gateway.errors import (
    InternalError,
    InvalidPart,
    NoSuchKey,
    NoSuchUpload,
    PreconditionFailed,
    ServiceUnavailable,
)
from gateway.replication.records import Mode
from gateway.storage import Address, Completion, ListQuery, Part, ReadOptions, Upload, UploadQuery, WriteOptions
from tests.backends.given import MIB, body, etag, keys, put, read, some, told, uploaded, uploads
from tests.routing.replicated.test_writing import refused, unknown, whole
from tests.routing.replicated.world import AT, BUCKET, Fault, World

PARTS = [(1, some(5 * MIB)), (2, some(5 * MIB, 7)), (5, b"end")]
WHOLE = b"".join(data for _, data in PARTS)
ETAG = multipart_etag([etag(data) for _, data in PARTS])
OPTIONS = WriteOptions(headers={"content-type": "a/b"}, metadata={"a": "ä"}, labels={"owner": "x"})
ABSENT = Completion(Conditions(if_none_match=("*",)))


@pytest.fixture
async def world():
    return await World().ready(BUCKET)


async def begun_in_an_outage(world, parts=PARTS):
    await world.fail()
    upload = await world.storage.create_upload(AT, OPTIONS)
    return upload, await uploaded(world.storage, upload, parts)


async def test_an_upload_begun_before_an_outage_waits_for_the_primary(world):
    upload = await world.storage.create_upload(AT, OPTIONS)
    first = await uploaded(world.storage, upload, PARTS[:1])
    await world.fail()
    await refused(world.storage.put_part(upload, 2, body(b"part")))
    await refused(world.storage.complete_upload(upload, first, Completion()))
    with pytest.raises(ServiceUnavailable):
        await world.storage.list_parts(upload)
    await world.recover()
    await world.member.beat()
    parts = [*first, *await uploaded(world.storage, upload, PARTS[1:])]
    assert (await world.storage.complete_upload(upload, parts, Completion())).etag == ETAG
    assert await read(world.storage, AT) == WHOLE


async def test_an_upload_begun_before_an_outage_does_not_overtake_what_came_in_it(world):
    upload = await world.storage.create_upload(AT)
    parts = await uploaded(world.storage, upload, PARTS)
    await world.fail()
    await put(world.storage, AT, b"new")
    await world.recover()
    await refused(world.storage.complete_upload(upload, parts, Completion()))
    await whole(world)
    assert await read(world.storage, AT) == b"new"
    await world.storage.complete_upload(upload, parts, Completion())
    assert await read(world.storage, AT) == WHOLE


async def test_an_upload_of_an_outage_is_completed_in_it_and_healed_as_it_was(world):
    upload, parts = await begun_in_an_outage(world)
    made = await world.storage.complete_upload(upload, parts, Completion())
    assert (made.etag, made.size, made.part_count) == (ETAG, len(WHOLE), 3)
    assert await read(world.storage, AT) == WHOLE
    assert await read(world.storage, AT, ReadOptions(part=3)) == b"end"
    await whole(world)
    there = await world.primary.inner.head(AT, ReadOptions(parts=True))
    assert (there.etag, there.headers, there.metadata, there.labels) == (
        ETAG,
        OPTIONS.headers,
        OPTIONS.metadata,
        OPTIONS.labels,
    )
    assert [part.size for part in there.parts] == [5 * MIB, 5 * MIB, 3]


@pytest.mark.parametrize("heal", [False, True])
async def test_an_upload_of_an_outage_is_completed_after_it_on_the_primary(world, heal):
    upload, parts = await begun_in_an_outage(world, PARTS[:2])
    await put(world.storage, Address(BUCKET, "other"))
    await world.recover()
    if heal:
        await world.heal()
    parts += await uploaded(world.storage, upload, PARTS[2:])
    assert told((await world.storage.list_parts(upload)).parts) == told(parts)
    made = await world.storage.complete_upload(upload, parts, Completion())
    assert (made.etag, made.part_count) == (ETAG, 3)
    assert await world.mode() is (Mode.NORMAL if heal else Mode.HEALING)
    there = await world.primary.inner.head(AT)
    assert (there.etag, there.metadata, there.labels) == (ETAG, OPTIONS.metadata, OPTIONS.labels)
    assert await read(world.storage, AT) == WHOLE
    assert await uploads(world.storage, BUCKET) == []
    with pytest.raises(NoSuchUpload):
        await world.storage.list_parts(upload)
    await whole(world)
    await world.sweep()
    assert await keys(world.fallback.inner, BUCKET) == []


async def test_a_completion_that_the_primary_did_not_take_can_be_tried_again(world):
    upload, parts = await begun_in_an_outage(world)
    await world.recover()
    await world.member.beat()
    world.primary.fails(Fault.REFUSES, "complete_upload")
    await refused(world.storage.complete_upload(upload, parts, Completion()))
    world.primary.fails(Fault.LOSES_QUESTION, "complete_upload")
    await unknown(world.storage.complete_upload(upload, parts, Completion()))
    world.primary.works()
    await world.sweep()
    with pytest.raises(NoSuchUpload):
        await world.storage.complete_upload(upload, parts[:2], Completion())
    assert (await world.storage.complete_upload(upload, parts, Completion())).etag == ETAG
    await whole(world)


@pytest.mark.parametrize("mode", [Mode.NORMAL, Mode.FAILOVER])
async def test_a_completion_whose_answer_was_lost_may_be_asked_for_again(world, mode):
    if mode is Mode.FAILOVER:
        upload, parts = await begun_in_an_outage(world)
        await world.storage.complete_upload(upload, parts, Completion())
    else:
        upload = await world.storage.create_upload(AT)
        parts = await uploaded(world.storage, upload, PARTS)
        world.primary.fails(Fault.LOSES_ANSWER, "complete_upload")
        await unknown(world.storage.complete_upload(upload, parts, Completion()))
        world.primary.works()
    assert (await world.storage.complete_upload(upload, parts, Completion())).etag == ETAG
    with pytest.raises(NoSuchUpload):
        await world.storage.complete_upload(upload, parts[:2], Completion())
    await put(world.storage, AT, b"newer")
    with pytest.raises(NoSuchUpload):
        await world.storage.complete_upload(upload, parts, Completion())
    assert await read(world.storage, AT) == b"newer"


async def test_mirrors_follow_a_completion_of_unknown_outcome(world):
    upload = await world.storage.create_upload(AT)
    parts = await uploaded(world.storage, upload, PARTS)
    world.primary.fails(Fault.LOSES_ANSWER, "complete_upload")
    await unknown(world.storage.complete_upload(upload, parts, Completion()))
    world.primary.works()
    await world.sweep()
    await world.mirrored()
    assert await read(world.mirror.inner, AT) == WHOLE


async def test_a_condition_of_a_completion_is_about_the_newest_state(world):
    upload, parts = await begun_in_an_outage(world)
    await put(world.storage, AT, b"there")
    with pytest.raises(PreconditionFailed):
        await world.storage.complete_upload(upload, parts, ABSENT)
    await world.recover()
    with pytest.raises(PreconditionFailed):
        await world.storage.complete_upload(upload, parts, ABSENT)
    await world.heal()
    with pytest.raises(PreconditionFailed):
        await world.storage.complete_upload(upload, parts, ABSENT)
    assert await read(world.storage, AT) == b"there"
    await world.storage.delete(AT)
    assert (await world.storage.complete_upload(upload, parts, ABSENT)).etag == ETAG


async def test_who_is_second_to_create_can_still_complete_under_another_condition(world):
    await world.fail()
    begun = [await world.storage.create_upload(AT) for _ in range(4)]
    parts = [await uploaded(world.storage, upload, [(1, b"%d" % n)]) for n, upload in enumerate(begun)]
    results = await asyncio.gather(
        *(world.storage.complete_upload(u, p, ABSENT) for u, p in zip(begun, parts, strict=True)),
        return_exceptions=True,
    )
    losers = [n for n, result in enumerate(results) if isinstance(result, PreconditionFailed)]
    assert len(losers) == 3
    await world.sweep()
    await world.storage.complete_upload(begun[losers[0]], parts[losers[0]], Completion())
    await world.sweep()
    assert await read(world.storage, AT) == b"%d" % losers[0]
    await whole(world)
    assert await read(world.primary.inner, AT) == b"%d" % losers[0]


async def test_wrong_parts_leave_an_upload_of_an_outage_as_it_was(world):
    upload, parts = await begun_in_an_outage(world)
    with pytest.raises(InvalidPart):
        await world.storage.complete_upload(upload, [Part(1, "0" * 32, 1)], Completion())
    assert (await world.storage.complete_upload(upload, parts, Completion())).etag == ETAG


async def test_an_aborted_upload_of_an_outage_leaves_nothing(world):
    upload, parts = await begun_in_an_outage(world)
    await world.storage.abort_upload(upload)
    with pytest.raises(NoSuchUpload):
        await world.storage.complete_upload(upload, parts, Completion())
    with pytest.raises(NoSuchKey):
        await world.fallback.inner.head(Address(BUCKET, "key"))
    assert await uploads(world.fallback.inner, BUCKET) == []
    await world.recover()
    await world.member.beat()
    assert await world.mode() is Mode.NORMAL


async def test_a_part_is_copied_from_wherever_its_source_is(world):
    old = await put(world.storage, Address(BUCKET, "old"), b"of the primary")
    await world.mirrored()
    here = await world.storage.create_upload(Address(BUCKET, "one"))
    await world.fail()
    new = await put(world.storage, Address(BUCKET, "new"), b"of the fallback")
    there = await world.storage.create_upload(Address(BUCKET, "two"))
    whole_of = ReadOptions()
    for number, info in enumerate((old, new), 1):
        part = await world.storage.copy_part(there, number, Address(BUCKET, info.key), whole_of, info.etag)
        assert part.etag == info.etag
    await world.recover()
    for upload in (here, there):
        for number, info in enumerate((old, new), 1):
            part = await world.storage.copy_part(
                upload, number, Address(BUCKET, info.key), ReadOptions(range=slice(3, 6)), info.etag
            )
            assert part.size == 3
        with pytest.raises(PreconditionFailed):
            await world.storage.copy_part(upload, 3, Address(BUCKET, "new"), whole_of, old.etag)
    assert ("copy_part", "one") in world.primary.told


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
@pytest.mark.parametrize("delimiter", ["", "/"])
async def test_uploads_of_both_storages_are_listed_together_page_by_page(world, limit, delimiter):
    names = ("a", "b/c", "b/c", "b/d", "d", "e/f")
    before = [await world.storage.create_upload(Address(BUCKET, name)) for name in (*names, "p/only")]
    await world.fail()
    during = [await world.storage.create_upload(Address(BUCKET, name)) for name in (*names, "f/only")]
    query = UploadQuery(delimiter=delimiter, limit=limit)
    assert {info.upload for info in await uploads(world.storage, BUCKET, UploadQuery())} == set(during)
    await world.recover()
    found = await uploads(world.storage, BUCKET, query)
    ids = [info.upload for info in found if not isinstance(info, str)]
    expected = sorted([*before, *during], key=lambda upload: upload.at.key)  # those of the primary first
    if delimiter:
        expected = [upload for upload in expected if "/" not in upload.at.key]
        assert sorted(item for item in found if isinstance(item, str)) == ["b/", "e/", "f/", "p/"]
    assert ids == expected


async def test_an_id_from_before_the_bucket_was_replicated_still_stands(world):
    plain = await world.primary.inner.create_upload(AT)
    parts = await uploaded(world.storage, plain, [(1, b"part")])
    await world.storage.complete_upload(plain, parts, Completion())
    assert await read(world.storage, AT) == b"part"


async def test_an_upload_of_an_outage_belongs_to_its_key(world):
    upload, parts = await begun_in_an_outage(world, PARTS[:1])
    wrong = Upload(Address(BUCKET, "other"), upload.id)
    for call in (
        world.storage.put_part(wrong, 1, body(b"x")),
        world.storage.list_parts(wrong),
        world.storage.complete_upload(wrong, parts, Completion()),
        world.storage.abort_upload(wrong),
    ):
        with pytest.raises(NoSuchUpload):
            await call


async def test_what_is_assembled_but_not_yet_current_is_no_object(world):
    upload, parts = await begun_in_an_outage(world)
    hold = world.fallback.hold("head")
    running = asyncio.create_task(world.storage.complete_upload(upload, parts, Completion()))
    await hold.reached.wait()
    assert await keys(world.storage, BUCKET, ListQuery()) == []
    with pytest.raises((NoSuchKey, ServiceUnavailable, InternalError)):
        await world.storage.head(AT)
    hold.go_on.set()
    await running
    assert await keys(world.storage, BUCKET) == ["key"]


async def test_an_object_of_parts_keeps_its_etag_and_parts_through_an_outage(world):
    upload, parts = await begun_in_an_outage(world)
    await world.storage.complete_upload(upload, parts, Completion())
    await world.storage.annotate(AT, {"acl": "public-read"})
    assert await read(world.storage, AT, ReadOptions(part=3)) == b"end"
    await whole(world)
    for outage in (False, True):
        if outage:
            await world.fail()
        info = await world.storage.head(AT, ReadOptions(parts=True))
        assert (info.served_by, info.etag, info.labels) == ("mirror" if outage else "", ETAG, {"acl": "public-read"})
        assert [part.size for part in info.parts] == [5 * MIB, 5 * MIB, 3]
        assert await read(world.storage, AT, ReadOptions(part=3)) == b"end"
