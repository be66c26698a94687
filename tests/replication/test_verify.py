"""A mirror is compared by what is there; only what the journal says is under way is given time."""

from dataclasses import replace

import pytest

from gateway.errors import ServiceUnavailable
from gateway.migration.copying import Copier
from gateway.replication.comparing import Level, Mark
from gateway.replication.copier import STAMP
from gateway.replication.records import Kind
from gateway.replication.verify import Verify
from gateway.storage import Address, Body, WriteOptions
from tests.routing.replicated.world import BUCKET, Fault, World

LEVELS = list(Level)


async def chunks(content):
    yield content


async def put(storage, key="key", content=b"abc", **options):
    await storage.put(Address(BUCKET, key), Body(chunks(content), len(content)), WriteOptions(**options))


@pytest.fixture
async def world():
    world = await World().ready(BUCKET)
    for key in ("a", "b", "c"):
        await put(world.storage, key, key.encode())
    await world.mirrored()
    return world


def spoil(world, key):
    """Let a bit of a copy flip, which is told by nothing that is stored beside it."""
    stored = world.mirror.inner._buckets[BUCKET].objects
    stored[key] = replace(stored[key], data=bytes([stored[key].data[0] ^ 1]))


def checking(world, level):
    return Verify(world.journal, "mirror", world.primary, world.mirror, level)


async def found(world, level=Level.L1, prefix="", patience=0.0):
    return {each.key: each async for each in checking(world, level).run(BUCKET, prefix, patience)}


async def marks(world, level=Level.L1, prefix="", patience=0.0):
    return {key: each.mark.value for key, each in (await found(world, level, prefix, patience)).items()}


@pytest.mark.parametrize("level", LEVELS)
async def test_a_mirror_in_step_is_the_same(world, level):
    assert await marks(world, level) == {"a": "=", "b": "=", "c": "="}


@pytest.mark.parametrize("level", LEVELS)
async def test_what_is_missing_extra_or_of_another_size_is_told(world, level):
    await world.mirror.delete(Address(BUCKET, "a"))
    await put(world.mirror, "b", b"longer")
    await put(world.mirror, "d")
    assert await marks(world, level) == {"a": "+", "b": "*", "c": "=", "d": "-"}


async def test_what_a_bucket_was_moved_from_is_the_same_as_the_mirror_it_becomes(world):
    await put(world.mirror.inner, "d", headers={"content-type": "image/png"}, labels={"owner": "me"})
    await Copier(world.mirror.inner, world.primary.inner).copy(Address(BUCKET, "d"), Address(BUCKET, "d"))
    assert await marks(world, prefix="d") == {"d": "="}


async def test_only_what_begins_with_the_prefix_is_compared(world):
    await put(world.mirror, "d/e")
    assert await marks(world, prefix="d/") == {"d/e": "-"}


async def test_what_the_gateway_keeps_for_itself_is_not_compared(world):
    await put(world.mirror, ".gw/health/node")
    assert ".gw/health/node" not in await marks(world)


async def test_another_state_of_the_same_size_takes_a_look_at_the_object(world):
    await put(world.primary, "a", b"z")
    assert (await marks(world, Level.L0))["a"] == "="
    assert (await found(world, Level.L1))["a"] == (Mark.DIFFERENT, "a", "checksum")


async def test_other_metadata_is_a_difference(world):
    at = Address(BUCKET, "a")
    stamp = (await world.mirror.head(at)).labels
    await put(world.mirror, "a", b"a", metadata={"colour": "red"}, labels=stamp)
    assert (await found(world, Level.L1))["a"].why == "state"
    assert (await found(world, Level.L2))["a"].why == "metadata"


async def test_bytes_that_went_bad_are_found_by_reading_them(world):
    spoil(world, "a")
    assert (await marks(world, Level.L1))["a"] == "="
    assert (await found(world, Level.L2))["a"] == (Mark.DIFFERENT, "a", "bytes")


