"""A large object goes from one storage to another in parts: all of it or nothing."""

from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from gateway.backends.memory import Memory
from gateway.conditions import Conditions
from gateway.errors import IncompleteBody, InternalError, PreconditionFailed
from gateway.routing import across
from gateway.routing.router import Router
from gateway.routing.wrapper import Wrapper
from gateway.storage import Address, ReadOptions, WriteOptions
from tests.backends.given import MIB, body, etag, put, read, some, uploads

FROM, TO = Address("from", "key"), Address("to", "key")
DATA = some(22 * MIB)
OPTIONS = WriteOptions({"content-type": "text/x"}, {"a": "ä"}, {"owner": "me"})


class Unsteady(Wrapper):
    """Breaks off every read that starts at one of these offsets, once for each time that it stands there."""

    def __init__(self, inner):
        super().__init__(inner)
        self.breaks = []
        self.reads = []
        self.flipped = None

    @asynccontextmanager
    async def get(self, at, options=ReadOptions()):
        async with self.inner.get(at, options) as download:
            self.reads.append((download.start, download.stop))
            data = download.content
            if download.start == self.flipped:
                data = b"?" + data[1:]
            if download.start in self.breaks and options.range:
                self.breaks.remove(download.start)
                data = data[:1000]
            yield download._replace(content=body(data, pieces=MIB).raw)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(across, "LARGE", 8 * MIB)
    monkeypatch.setattr(across, "PART", 5 * MIB)
    monkeypatch.setattr(across, "PAUSE", 0)


@pytest.fixture
async def source():
    return Unsteady(Memory())


@pytest.fixture
async def router(source):
    router = Router({"from": source, "to": Memory()}, None)
    for bucket in ("from", "to"):
        await router.create_bucket(bucket, {})
    await put(router, FROM, DATA)
    return router


async def copy(router, options=OPTIONS):
    return await router.copy(FROM, TO, options, etag(DATA))


async def test_a_large_object_goes_in_equal_parts(router, source):
    made = await copy(router)
    assert (made.size, made.part_count, made.headers, made.metadata, made.labels) == (
        len(DATA),
        5,
        OPTIONS.headers,
        OPTIONS.metadata,
        OPTIONS.labels,
    )
    assert made.checksum == (await router.head(FROM)).checksum
    assert await read(router, TO) == DATA
    assert max(stop - start for start, stop in source.reads[1:]) == 5 * MIB


async def test_a_smaller_one_and_one_under_a_condition_go_in_one_piece(router):
    absent = WriteOptions(conditions=Conditions(if_none_match=("*",)))
    assert (await copy(router, absent)).etag == etag(DATA)
    with pytest.raises(PreconditionFailed):
        await copy(router, absent)
    await put(router, FROM, DATA[: 8 * MIB])
    assert (await router.copy(FROM, TO, OPTIONS, etag(DATA[: 8 * MIB]))).part_count == 0


async def test_a_part_that_breaks_off_is_copied_again(router, source):
    source.breaks = [5 * MIB, 5 * MIB, 20 * MIB]
    await copy(router)
    assert await read(router, TO) == DATA


async def test_nothing_is_left_of_what_breaks_off_again_and_again(router, source):
    source.breaks = [5 * MIB] * across.ATTEMPTS
    with pytest.raises(IncompleteBody):
        await copy(router)
    assert await uploads(router, "to") == []


async def test_other_bytes_than_those_that_were_stored_are_not_passed_on(router, source):
    source.flipped = 15 * MIB
    with pytest.raises(InternalError):
        await copy(router)
    assert await uploads(router, "to") == []


async def test_parts_of_two_versions_are_never_mixed(router, source):
    get = source.get

    @asynccontextmanager
    async def replaced(at, options=ReadOptions()):
        if options.range and options.range.start == 20 * MIB:
            await put(source.inner, FROM, DATA[::-1])
        async with get(at, options) as download:
            yield download

    source.get = replaced
    with pytest.raises(PreconditionFailed):
        await copy(router)
    assert await uploads(router, "to") == []


@pytest.mark.parametrize("size", [across.LARGE + 1, 160 * 1000 * MIB, 5 * 1024**4, 50 * 1024**4])
def test_parts_are_equal_and_never_too_many(size):
    parts = across.spans(size)
    assert len(parts) <= across.MOST_PARTS
    assert (parts[0].start, parts[-1].stop) == (0, size)
    assert len({part.stop - part.start for part in parts[:-1]}) == 1
    assert all(part.stop == following.start for part, following in pairwise(parts))
