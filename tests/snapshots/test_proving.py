"""Bytes are believed for what was written down when they were stored, and nothing else is."""

from dataclasses import replace

import pytest

from gateway.backends.memory import Memory
from gateway.checksums import ALGORITHMS
from gateway.snapshots.proving import Proof, read_back
from gateway.storage import Address, ReadOptions, WriteOptions
from tests.backends.given import MIB, completed, put, some

AT = Address("bucket", "key")
DATA = [some(5 * MIB, 1), some(100, 2)]
PARTS = list(enumerate(DATA, 1))


@pytest.fixture
async def storage():
    storage = Memory()
    await storage.create_bucket("bucket", {})
    return storage


def verdict(info, data, pieces=100_001):
    proof = Proof(info)
    for start in range(0, len(data), pieces):
        proof.update(data[start : start + pieces])
    return proof.verdict


async def told(storage):
    return await storage.head(AT, ReadOptions(parts=True))


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
@pytest.mark.parametrize("size", [0, 1, 70_000])
async def test_a_checksum_tells(storage, algorithm, size):
    data = some(size)
    await put(storage, AT, data, WriteOptions(checksum=algorithm))
    info = replace(await told(storage), etag="an encrypted object's")
    assert verdict(info, data) is True
    assert verdict(info, data + b"x") is False
    assert verdict(info, data[:-1] + b"x") is False


@pytest.mark.parametrize("composite", [True, False])
async def test_checksums_of_parts_tell(storage, composite):
    algorithm = "SHA256" if composite else "CRC64NVME"
    await completed(storage, AT, PARTS, WriteOptions(checksum=algorithm, composite=composite))
    info = replace(await told(storage), etag="an encrypted object's")
    assert info.checksum.composite == composite
    whole = b"".join(DATA)
    assert verdict(info, whole) is True
    assert verdict(info, whole[:-1] + b"x") is False


async def test_without_a_checksum_the_etag_tells(storage):
    await put(storage, AT, b"data")
    info = replace(await told(storage), checksum=None)
    assert verdict(info, b"data") is True
    assert verdict(info, b"date") is None


async def test_without_a_checksum_the_etag_of_parts_tells(storage):
    await completed(storage, AT, PARTS, WriteOptions())
    info = replace(await told(storage), checksum=None)
    assert verdict(info, b"".join(DATA)) is True
    assert verdict(info, b"".join(reversed(DATA))) is None
    assert verdict(replace(info, parts=()), b"".join(DATA)) is None, "nobody knows how long they were"


async def test_an_etag_that_is_no_md5_tells_nothing(storage):
    await put(storage, AT, b"data")
    info = replace(await told(storage), checksum=None, etag="an encrypted object's")
    assert verdict(info, b"data") is None
    assert verdict(info, b"dat") is False, "but the size does"


async def test_what_lies_somewhere_is_read(storage):
    await put(storage, AT, b"data")
    info = await told(storage)
    assert await read_back(storage, AT, info) is True
    await put(storage, AT, b"date")
    assert await read_back(storage, AT, info) is False
