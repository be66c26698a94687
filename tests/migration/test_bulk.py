"""After a bulk copy the target has what the source has, and what others have put there."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from gateway.errors import InvalidArgument, NotImplementedByGateway, ServiceUnavailable
from gateway.migration.bulk import GIVE_UP, Bulk
from gateway.migration.copying import is_copy_of, is_migrated
from gateway.migration.walking import CHANGED, Sides, Sign, Step
from gateway.replication.window import Window
from gateway.routing.wrapper import Wrapper
from gateway.storage import Address, ListQuery, WriteOptions
from tests.backends.given import NASTY, completed, keys, put, read, some
from tests.replication.scene import MIB, parts

SAID = WriteOptions({"content-type": "image/png"}, {"farbe": "blå"}, {"owner": "me"})


def at(key):
    return Address("media", key)


async def filled(storage, *names, options=SAID):
    return [await put(storage, at(name), name.encode(), options) for name in names]


async def ran(sides, **said):
    steps = [step async for step in Bulk(sides, **said).run()]
    return sorted(steps, key=lambda step: step.key)


async def collect(steps, into):
    async for step in steps:
        into.append(step)


async def signs(sides, **said):
    return {step.key: step.mark for step in await ran(sides, **said)}


async def everything(storage):
    """Return all that a storage holds, to the last note."""
    names = await keys(storage, "media", ListQuery())
    return {name: (await storage.head(at(name)), await read(storage, at(name))) for name in names}


async def test_all_is_copied_and_then_nothing_is(sides, source, target):
    names = sorted(NASTY, key=str.encode)
    stored = await filled(source, *names)
    assert {step.mark for step in await ran(sides)} == {Sign.COPIED}
    assert await keys(target, "media", ListQuery()) == names
    for info in stored:
        assert is_copy_of(await target.head(at(info.key)), info)
    before = await everything(target)
    assert {step.mark for step in await ran(sides)} == {Sign.SAME}
    assert await everything(target) == before


async def test_how_much_was_copied_is_told(sides, source):
    await completed(source, at("large"), parts([5 * MIB, 1]))
    await put(source, at("small"), some(3))
    assert await ran(sides) == [Step(Sign.COPIED, "large", size=5 * MIB + 1), Step(Sign.COPIED, "small", size=3)]


async def test_only_what_begins_with_the_prefix_is_copied(source, target):
    await filled(source, "a/1", "b/1", "b/2")
    assert await signs(Sides(source, target, "media", Window(8), "b/")) == {"b/1": Sign.COPIED, "b/2": Sign.COPIED}
    assert await keys(target, "media", ListQuery()) == ["b/1", "b/2"]


async def test_what_was_changed_since_is_copied_again(sides, source, target):
    await filled(source, "same", "changed", "annotated")
    await ran(sides)
    changed = await put(source, at("changed"), b"new", SAID)
    await source.annotate(at("annotated"), {"owner": "you"})
    assert await ran(sides) == [
        Step(Sign.COPIED, "annotated", CHANGED, 9),
        Step(Sign.COPIED, "changed", CHANGED, 3),
        Step(Sign.SAME, "same"),
    ]
    assert is_copy_of(await target.head(at("changed")), changed)
    assert (await target.head(at("annotated"))).labels["owner"] == "you"


async def test_what_others_have_put_there_stays_and_is_told(sides, source, target):
    await filled(source, "size", "state", "metadata", "twin")
    await put(target, at("size"), b"theirs", SAID)
    await put(target, at("state"), b"other", SAID)
    await put(target, at("metadata"), b"metadata")
    await filled(target, "twin", "only there")
    before = await everything(target)
    assert await ran(sides) == [
        Step(Sign.TAKEN, "metadata", "metadata"),
        Step(Sign.TAKEN, "size", "size"),
        Step(Sign.TAKEN, "state", "checksum"),
        Step(Sign.SAME, "twin"),
    ]
    assert await everything(target) == before


async def test_what_is_older_is_replaced_when_that_is_wanted(sides, source, target):
    await filled(source, "older", "newer")
    for name, age in (("older", 1), ("newer", -1)):
        info = await put(target, at(name), b"theirs")
        objects = target._buckets["media"].objects
        objects[name] = replace(objects[name], info=replace(info, modified=info.modified - timedelta(days=age)))
    assert await signs(sides, overwrite_older=True) == {"older": Sign.COPIED, "newer": Sign.TAKEN}
    assert is_migrated(await target.head(at("older")))
    assert await read(target, at("newer")) == b"theirs"


async def test_a_dry_run_tells_what_would_be_done_and_does_nothing(sides, source, target):
    await filled(source, "new", "changed", "same", "taken")
    await ran(sides)
    await target.delete(at("new"))
    await put(source, at("changed"), b"changed now", SAID)
    await put(target, at("taken"), b"theirs")
    before = await everything(source), await everything(target)
    told = await ran(sides, dry_run=True)
    assert (await everything(source), await everything(target)) == before
    assert told == [
        Step(Sign.COPIED, "changed", CHANGED, 11),
        Step(Sign.COPIED, "new", size=3),
        Step(Sign.SAME, "same"),
        Step(Sign.TAKEN, "taken", "size"),
    ]
    assert await ran(sides) == told


class Odd(Wrapper):
    """A storage that refuses some keys, each with an error of its own."""

    def __init__(self, inner, refused):
        super().__init__(inner)
        self._refused, self.asked = refused, 0

    async def put(self, at, body, options=WriteOptions()):
        self.asked += 1
        if error := self._refused(at.key):
            raise error
        return await self.inner.put(at, body, options)


async def test_a_key_that_the_target_refuses_is_told_and_the_others_are_copied(source, target):
    await filled(source, "a", "odd", "z")
    odd = Odd(target, lambda key: InvalidArgument("not such a key") if key == "odd" else None)
    assert await ran(Sides(source, odd, "media", Window(2))) == [
        Step(Sign.COPIED, "a", size=1),
        Step(Sign.FAILED, "odd", "InvalidArgument: not such a key"),
        Step(Sign.COPIED, "z", size=1),
    ]


async def test_it_is_given_up_when_nothing_but_failures_come(source, target):
    await filled(source, *map(str, range(3 * GIVE_UP)))
    down = Odd(target, lambda _: ServiceUnavailable())
    steps = await ran(Sides(source, down, "media", Window(8)))
    assert {step.mark for step in steps} == {Sign.FAILED}
    assert GIVE_UP <= len(steps) <= GIVE_UP + 8


async def test_a_target_without_conditions_is_refused_as_a_whole(source, target):
    await filled(source, *map(str, range(100)))
    lacking = Odd(target, lambda _: NotImplementedByGateway(Header="if-none-match"))
    with pytest.raises(NotImplementedByGateway):
        await ran(Sides(source, lacking, "media", Window(4)))
    assert lacking.asked <= 4
    assert {step.mark for step in await ran(Sides(source, target, "media", Window(4)), exclusive=True)} == {Sign.COPIED}


class Unlisted(Wrapper):
    """A storage whose listing breaks off after a page."""

    async def list_objects(self, bucket, query):
        if query.after:
            raise ServiceUnavailable
        return await self.inner.list_objects(bucket, query._replace(limit=10))


async def test_what_was_begun_when_a_listing_breaks_off_is_brought_to_its_end(source, target):
    await filled(source, *map(str, range(30)))
    steps = []
    with pytest.raises(ServiceUnavailable):
        await collect(Bulk(Sides(Unlisted(source), target, "media", Window(4))).run(), steps)
    assert sorted(step.key for step in steps) == sorted(await keys(target, "media", ListQuery()))
    assert len(steps) == 10


class Counted(Wrapper):
    """A storage that notes how many writes are under way at once."""

    now = most = 0

    async def put(self, at, body, options=WriteOptions()):
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        try:
            return await self.inner.put(at, body, options)
        finally:
            self.now -= 1


async def test_no_more_keys_at_once_are_copied_than_wanted(source, target):
    await filled(source, *map(str, range(50)))
    counted = Counted(target)
    await ran(Sides(source, counted, "media", Window(3)))
    assert counted.most == 3


async def test_whenever_it_is_ended_it_is_exact_in_the_end(sides, source, target):
    chance = Random(5)
    names = [f"{number:03}" for number in range(60)]
    await filled(source, *names)
    for _ in range(20):
        copying = asyncio.create_task(ran(sides))
        for _ in range(chance.randrange(40)):
            await asyncio.sleep(0)
        copying.cancel()
        await asyncio.wait([copying])
        await put(source, at(chance.choice(names)), chance.randbytes(3), SAID)
        assert all([is_migrated(await target.head(at(name))) for name in await keys(target, "media", ListQuery())])
    assert {step.mark for step in await ran(sides)} <= {Sign.SAME, Sign.COPIED}
    for name in names:
        assert is_copy_of(await target.head(at(name)), await source.head(at(name)))
        assert await read(target, at(name)) == await read(source, at(name))
