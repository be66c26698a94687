"""Nothing is deleted of which it is not certain that the target has it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.conditions import ANY_STATE
from gateway.errors import NotImplementedByGateway, ServiceUnavailable
from gateway.migration.bulk import Bulk
from gateway.migration.deleting import Removal
from gateway.migration.walking import CHANGED, Sides, Sign, Step
from gateway.replication.comparing import Level
from gateway.replication.window import Window
from gateway.routing.wrapper import Wrapper
from gateway.storage import Address, ListQuery, ReadOptions, WriteOptions
from tests.backends.given import completed, keys, put
from tests.replication.scene import MIB, parts

SAID = WriteOptions({"content-type": "image/png"}, {"farbe": "blå"}, {"owner": "me"})
NOW, DAY = timedelta(), timedelta(days=1)
UNSHOWN = "nothing shows that the bytes are the same"


def at(key):
    return Address("media", key)


async def ran(sides, min_age=NOW, **said):
    steps = [step async for step in Removal(sides, min_age, **said).run()]
    return sorted(steps, key=lambda step: step.key)


async def left(storage):
    return await keys(storage, "media", ListQuery())


@pytest.fixture
async def copied(sides, source):
    """Objects of all kinds, and their copies."""
    await put(source, at("a"), b"abc", SAID)
    await put(source, at("b"), b"", SAID)
    await completed(source, at("c"), parts([5 * MIB, 1]), SAID)
    async for _ in Bulk(sides).run():
        pass


def change(storage, key, **said):
    objects = storage._buckets["media"].objects
    objects[key] = replace(objects[key], info=replace(objects[key].info, **said))


DELETED = [Step(Sign.DELETED, "a", size=3), Step(Sign.DELETED, "b"), Step(Sign.DELETED, "c", size=5 * MIB + 1)]


@pytest.mark.parametrize("said", [{}, {"level": Level.L2}, {"exclusive": True}])
async def test_what_was_copied_is_deleted(sides, copied, source, target, said):
    assert await ran(sides, **said) == DELETED
    assert (await left(source), await left(target)) == ([], ["a", "b", "c"])


async def test_a_dry_run_deletes_nothing(sides, copied, source):
    assert await ran(sides, dry_run=True) == DELETED
    assert await left(source) == ["a", "b", "c"]


async def test_what_is_young_stays(sides, copied, source):
    before = (await source.head(at("b"))).modified
    change(source, "b", modified=before - 2 * DAY)
    async for _ in Bulk(sides).run():
        pass
    steps = await ran(sides, DAY)
    assert [(step.mark, step.why) for step in steps] == [
        (Sign.KEPT, "too young"),
        (Sign.DELETED, ""),
        (Sign.KEPT, "too young"),
    ]
    assert await left(source) == ["a", "c"]


async def test_what_was_changed_or_never_copied_stays(sides, copied, source, target):
    await put(source, at("a"), b"new", SAID)
    await source.annotate(at("b"), {"owner": "you"})
    await put(source, at("d"), b"new")
    assert await ran(sides) == [
        Step(Sign.KEPT, "a", CHANGED),
        Step(Sign.KEPT, "b", CHANGED),
        DELETED[2],
        Step(Sign.KEPT, "d", "not copied"),
    ]
    assert await left(source) == ["a", "b", "d"]


async def test_what_somebody_else_has_put_there_is_no_copy(sides, copied, source, target):
    await put(target, at("a"), b"abc", SAID)
    await target.delete(at("b"))
    assert await ran(sides) == [
        Step(Sign.KEPT, "a", "something else is there"),
        Step(Sign.KEPT, "b", "not copied"),
        DELETED[2],
    ]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"headers": {}}, "another metadata"),
        ({"metadata": {}}, "another metadata"),
        ({"checksum": None, "etag": "1"}, UNSHOWN),
        ({"size": 4}, CHANGED),
    ],
)
async def test_a_copy_that_is_not_whole_is_none(sides, copied, target, said, why):
    change(target, "a", **said)
    assert await ran(sides) == [Step(Sign.KEPT, "a", why), *DELETED[1:]]
    assert await left(sides.source) == ["a"]


async def test_where_nothing_else_shows_that_the_bytes_are_the_same_they_are_read(sides, copied, target):
    change(target, "a", checksum=None, etag="1")
    assert await ran(sides, level=Level.L2) == DELETED


async def test_bytes_that_were_read_and_are_others_are_not_deleted(sides, copied, source, target):
    objects = target._buckets["media"].objects
    objects["a"] = replace(objects["a"], data=b"aBc")
    assert await ran(sides, level=Level.L2) == [Step(Sign.KEPT, "a", "another bytes"), *DELETED[1:]]


async def test_no_more_is_deleted_than_was_counted(sides, copied, source):
    steps = await ran(sides, most=2)
    assert sorted(step.mark for step in steps) == sorted([Sign.DELETED, Sign.DELETED, Sign.KEPT])
    assert len(await left(source)) == 1


class Late(Wrapper):
    """A storage in which an object is written just before it is deleted."""

    async def delete(self, where, conditions=ANY_STATE):
        await put(self.inner, where, b"new", SAID)
        await self.inner.delete(where, conditions)


async def test_what_is_written_at_the_last_moment_stays(sides, copied, source, target):
    late = Sides(Late(source), target, "media", Window(8), "a")
    assert await ran(late) == [Step(Sign.KEPT, "a", CHANGED)]
    assert (await source.head(at("a"))).size == 3


class Later(Wrapper):
    """A storage in which an object is written after the first look at it."""

    looks = 0

    async def head(self, where, options=ReadOptions()):
        info = await self.inner.head(where, options)
        self.looks += 1
        if self.looks == 1:
            await put(self.inner, where, b"new", SAID)
        return info


async def test_without_conditions_it_is_looked_once_more(sides, copied, source, target):
    later = Sides(Later(source), target, "media", Window(8), "a")
    assert await ran(later, exclusive=True) == [Step(Sign.KEPT, "a", CHANGED)]


class Unanswered(Wrapper):
    """A storage that deletes, and whose answer is lost: its client asks once more."""

    async def delete(self, where, conditions=ANY_STATE):
        await self.inner.delete(where, conditions)
        await self.inner.delete(where, conditions)


async def test_a_deletion_whose_answer_was_lost_is_told(sides, copied, source, target):
    assert await ran(Sides(Unanswered(source), target, "media", Window(8))) == DELETED


class Failing(Wrapper):
    """A storage that fails at a key."""

    async def head(self, where, options=ReadOptions()):
        if where.key == "a":
            raise ServiceUnavailable("down")
        return await self.inner.head(where, options)


async def test_after_a_failure_nothing_more_is_deleted(sides, copied, source, target):
    steps = await ran(Sides(Failing(source), target, "media", Window(1)))
    assert steps == [Step(Sign.FAILED, "a", "ServiceUnavailable: down")]
    assert await left(source) == ["a", "b", "c"]


class Unlisted(Wrapper):
    """A storage whose listing breaks off after a key."""

    async def list_objects(self, bucket, query):
        if query.after:
            raise ServiceUnavailable
        return await self.inner.list_objects(bucket, query._replace(limit=1))


async def test_where_a_listing_breaks_off_nothing_more_is_deleted(sides, copied, source, target):
    with pytest.raises(ServiceUnavailable):
        await ran(Sides(Unlisted(source), target, "media", Window(1)))
    assert await left(source) == ["b", "c"]


class Unconditional(Wrapper):
    """A storage whose server knows no conditions of deletions."""

    async def delete(self, where, conditions=ANY_STATE):
        if conditions:
            raise NotImplementedByGateway(Header="if-match")
        await self.inner.delete(where)


async def test_a_source_without_conditions_is_refused_unless_nobody_else_writes_there(copied, source, target):
    sides = Sides(Unconditional(source), target, "media", Window(8))
    with pytest.raises(NotImplementedByGateway):
        await ran(sides)
    assert await left(source) == ["a", "b", "c"]
    assert await ran(sides, exclusive=True) == DELETED
