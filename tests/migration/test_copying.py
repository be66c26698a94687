"""A key is copied whole and says of what it is a copy, or the target stays as it is."""

import asyncio
import json

import pytest

from gateway.conditions import ANY_STATE
from gateway.errors import InvalidPart, NotImplementedByGateway, ServiceUnavailable
from gateway.migration.copying import Copied, Copier, Outcome, is_copy_of, is_migrated, origin_of, state_of
from gateway.replication.copier import MIGRATED, STAMP
from gateway.routing.wrapper import Wrapper
from gateway.storage import Address, ListQuery, ReadOptions, UploadQuery, WriteOptions
from tests.backends.given import body, completed, keys, put, read, some, uploads
from tests.replication.scene import MIB, parts

FROM, TO = Address("media", "a"), Address("media", "b")
SAID = WriteOptions({"content-type": "image/png", "cache-control": "no-store"}, {"farbe": "blå"}, {"owner": "me"})


@pytest.fixture
def copier(source, target):
    return Copier(source, target)


async def test_a_copy_is_what_its_source_is_and_says_so(source, target, copier):
    stored = await put(source, FROM, some(MIB), SAID)
    assert await copier.copy(FROM, TO) == Copied(Outcome.COPIED, MIB)
    made = await target.head(TO)
    assert await read(target, TO) == some(MIB)
    assert (made.etag, made.headers, made.metadata, made.checksum) == (
        stored.etag,
        SAID.headers,
        SAID.metadata,
        stored.checksum,
    )
    assert {name: value for name, value in made.labels.items() if name != MIGRATED} == SAID.labels
    assert is_migrated(made)
    assert origin_of(made) == state_of(stored)
    assert is_copy_of(made, stored)


async def test_an_object_of_parts_stays_one_of_these_parts(source, target, copier):
    stored = await completed(source, FROM, parts([5 * MIB, 6 * MIB, 1]), SAID)
    assert await copier.copy(FROM, TO) == Copied(Outcome.COPIED, 11 * MIB + 1)
    made = await target.head(TO, ReadOptions(parts=True))
    assert (made.etag, [part.size for part in made.parts]) == (stored.etag, [5 * MIB, 6 * MIB, 1])
    assert is_copy_of(made, stored)


async def test_what_a_client_has_written_at_the_target_stays(source, target, copier):
    await put(source, FROM, b"old")
    theirs = await put(target, TO, b"new")
    assert await copier.copy(FROM, TO) == Copied(Outcome.TAKEN)
    assert await target.head(TO) == theirs


async def test_the_end_of_an_upload_does_not_overwrite_a_client_either(source, target, copier):
    await completed(source, FROM, parts([5 * MIB, 1]))
    theirs = await put(target, TO, b"new")
    assert await copier.copy(FROM, TO) == Copied(Outcome.TAKEN)
    assert await target.head(TO) == theirs
    assert await uploads(target, "media", UploadQuery()) == []


async def test_a_key_that_the_source_lacks_is_gone(target, copier):
    assert await copier.copy(FROM, TO) == Copied(Outcome.GONE)
    assert await keys(target, "media", ListQuery()) == []


async def test_a_copy_is_made_once(source, copier):
    await put(source, FROM, b"old", SAID)
    assert [(await copier.copy(FROM, TO)).outcome for _ in range(2)] == [Outcome.COPIED, Outcome.SAME]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"new", SAID),
        (b"old", WriteOptions(SAID.headers, {"farbe": "rød"}, SAID.labels)),
        (b"old", WriteOptions({"content-type": "image/gif"}, SAID.metadata, SAID.labels)),
        (b"old", WriteOptions(SAID.headers, SAID.metadata, {"owner": "you"})),
        (b"old", SAID),
    ],
)
async def test_a_copy_is_of_one_state_only(source, target, copier, data, said):
    await put(source, FROM, b"old", SAID)
    await copier.copy(FROM, TO)
    assert not is_copy_of(await target.head(TO), await put(source, FROM, data, said))


async def test_a_copy_of_an_older_state_is_replaced_when_that_is_wanted(source, target, copier):
    await put(source, FROM, b"old")
    await copier.copy(FROM, TO)
    changed = await put(source, FROM, b"changed")
    assert await copier.copy(FROM, TO) == Copied(Outcome.TAKEN)
    assert (await copier.copy(FROM, TO, over=await target.head(TO))).outcome is Outcome.COPIED
    assert is_copy_of(await target.head(TO), changed)


