"""An object is the same on the other side, or it is not there."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.backends.memory import Memory
from gateway.checksums import Checksum
from gateway.conditions import Conditions
from gateway.errors import InternalError, NoSuchKey, NotImplementedByGateway, PreconditionFailed
from gateway.replication.copier import PART, STAMP, Carriage, is_copy, stamped, unstamped
from gateway.replication.outcome import Fenced
from gateway.routing.wrapper import Wrapper
from gateway.storage import Address, ListQuery, ReadOptions, UploadQuery, WriteOptions
from tests.backends.given import body, completed, keys, put, read, some, uploads
from tests.replication.given import info
from tests.replication.scene import MIB, parts

FROM, TO = Address("here", "a"), Address("there", "b")


@pytest.fixture
async def source():
    made = Memory("source")
    await made.create_bucket("here", {})
    return made


@pytest.fixture
async def target():
    made = Memory("target")
    await made.create_bucket("there", {})
    return made


async def opened():
    """The gate of somebody who may write."""


async def closed():
    raise Fenced


def carriage(source, target, gate=opened, **options):
    return Carriage(source, FROM, target, TO, gate, **options)


@pytest.mark.parametrize("size", [0, 1, 3 * MIB + 1])
async def test_bytes_arrive_as_they_are(source, target, size):
    stored = await put(source, FROM, some(size))
    assert (await carriage(source, target).run()).source == stored
    assert await read(target, TO) == some(size)


async def test_a_closed_gate_keeps_a_whole_object_out(source, target):
    await put(source, FROM, some(MIB))
    with pytest.raises(Fenced):
        await carriage(source, target, closed).run()
    assert await keys(target, "there", ListQuery()) == []


async def test_a_closed_gate_keeps_an_object_of_parts_out_and_leaves_no_upload(source, target):
    await completed(source, FROM, parts([5 * MIB, 1]))
    with pytest.raises(Fenced):
        await carriage(source, target, closed).run()
    assert await keys(target, "there", ListQuery()) == []
    assert await uploads(target, "there", UploadQuery()) == []


async def test_the_gate_is_asked_when_all_parts_are_there(source, target):
    await completed(source, FROM, parts([5 * MIB, 1]))
    seen = []

    async def gate():
        [upload] = await uploads(target, "there", UploadQuery())
        seen.extend(part.size for part in (await target.list_parts(upload.upload)).parts)

    await carriage(source, target, gate).run()
    assert seen == [5 * MIB, 1]


async def test_a_cancelled_carriage_leaves_no_upload(source, target):
    await completed(source, FROM, parts([5 * MIB, 1]))
    reached = asyncio.Event()

    async def gate():
        reached.set()
        await asyncio.Event().wait()

    carrying = asyncio.create_task(carriage(source, target, gate).run())
    await reached.wait()
    carrying.cancel()
    await asyncio.wait([carrying])
    assert await uploads(target, "there", UploadQuery()) == []


async def test_parts_that_the_source_has_forgotten_are_made_as_they_are_told(source, target):
    stored = await completed(source, FROM, parts([5 * MIB, 6 * MIB, 1]))
    told = (await source.head(FROM, ReadOptions(parts=True))).parts
    forget_parts(source)
    await carriage(source, target, parts=told).run()
    assert (await target.head(TO)).etag == stored.etag


async def test_parts_that_nobody_knows_become_equal_ones(source, target):
    await completed(source, FROM, parts([5 * MIB, 17 * MIB]))
    forget_parts(source)
    await carriage(source, target).run()
    made = await target.head(TO, ReadOptions(parts=True))
    assert [part.size for part in made.parts] == [PART, 6 * MIB]
    assert await read(target, TO) == await read(source, FROM)


async def test_an_empty_object_of_parts_arrives_where_nobody_knows_them(source, target):
    await completed(source, FROM, parts([0]))
    forget_parts(source)
    assert (await carriage(source, target).run()).made.size == 0


async def test_parts_become_equal_ones_when_that_is_wanted(source, target):
    await completed(source, FROM, parts([5 * MIB, 17 * MIB]))
    await carriage(source, target, equal=True).run()
    made = await target.head(TO, ReadOptions(parts=True))
    assert [part.size for part in made.parts] == [PART, 6 * MIB]


class Partless(Wrapper):
    """A storage whose server tells of no parts."""

    def get(self, at, options=ReadOptions()):
        if options.parts:
            raise NotImplementedByGateway(Header="partNumber")
        return self.inner.get(at, options)


async def test_parts_of_which_a_server_cannot_be_asked_become_equal_ones(source, target):
    await completed(source, FROM, parts([5 * MIB, 17 * MIB]))
    await carriage(Partless(source), target).run()
    made = await target.head(TO, ReadOptions(parts=True))
    assert [part.size for part in made.parts] == [PART, 6 * MIB]
    assert await read(target, TO) == await read(source, FROM)


def forget_parts(storage):
    objects = storage._buckets["here"].objects
    objects[FROM.key] = replace(objects[FROM.key], parts=())


async def test_what_is_not_there_is_not_carried(source, target):
    with pytest.raises(NoSuchKey):
        await carriage(source, target).run()


@pytest.mark.parametrize("sizes", [[1], [5 * MIB, 1]])
async def test_bytes_that_changed_at_the_source_are_not_carried(source, target, sizes):
    if len(sizes) == 1:
        await put(source, FROM, b"data")
    else:
        await completed(source, FROM, parts(sizes))
    objects = source._buckets["here"].objects
    objects[FROM.key] = replace(objects[FROM.key], data=bytes(len(objects[FROM.key].data)))
    with pytest.raises(InternalError):
        await carriage(source, target).run()
    assert await keys(target, "there", ListQuery()) == []


async def test_a_condition_at_the_target_holds(source, target):
    await put(source, FROM, b"new")
    await put(target, TO, b"old")
    with pytest.raises(PreconditionFailed):
        await carriage(source, target, conditions=Conditions(if_none_match=("*",))).run()
    assert await read(target, TO) == b"old"


@pytest.mark.parametrize("changed", [{"size": 9}, {"checksum": Checksum("CRC64NVME", "AAAAAAAAAAA=")}])
async def test_a_copy_that_the_target_says_is_another_is_none(source, target, changed):
    await put(source, FROM, b"data")
    stored = target.put

    async def put_another(at, sent, options):
        return replace(await stored(at, sent, options), **changed)

    target.put = put_another
    with pytest.raises(InternalError):
        await carriage(source, target).run()


async def test_an_etag_of_another_kind_is_no_difference_where_the_checksums_agree(source, target):
    await put(source, FROM, b"data")
    stored = target.put

    async def put_encrypted(at, sent, options):
        return replace(await stored(at, sent, options), etag="0" * 32)

    target.put = put_encrypted
    await carriage(source, target).run()


async def test_the_algorithm_of_the_checksum_is_kept(source, target):
    await source.put(FROM, body(b"data"), WriteOptions(checksum="SHA1"))
    await carriage(source, target).run()
    assert (await target.head(TO)).checksum == (await source.head(FROM)).checksum


def copy_of(source, **changed):
    return replace(source, etag="1" * 32, modified=datetime.now(UTC), labels=stamped(source, 7), **changed)


def test_a_copy_shows_what_it_is_a_copy_of():
    assert unstamped(copy_of(info())) == info()


def test_what_has_no_stamp_is_shown_as_it_is():
    assert unstamped(info()) == info()


def test_a_copy_is_one_of_the_very_state_it_was_made_of():
    assert is_copy(copy_of(info()), info())


def test_what_has_no_stamp_is_no_copy():
    assert not is_copy(info(), info())


@pytest.mark.parametrize(
    "changed",
    [
        {"etag": "2" * 32},
        {"size": 4},
        {"headers": {"content-type": "text/plain"}},
        {"metadata": {}},
        {"labels": {"owner": "you"}},
    ],
)
def test_a_copy_is_none_of_another_state(changed):
    assert not is_copy(copy_of(info()), replace(info(), **changed))


def test_a_copy_that_lacks_bytes_is_none():
    assert not is_copy(copy_of(info(), size=2), info())


def test_a_copy_whose_metadata_were_lost_is_none():
    assert not is_copy(copy_of(info(), metadata={}), info())


def test_a_stamp_that_was_copied_with_the_labels_is_replaced():
    again = stamped(copy_of(info()), 8)
    assert set(again) == {"owner", STAMP}
    assert '"g":8' in again[STAMP]
