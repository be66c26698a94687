"""What a snapshot promises on a disk holds on the kinds of clouds too, as mirrors and as where it is restored to."""

from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest

from gateway.backends.memory import Memory
from gateway.replication.copier import Carriage, stamped
from gateway.replication.keeping import Keeping
from gateway.snapshots.drilling import Drill, Report, Sample
from gateway.snapshots.finding import Past
from gateway.snapshots.manifest import Subject
from gateway.snapshots.restoring import Outcome, Restore, Room
from gateway.snapshots.shelf import Shelf
from gateway.snapshots.signing import Signer
from gateway.snapshots.taking import take
from gateway.storage import Address, UploadQuery, WriteOptions
from tests.backends.clouds import storage_of
from tests.backends.given import MIB, completed, put, read, some
from tests.snapshots.shelved import KEY

BUCKET, TO = "media", "again"
OPTIONS = WriteOptions({"content-type": "image/png", "cache-control": "no-cache"}, {"colour": "red"}, {"owner": "me"})
PARTS = [(1, some(5 * MIB, 1)), (2, some(5 * MIB, 2)), (3, some(10, 3))]
OBJECTS = {"deleted": b"1", "replaced": b"2", "still": b"3", "empty": b"", "parts": b"".join(data for _, data in PARTS)}
GONE = ("deleted", "replaced", "parts")


@pytest.fixture(params=["local:aws", "aws:local", "gcs:local", "local:gcs", "r2:aws", "aws:r2"])
async def clouds(request, tmp_path):
    """A mirror and a target of these kinds."""
    kinds = request.param.split(":")
    async with AsyncExitStack() as opened:
        mirror, target = [await storage_of(opened, kind, tmp_path / kind) for kind in kinds]
        await mirror.create_bucket(BUCKET, {})
        yield mirror, target


async def mirrored(mirror):
    """Have a mirror hold copies of the objects, as the gateway makes them."""
    primary = Memory("primary")
    await primary.create_bucket(BUCKET, {})
    for gen, (key, data) in enumerate(OBJECTS.items(), 1):
        at = Address(BUCKET, key)
        await (completed(primary, at, PARTS, OPTIONS) if key == "parts" else put(primary, at, data, OPTIONS))
        await Carriage(primary, at, mirror, at, gate, lambda info, gen=gen: stamped(info, gen)).run()
    return primary


async def gate():
    pass


async def test_what_a_mirror_has_and_keeps_comes_back_from_any_cloud_to_any(clouds):
    mirror, target = clouds
    primary = await mirrored(mirror)
    shelf = Shelf(mirror, BUCKET, BUCKET, Signer([KEY]))
    head = await take(mirror, Subject(BUCKET, BUCKET, mirror.name), shelf, datetime.now(UTC), lambda _: None)
    keeping = Keeping(mirror, 86400.0)
    for key in GONE:
        at = Address(BUCKET, key)
        await keeping.keep(at, await mirror.head(at))
        await mirror.delete(at)
    await put(mirror, Address(BUCKET, "replaced"), b"new")
    await Room(target, TO).enter(head.id, {})
    async with shelf.opened(head.id) as manifest:
        work = Restore(Past(mirror, BUCKET, head.since), target, TO)
        results = [result async for result in work.run(manifest, "", lambda _: True)]
        told = []
        report = Report(head, "target", Sample("", 1.0, ""))
        await Drill(mirror, target, TO, told.append).run(manifest, report, 0.0)
    assert {result.key: result.outcome for result in results} == {
        key: Outcome.KEPT if key in GONE else Outcome.RESTORED for key in OBJECTS
    }
    assert (told, report.result) == ([], "passed")
    for key, data in OBJECTS.items():
        at, was = Address(TO, key), await primary.head(Address(BUCKET, key))
        assert await read(target, at) == data
        there = await target.head(at)
        assert (there.headers, there.metadata, there.labels) == (was.headers, was.metadata, was.labels)
    await Room(target, TO).leave()
    assert (await target.list_uploads(TO, UploadQuery())).uploads == []