@pytest.mark.parametrize("exclusive", [False, True])
async def test_what_came_after_the_look_is_not_replaced(source, target, exclusive):
    await put(source, FROM, b"changed")
    seen = await put(target, TO, b"seen")
    theirs = await put(target, TO, b"theirs")
    assert (await Copier(source, target, exclusive).copy(FROM, TO, over=seen)).outcome is Outcome.TAKEN
    assert await target.head(TO) == theirs


@pytest.mark.parametrize("exclusive", [False, True])
async def test_what_was_deleted_after_the_look_is_not_made_again(source, target, exclusive):
    await put(source, FROM, b"changed")
    seen = await put(target, TO, b"seen")
    await target.delete(TO)
    assert (await Copier(source, target, exclusive).copy(FROM, TO, over=seen)).outcome is Outcome.TAKEN
    assert await keys(target, "media", ListQuery()) == []


@pytest.mark.parametrize("make", [put, completed])
async def test_a_gate_that_raises_keeps_the_copy_out(source, target, copier, make):
    await make(source, FROM, some(MIB) if make is put else parts([5 * MIB, 1]))

    async def closed():
        raise ServiceUnavailable

    with pytest.raises(ServiceUnavailable):
        await copier.copy(FROM, TO, gate=closed)
    assert await keys(target, "media", ListQuery()) == []


async def test_of_many_who_copy_a_key_at_once_one_does(source, target, copier):
    stored = await put(source, FROM, some(MIB))
    made = await asyncio.gather(*(copier.copy(FROM, TO) for _ in range(8)))
    assert sorted(each.outcome for each in made) == [Outcome.COPIED, *[Outcome.SAME] * 7]
    assert is_copy_of(await target.head(TO), stored)


class Unconditional(Wrapper):
    """A storage whose server knows no conditions of writes."""

    async def put(self, at, body, options=WriteOptions()):
        if options.conditions:
            raise NotImplementedByGateway(Header="if-none-match")
        return await self.inner.put(at, body, options)

    async def complete_upload(self, upload, parts, completion):
        if completion.conditions != ANY_STATE:
            raise NotImplementedByGateway(Header="if-none-match")
        return await self.inner.complete_upload(upload, parts, completion)


@pytest.mark.parametrize("make", [put, completed])
async def test_a_target_without_conditions_is_written_by_the_only_writer(source, target, make):
    stored = await make(source, FROM, b"old" if make is put else parts([5 * MIB, 1]))
    lacking = Unconditional(target)
    with pytest.raises(NotImplementedByGateway):
        await Copier(source, lacking).copy(FROM, TO)
    assert (await Copier(source, lacking, exclusive=True).copy(FROM, TO)).outcome is Outcome.COPIED
    assert is_copy_of(await target.head(TO), stored)


class Even(Wrapper):
    """A storage that takes parts of one size only."""

    async def put_part(self, upload, number, body):
        if number > 1 and body.size > 5 * MIB:
            raise InvalidPart
        return await self.inner.put_part(upload, number, body)


async def test_parts_that_the_target_does_not_take_become_equal_ones_and_that_is_told(source, target):
    stored = await completed(source, FROM, parts([5 * MIB, 6 * MIB]))
    assert await Copier(source, Even(target)).copy(FROM, TO) == Copied(Outcome.COPIED, 11 * MIB, ("etag",))
    made = await target.head(TO)
    assert await read(target, TO) == await read(source, FROM)
    assert is_copy_of(made, stored)


class Unanswered(Wrapper):
    """A storage that does what it is asked, and does not say so, but refuses what its client asks once more."""

    async def put(self, at, body, options=WriteOptions()):
        await self.inner.put(at, body, options)
        return await self.inner.put(at, None, options)


async def test_a_copy_whose_answer_was_lost_is_known_again(source, target):
    await put(source, FROM, b"old")
    assert (await Copier(source, Unanswered(target)).copy(FROM, TO)).outcome is Outcome.SAME


async def test_notes_about_one_copy_do_not_go_on_to_another(source, target, copier):
    options = WriteOptions(labels={"owner": "me", STAMP: "{}", MIGRATED: "{}"})
    stored = await source.put(FROM, body(b"old"), options)
    await copier.copy(FROM, TO)
    made = await target.head(TO)
    assert set(made.labels) == {"owner", MIGRATED}
    assert is_copy_of(made, stored)


@pytest.mark.parametrize("note", ["", "{}", "[]", "3", '{"e":"","n":1,"m":"?","d":""}', json.dumps({"e": 1})])
async def test_a_note_that_cannot_be_read_tells_of_no_origin(source, note):
    stored = await source.put(FROM, body(b"old"), WriteOptions(labels={MIGRATED: note}))
    assert origin_of(stored) is None
    assert not is_copy_of(stored, stored)
