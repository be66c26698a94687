"""Verifying tells each difference, and no other."""

from dataclasses import replace

import pytest

from gateway.errors import ServiceUnavailable
from gateway.migration.bulk import Bulk
from gateway.migration.checking import COPY_LEFT, Check
from gateway.migration.walking import Sides
from gateway.replication.comparing import Finding, Level, Mark
from gateway.replication.window import Window
from gateway.routing.wrapper import Wrapper
from gateway.storage import Address, ReadOptions, WriteOptions
from tests.backends.given import completed, put
from tests.replication.scene import MIB, parts

SAID = WriteOptions({"content-type": "image/png"}, {"farbe": "blå"}, {"owner": "me"})
LEVELS = list(Level)


def at(key):
    return Address("media", key)


async def found(sides, level=Level.L1):
    return sorted([finding async for finding in Check(sides, level).run()], key=lambda finding: finding.key)


@pytest.fixture
async def copied(sides, source):
    """Objects of all kinds, and their copies."""
    await put(source, at("a"), b"abc", SAID)
    await put(source, at("b"), b"", SAID)
    await completed(source, at("c"), parts([5 * MIB, 1]), SAID)
    async for _ in Bulk(sides).run():
        pass


@pytest.mark.parametrize("level", LEVELS)
async def test_copies_are_the_same(sides, copied, level):
    assert await found(sides, level) == [Finding(Mark.SAME, key) for key in "abc"]


@pytest.mark.parametrize("level", LEVELS)
async def test_what_is_missing_and_what_is_left_is_told(sides, copied, source, target, level):
    await target.delete(at("a"))
    await source.delete(at("b"))
    await put(target, at("d"), b"written there")
    assert await found(sides, level) == [
        Finding(Mark.MISSING, "a"),
        Finding(Mark.EXTRA, "b", COPY_LEFT),
        Finding(Mark.SAME, "c"),
        Finding(Mark.EXTRA, "d"),
    ]


async def test_what_was_written_on_one_side_is_different(sides, copied, source, target):
    await put(source, at("a"), b"other", SAID)
    await put(target, at("b"), b"", WriteOptions(metadata={"farbe": "rød"}))
    assert await found(sides) == [
        Finding(Mark.DIFFERENT, "a", "size"),
        Finding(Mark.DIFFERENT, "b", "metadata"),
        Finding(Mark.SAME, "c"),
    ]


def forget(storage, key, **said):
    objects = storage._buckets["media"].objects
    objects[key] = replace(objects[key], info=replace(objects[key].info, **said))


async def test_without_stamp_checksum_and_etag_only_the_bytes_tell_that_a_copy_is_the_same(sides, source, target):
    for storage, etag in ((source, "1"), (target, "2")):
        await put(storage, at("a"), b"abc", SAID)
        forget(storage, "a", checksum=None, etag=etag)
    assert await found(sides) == [Finding(Mark.DIFFERENT, "a", "state")]
    assert await found(sides, Level.L2) == [Finding(Mark.SAME, "a")]


async def test_only_reading_all_bytes_tells_of_those_that_were_damaged(sides, copied, target):
    objects = target._buckets["media"].objects
    objects["a"] = replace(objects["a"], data=b"aBc")
    assert {finding.mark for finding in await found(sides)} == {Mark.SAME}
    assert (await found(sides, Level.L2))[0] == Finding(Mark.DIFFERENT, "a", "bytes")


class Restless(Wrapper):
    """A storage in which an object is written with every look at it."""

    async def head(self, where, options=ReadOptions()):
        await put(self.inner, where, b"again", SAID)
        return await self.inner.head(where, options)


async def test_what_is_written_all_the_time_is_pending(sides, copied, source, target):
    await put(source, at("a"), b"again", SAID)
    restless = Sides(Restless(source), target, "media", Window(8), "a")
    assert await found(restless) == [Finding(Mark.PENDING, "a")]


class Down(Wrapper):
    async def head(self, where, options=ReadOptions()):
        raise ServiceUnavailable("down")


async def test_what_cannot_be_asked_is_told(source, target, copied):
    down = Sides(source, Down(target), "media", Window(8), "a")
    assert await found(down) == [Finding(Mark.ERROR, "a", "ServiceUnavailable: down")]