async def test_an_object_that_was_there_before_and_is_the_same_needs_no_stamp(world):
    for storage in (world.primary, world.mirror):
        await put(storage, "old", b"old")
    assert (await marks(world))["old"] == "="


async def test_a_key_that_waits_to_be_copied_is_pending(world):
    await put(world.storage, "a", b"newer")
    await world.journal.drained()
    assert (await marks(world))["a"] == "~"


async def test_a_key_that_is_being_written_is_pending(world):
    await put(world.primary, "a", b"newer")
    await world.journal.begin(Address(BUCKET, "a"), Kind.PUT)
    assert (await marks(world))["a"] == "~"


async def test_a_key_that_the_primary_lacks_is_pending(world):
    await world.fail()
    await put(world.storage, "a", b"newer")
    await world.recover()
    await world.mirrored()
    assert (await marks(world))["a"] == "~"


async def test_what_is_copied_while_it_is_waited_for_is_the_same(world):
    await put(world.storage, "a", b"newer")
    await world.journal.drained()
    seen = []
    async for finding in checking(world, Level.L1).run(BUCKET, patience=60):
        seen.append((finding.mark.value, finding.key))
        if finding.key == "c":
            await world.mirrored()
    assert seen == [("=", "b"), ("=", "c"), ("=", "a")]


async def test_a_key_written_between_two_looks_is_no_difference(world):
    """Its first look is at the old state; by the time the journal is asked, the new one is copied."""

    class Overtaken(Verify):
        async def _see(self, backend, at):
            seen = await super()._see(backend, at)
            if backend is world.primary and at.key == "a" and not self.written:
                self.written = True
                await put(world.storage, "a", b"newer")
                await world.mirrored()
            return seen

    check = Overtaken(world.journal, "mirror", world.primary, world.mirror, Level.L1)
    check.written = False
    assert {each.key: each.mark.value async for each in check.run(BUCKET)} == {"a": "=", "b": "=", "c": "="}


async def test_a_side_that_does_not_answer_for_a_key_leaves_it_open(world):
    world.mirror.fails(Fault.REFUSES, "head")
    assert await marks(world) == {"a": "!", "b": "!", "c": "!"}


async def test_a_side_that_cannot_be_listed_is_an_error(world):
    world.mirror.fails(Fault.REFUSES)
    with pytest.raises(ServiceUnavailable):
        await marks(world)


@pytest.mark.parametrize("level", LEVELS)
async def test_what_is_mended_is_copied_by_the_workers(world, level):
    await world.mirror.delete(Address(BUCKET, "a"))
    await put(world.mirror, "b", b"longer")
    check = checking(world, level)
    await check.mend(BUCKET, [each async for each in check.run(BUCKET) if each.mark is not Mark.SAME])
    assert await marks(world) == {"a": "~", "b": "~", "c": "="}
    await world.mirrored()
    assert await marks(world, Level.L2) == {"a": "=", "b": "=", "c": "="}


async def test_a_copy_that_went_bad_is_copied_anew_although_its_stamp_is_right(world):
    spoil(world, "a")
    check = checking(world, Level.L2)
    await check.mend(BUCKET, [each async for each in check.run(BUCKET) if each.mark is Mark.DIFFERENT])
    assert STAMP not in (await world.mirror.head(Address(BUCKET, "a"))).labels
    await world.mirrored()
    assert await marks(world, Level.L2) == {"a": "=", "b": "=", "c": "="}


async def test_what_only_the_mirror_has_is_left_where_it_is(world):
    await put(world.mirror, "d")
    check = checking(world, Level.L1)
    await check.mend(BUCKET, [])
    await world.mirrored()
    assert (await marks(world))["d"] == "-"


async def test_what_the_mirror_keeps_without_a_source_is_extra_and_not_on_its_way(world):
    await world.primary.inner.delete(Address(BUCKET, "b"))
    await world.journal.mark("mirror", [Address(BUCKET, "b")])
    assert await marks(world) == {"a": "=", "b": "~", "c": "="}
    await world.mirrored()
    assert await marks(world) == {"a": "=", "b": "-", "c": "="}
