"""Copies are made inside the storage; bytes are read only where nobody knows their digest, and never sent back."""

from typing import NamedTuple

import pytest

from gateway.checksums import ALGORITHMS, Digest
from gateway.errors import NoSuchUpload, PreconditionFailed, ServiceUnavailable
from gateway.storage import Address, Completion, ReadOptions, WriteOptions
from tests.backends.given import MIB, completed, etag, put, read, some, uploaded
from tests.doubles.gcs import Fault

SIZE = 5 * MIB + 1
TO = Address("bucket", "to")


class Source(NamedTuple):
    at: Address
    etag: str


class Asked:
    """How often the storage was asked to take bytes, and to give them."""

    def __init__(self, fake):
        self.requests = fake.requests

    def fresh(self):
        self.requests.clear()

    @property
    def counts(self):
        paths = [request.split(" ", 1)[1] for request in self.requests]
        return tuple(sum(word in path for path in paths) for word in ("/upload/", "alt=media"))


@pytest.fixture
async def source(fake, storage, bucket):
    at = Address(bucket, "source")
    there = await put(storage, at, some(SIZE), WriteOptions(checksum="SHA256"))
    return Source(at, there.etag)


@pytest.fixture
def asked(fake, source):
    asked = Asked(fake)
    asked.fresh()
    return asked


def checksum(algorithm, data):
    digest = Digest()
    digest.want(algorithm)
    digest.update(data)
    return digest.checksum(algorithm)


@pytest.mark.parametrize("algorithm", ["SHA256", "CRC32C"])
async def test_a_copy_that_changes_metadata_moves_no_byte(storage, source, asked, algorithm):
    options = WriteOptions({"content-type": "a/new"}, {"new": "ä"}, {"owner": "new"}, checksum=algorithm)
    info = await storage.copy(source.at, TO, options, source.etag)
    assert asked.counts == (0, 0)
    assert info == await storage.head(TO)
    assert (info.etag, info.headers, info.metadata) == (source.etag, options.headers, options.metadata)
    assert info.checksum == checksum(algorithm, some(SIZE))


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name not in {"SHA256", "CRC32C"}])
async def test_a_copy_with_a_checksum_that_nobody_knows_reads_once_and_sends_nothing(storage, source, asked, algorithm):
    info = await storage.copy(source.at, TO, WriteOptions(checksum=algorithm), source.etag)
    assert asked.counts == (0, 1)
    assert info.checksum == checksum(algorithm, some(SIZE))
    assert await read(storage, TO) == some(SIZE)


async def test_a_copy_of_an_object_of_parts_sends_nothing(storage, source, asked):
    options = WriteOptions(checksum="SHA1", composite=True)
    there = await completed(storage, source.at, [(1, some(SIZE)), (2, b"end")], options)
    asked.fresh()
    info = await storage.copy(source.at, TO, WriteOptions(checksum="SHA1"), there.etag)
    assert asked.counts == (0, 1)
    assert info.checksum == checksum("SHA1", some(SIZE) + b"end")
    assert await read(storage, TO) == some(SIZE) + b"end"


@pytest.mark.parametrize("wanted", [None, slice(0, SIZE), slice(0, None)], ids=str)
@pytest.mark.parametrize("algorithm", ["SHA256", "CRC64NVME", "CRC32C"])
async def test_a_part_that_is_a_whole_object_is_copied_inside_the_storage(storage, source, asked, wanted, algorithm):
    upload = await storage.create_upload(TO, WriteOptions(checksum=algorithm))
    asked.fresh()
    part = await storage.copy_part(upload, 1, source.at, ReadOptions(range=wanted), source.etag)
    assert asked.counts == (0, algorithm == "CRC64NVME")
    assert (part.etag, part.size, part.checksum) == (etag(some(SIZE)), SIZE, checksum(algorithm, some(SIZE)))
    assert (await storage.list_parts(upload)).parts == [part]
    await storage.complete_upload(upload, [part, *await uploaded(storage, upload, [(2, b"end")])], Completion())
    assert await read(storage, TO) == some(SIZE) + b"end"


async def test_a_part_that_is_an_object_of_parts_has_the_md5_of_its_bytes(storage, source, asked):
    there = await completed(storage, source.at, [(1, some(SIZE)), (2, b"end")])
    upload = await storage.create_upload(TO)
    asked.fresh()
    part = await storage.copy_part(upload, 1, source.at, ReadOptions(), there.etag)
    assert asked.counts == (0, 1)
    assert part.etag == etag(some(SIZE) + b"end")
    assert (await storage.list_parts(upload)).parts == [part]


async def test_a_part_whose_upload_ends_while_it_is_copied_is_refused_and_gone(fake, storage, source):
    upload = await storage.create_upload(TO)
    rewrite, first = fake._rewrite, [True]

    async def too_late(*asked):
        if first:
            first.clear()
            await storage.abort_upload(upload)
        return await rewrite(*asked)

    fake._rewrite = too_late
    with pytest.raises(NoSuchUpload):
        await storage.copy_part(upload, 1, source.at, ReadOptions(), source.etag)
    assert list(fake.buckets["bucket"].blobs) == ["source"]


async def test_a_source_that_is_replaced_while_it_is_read_is_not_copied(fake, storage, source):
    media = fake._media

    def replaced_meanwhile(*asked):
        answer = media(*asked)
        fake.write("bucket", "source", b"other")
        return answer

    fake._media = replaced_meanwhile
    with pytest.raises(PreconditionFailed):
        await storage.copy(source.at, TO, WriteOptions(checksum="SHA1"), source.etag)
    assert "to" not in fake.buckets["bucket"].blobs


async def test_bytes_that_are_read_wrong_give_no_copy(fake, storage, source):
    fake.faults.append(Fault("GET", "alt=media", cut_after=MIB))
    with pytest.raises(ServiceUnavailable):
        await storage.copy(source.at, TO, WriteOptions(checksum="SHA1"), source.etag)
    fake.blob("bucket", "source").data = bytes(SIZE)  # what it is told to be is remembered
    with pytest.raises(ServiceUnavailable):
        await storage.copy(source.at, TO, WriteOptions(checksum="SHA1"), source.etag)
    assert "to" not in fake.buckets["bucket"].blobs
