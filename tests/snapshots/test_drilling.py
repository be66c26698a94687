"""A rehearsal tells whether all would have come back, and leaves nothing but its report."""

import asyncio
import json

import pytest

from gateway.backends.memory import Memory
from gateway.errors import ServiceUnavailable
from gateway.snapshots import drilling
from gateway.snapshots.drilling import Drill, Report, Sample
from gateway.snapshots.restoring import Outcome
from gateway.storage import Address, UploadQuery, WriteOptions
from tests.backends.given import NASTY, keys, put
from tests.replication.conftest import scene, timed  # noqa: F401  fixtures
from tests.replication.scene import BUCKET, MIB
from tests.snapshots.test_comparing import mirrored, taken  # noqa: F401  a fixture among them

TO = "scratch"
ALL = Sample("", 1.0, "seed")


@pytest.fixture
async def target():
    target = Memory("target")
    await target.create_bucket(TO, {})
    return target


class Drilled:
    def __init__(self, snapshot, target, sample=ALL):
        self.snapshot, self.target, self.told = snapshot, target, []
        self.report = Report(snapshot.head, "target:scratch", sample)

    async def run(self):
        drill = Drill(self.snapshot.scene.mirror, self.target, TO, self.told.append)
        async with self.snapshot.shelf.opened(self.snapshot.head.id) as manifest:
            await drill.run(manifest, self.report, 1.0)
        return self.report


async def test_what_comes_back_is_measured_and_nothing_stays(mirrored, target):  # noqa: F811  a fixture
    await mirrored.upload([5 * MIB, 1])
    snapshot = await taken(mirrored, *NASTY)
    await mirrored.delete(Address(BUCKET, "a"))
    assert await mirrored.mirrored()
    drilled = Drilled(snapshot, target)
    report = await drilled.run()
    assert (report.result, report.failures, drilled.told) == ("passed", 0, [])
    assert (report.objects, report.bytes) == (len(NASTY) + 1, 3 * len(NASTY) + 5 * MIB + 1)
    assert report.outcomes == {Outcome.RESTORED: len(NASTY), Outcome.KEPT: 1}
    assert report.restoring > 1.0
    assert (report.rate, report.whole) == (report.bytes / report.restoring, report.restoring)
    assert report.age >= 0.0
    assert await keys(target, TO) == []
    assert json.loads(json.dumps(report.document()))["result"] == "passed"


async def test_what_clients_see_of_the_bucket_stays(mirrored, target):  # noqa: F811
    await put(target, Address(TO, "a"), b"a client's")
    assert (await Drilled(await taken(mirrored, "a"), target).run()).result == "passed"
    assert await keys(target, TO) == ["a"]


async def test_what_is_lost_fails_it(mirrored, target):  # noqa: F811
    snapshot = await taken(mirrored, "a", "b")
    mirrored.mirroring = mirrored.worker(protect=0.0)
    await mirrored.delete(Address(BUCKET, "a"))
    assert await mirrored.mirrored()
    drilled = Drilled(snapshot, target)
    report = await drilled.run()
    assert (report.result, report.failures, report.objects) == ("failed", 1, 2)
    assert report.bytes == len(b"old"), "what did not come back was not fast"
    assert [(each.key, each.why or each.outcome) for each in drilled.told] == [
        ("a", Outcome.LOST),
        ("a", "it was not restored"),
    ]
    assert await keys(target, TO) == []


async def test_bytes_that_rotted_fail_it(mirrored, target):  # noqa: F811
    snapshot = await taken(mirrored, "a")
    read_through = drilling.read_through
    at = Address(TO, ".gw/drill/media/a")

    async def rotting(storage, where, update):
        if storage is target:
            held = await target.head(at)
            await put(target, at, b"olt", WriteOptions(held.headers, held.metadata, held.labels))
        return await read_through(storage, where, update)

    drilling.read_through = rotting
    try:
        drilled = Drilled(snapshot, target)
        assert (await drilled.run()).result == "failed"
    finally:
        drilling.read_through = read_through
    assert [each.why for each in drilled.told] == ["its bytes are not what they were"]


@pytest.mark.parametrize("what", ["headers", "metadata", "labels"])
async def test_what_stands_beside_the_bytes_is_compared_too(mirrored, target, monkeypatch, what):  # noqa: F811
    snapshot = await taken(mirrored, "a")
    put_there = target.put

    async def forgetful(at, body, options):
        return await put_there(at, body, WriteOptions(**{what: {"x": "y"}}))

    monkeypatch.setattr(target, "put", forgetful)
    drilled = Drilled(snapshot, target)
    assert (await drilled.run()).result == "failed"
    assert [each.why for each in drilled.told] == [f"its {what} are not what they were"]


