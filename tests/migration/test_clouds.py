"""A bucket moves from any kind of storage to any other, and is the same there."""

from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from gateway.errors import NotImplementedByGateway
from gateway.migration.bulk import Bulk
from gateway.migration.checking import Check
from gateway.migration.copying import beside
from gateway.migration.deleting import Removal
from gateway.migration.walking import Sides, Sign
from gateway.replication.comparing import Level, Mark
from gateway.replication.window import Window
from gateway.storage import Address, ListQuery, UploadQuery, WriteOptions
from tests.backends.clouds import storage_of
from tests.backends.given import completed, keys, put, read, some
from tests.replication.scene import MIB, parts

BUCKET = "media"
SAID = WriteOptions({"content-type": "image/png", "cache-control": "no-store"}, {"farbe": "blå"}, {"owner": "me"})
ODD = ["a/b", "a//b", "é 😀", "a+b%2F", "folder/"]
PAIRS = [
    "local:aws",
    "aws:local",
    "local:r2",
    "r2:gcs",
    "gcs:r2",
    "local:gcs",
    "gcs:aws",
    "aws:generic",
    "generic:local",
]


def at(key):
    return Address(BUCKET, key)


async def fill(storage):
    for key in ODD:
        await put(storage, at(key), key.encode(), SAID)
    await put(storage, at("empty"), b"", SAID)
    await put(storage, at("sha"), some(MIB), WriteOptions(SAID.headers, checksum="SHA256"))
    await completed(storage, at("of parts"), parts([5 * MIB, 5 * MIB, 3]), SAID)


@pytest.fixture(params=PAIRS)
async def moving(request, tmp_path):
    """Two storages, the first with objects, and of which kinds they are."""
    kinds = request.param.split(":")
    async with AsyncExitStack() as opened:
        source, target = [await storage_of(opened, kind, tmp_path / kind) for kind in kinds]
        for storage in (source, target):
            await storage.create_bucket(BUCKET, {})
        await fill(source)
        yield Sides(source, target, BUCKET, Window(4)), kinds


async def ran(work):
    return {step.key: step async for step in work.run()}


async def test_all_is_the_same_there_and_then_gone_here(moving):
    sides, (from_kind, to_kind) = moving
    source, target = sides.source, sides.target
    if to_kind == "r2":
        await completed(source, at("of uneven parts"), parts([5 * MIB, 6 * MIB, 1]), SAID)
    exclusive = to_kind == "generic"
    if exclusive:
        with pytest.raises(NotImplementedByGateway):
            await ran(Bulk(sides))
    steps = await ran(Bulk(sides, exclusive=exclusive))
    assert {step.mark for step in steps.values()} == {Sign.COPIED}
    if to_kind == "r2":
        assert "another etag" in steps["of uneven parts"].why
    names = await keys(source, BUCKET, ListQuery())
    assert await keys(target, BUCKET, ListQuery()) == names
    for name in names:
        assert beside(await target.head(at(name))) == beside(await source.head(at(name)))
        assert await read(target, at(name)) == await read(source, at(name))
    assert (await target.list_uploads(BUCKET, UploadQuery())).uploads == []
    assert {step.mark for step in (await ran(Bulk(sides, exclusive=exclusive))).values()} == {Sign.SAME}
    for level in Level:
        assert {finding.mark async for finding in Check(sides, level).run()} == {Mark.SAME}

    exclusive = from_kind in {"r2", "generic"}
    if exclusive:
        with pytest.raises(NotImplementedByGateway):
            await ran(Removal(sides, timedelta()))
        assert await keys(source, BUCKET, ListQuery()) == names
    steps = await ran(Removal(sides, timedelta(), level=Level.L2, exclusive=exclusive))
    assert {step.mark for step in steps.values()} == {Sign.DELETED}
    assert await keys(source, BUCKET, ListQuery()) == []
    assert await keys(target, BUCKET, ListQuery()) == names


async def test_what_a_target_takes_no_such_name_for_is_told_before(tmp_path):
    async with AsyncExitStack() as opened:
        source, target = [await storage_of(opened, kind, tmp_path) for kind in ("local", "r2")]
        for storage in (source, target):
            await storage.create_bucket(BUCKET, {})
        await put(source, at("e\u0301"))
        sides = Sides(source, target, BUCKET, Window(4))
        for dry_run in (True, False):
            [step] = (await ran(Bulk(sides, dry_run=dry_run))).values()
            assert step.mark is Sign.FAILED
            assert step.why.startswith("InvalidArgument: ")