@pytest.mark.parametrize("damaged", [False, True])
async def test_where_nothing_was_written_down_of_the_bytes_those_of_the_mirror_tell(
    mirrored,  # noqa: F811
    target,
    monkeypatch,
    damaged,
):
    snapshot = await taken(mirrored, "a")
    monkeypatch.setattr(drilling.Proof, "verdict", property(lambda _: None))
    if damaged:
        at, read_through = Address(TO, ".gw/drill/media/a"), drilling.read_through

        async def rotting(storage, where, update):
            if storage is target:
                await put(target, at, b"olt")
            return await read_through(storage, where, update)

        monkeypatch.setattr(drilling, "read_through", rotting)
    assert (await Drilled(snapshot, target).run()).result == ("failed" if damaged else "passed")


async def test_a_target_that_fails_fails_it_and_is_cleared_as_far_as_can_be(mirrored, target, monkeypatch):  # noqa: F811
    snapshot = await taken(mirrored, "a", "b")

    async def failing(at, *_):
        raise ServiceUnavailable

    monkeypatch.setattr(target, "delete", failing)
    report = await Drilled(snapshot, target).run()
    assert (report.result, report.failures) == ("failed", 0)
    assert "could not be cleared" in report.problem
    monkeypatch.undo()
    assert (await Drilled(snapshot, target).run()).result == "passed", "the next one clears it first"
    assert await keys(target, TO) == []


async def test_one_that_is_broken_off_leaves_nothing(mirrored, target, monkeypatch):  # noqa: F811
    await mirrored.upload([5 * MIB, 1])
    snapshot = await taken(mirrored, "a")
    reached = asyncio.Event()
    put_part = target.put_part

    async def stuck(upload, number, body):
        if number == 2:
            reached.set()
            await asyncio.Event().wait()
        return await put_part(upload, number, body)

    monkeypatch.setattr(target, "put_part", stuck)
    running = asyncio.create_task(Drilled(snapshot, target).run())
    await reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await keys(target, TO) == []
    assert (await target.list_uploads(TO, UploadQuery())).uploads == []


async def test_what_one_that_was_killed_has_left_is_cleared_first(mirrored, target):  # noqa: F811
    snapshot = await taken(mirrored, "a")
    await put(target, Address(TO, ".gw/drill/media/a"), b"half of it")
    await put(target, Address(TO, ".gw/drill/media/z"), b"")
    await target.create_upload(Address(TO, ".gw/drill/media/b"))
    assert (await Drilled(snapshot, target).run()).result == "passed"
    assert await keys(target, TO) == []
    assert (await target.list_uploads(TO, UploadQuery())).uploads == []


async def test_of_another_bucket_nothing_is_cleared(mirrored, target):  # noqa: F811
    await put(target, Address(TO, ".gw/drill/media2/a"), b"")
    await Drilled(await taken(mirrored, "a"), target).run()
    assert await keys(target, TO) == [".gw/drill/media2/a"]


# --- samples ---


async def test_a_sample_is_a_part_and_another_one_each_time(mirrored, target):  # noqa: F811
    for number in range(200):
        await put(mirrored.mirror.inner, Address(BUCKET, f"{number:03}"), b"old")
    snapshot = await taken(mirrored)
    report = await Drilled(snapshot, target, Sample("", 0.1, "one")).run()
    assert 5 <= report.objects <= 40
    assert report.result == "passed"
    assert report.whole == pytest.approx(report.restoring * 200 / report.objects)

    def chosen(seed, part=0.1):
        return [entry.key for entry in entries if Sample("", part, seed).holds(entry, 200)]

    async with snapshot.shelf.opened(snapshot.head.id) as manifest:
        entries = list(manifest.entries())
    assert chosen("one") == chosen("one")
    assert chosen("one") != chosen("two")
    assert chosen("one", 1.0) == [entry.key for entry in entries]
    assert len(chosen("one", 0.0001)) >= 1, "of few, some are chosen all the same"


async def test_where_nothing_was_chosen_nothing_has_passed(mirrored, target):  # noqa: F811
    snapshot = await taken(mirrored, "a")
    report = await Drilled(snapshot, target, Sample("nothing begins so", 1.0, "")).run()
    assert (report.objects, report.result) == (0, "failed")


async def test_an_empty_bucket_comes_back(mirrored, target):  # noqa: F811
    assert (await Drilled(await taken(mirrored), target).run()).result == "passed"
