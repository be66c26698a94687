"""What people see of images: of all that can become of one there is a number and a line."""

import asyncio

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from gateway.errors import ServiceUnavailable, SlowDown
from gateway.images.keeper import Pictures, Result
from gateway.images.queue import Queue
from gateway.images.scope import Scope
from gateway.images.spec import Reason, Unfit
from gateway.images.telling import Telling
from gateway.images.working import keep_house
from gateway.storage import Address
from tests.images import makers
from tests.images.bench import AT, BOTH, PATIENCE_S, RULE, SMALL, bench_of
from tests.images.makers import jpeg
from tests.images.test_threats import EVIL
from tests.state.databases import opened

FRAMES = {"max_frames": 200}
OTHER = Address("media", "in/y.jpg")


def number(metric, **labels):
    return REGISTRY.get_sample_value(f"gateway_image_{metric}", labels) or 0


class Counted:
    """What a metric has counted since."""

    def __init__(self, metric, **labels):
        self._metric, self._labels = metric, labels
        self._before = number(metric, **labels)

    @property
    def more(self):
        return number(self._metric, **self._labels) - self._before


@pytest.fixture
async def sync(tmp_path):
    async with bench_of(tmp_path, mode="sync") as bench:
        yield bench


def lines(logs, event):
    return [line for line in logs if line["event"] == event]


async def test_of_each_evil_that_is_stored_the_reason_is_counted_and_told(tmp_path):
    async with bench_of(tmp_path, mode="sync", limits=FRAMES) as bench:
        for name, (data, reason) in EVIL.items():
            jobs = Counted("jobs_total", bucket="media", outcome="skipped", reason=reason.value)
            evil = data()
            with capture_logs() as logs:
                assert (await bench.put(evil)).images == "skipped", name
                async with asyncio.timeout(PATIENCE_S):
                    while not jobs.more:  # noqa: ASYNC110  nothing at all is looked at later
                        await asyncio.sleep(0.02)
            assert jobs.more == 1, name
            [line] = lines(logs, "image_unfit")
            assert (line["key"], line["reason"], line["log_level"]) == (AT.key, reason, "warning"), name
            assert await bench.read(AT) == evil, name
        assert (await bench.put(jpeg())).images == "done"
        assert await bench.keys() == BOTH


async def test_of_each_evil_that_is_refused_the_reason_is_counted_and_told(tmp_path):
    async with bench_of(tmp_path, on_invalid="reject", limits=FRAMES) as bench:
        for name, (data, reason) in EVIL.items():
            refused = Counted("refused_total", bucket="media", reason=reason.value)
            with capture_logs() as logs, pytest.raises(Exception, match=r".*"):
                await bench.put(data())
            assert refused.more == 1, name
            [line] = lines(logs, "image_refused")
            assert (line["key"], line["reason"]) == (AT.key, reason), name
        assert await bench.keys() == set()
        assert (await bench.put(jpeg())).images == "pending"
        await bench.until(BOTH)


async def test_none_of_it_stops_the_queue(tmp_path):
    async with bench_of(tmp_path, limits=FRAMES) as bench:
        ats = [Address("media", f"in/{index}.bin") for index in range(len(EVIL))]
        for at, (data, _) in zip(ats, EVIL.values(), strict=True):
            await bench.put(data(), at)
        await bench.put(jpeg())
        await bench.until(BOTH | {at.key for at in ats})
        queue = bench.shown._making.queue
        async with asyncio.timeout(PATIENCE_S):
            while (await queue.waiting()).failed < len(EVIL):  # noqa: ASYNC110  a database tells nobody
                await asyncio.sleep(0.05)
        failed = {each.at: each.reason for each in await queue.failed("media", 1000)}
        assert failed == {at: reason for at, (_, reason) in zip(ats, EVIL.values(), strict=True)}


async def test_what_was_made_is_told_with_all_that_is_known_of_it(tmp_path):
    rule = {**RULE, "extract": ["taken_at", "camera"]}
    async with bench_of(tmp_path, mode="sync", rules=[rule]) as bench:
        made, timed = Counted("variants_total", bucket="media", result="made"), Counted("seconds_count", bucket="media")
        saved = Counted("saved_bytes_total", bucket="media")
        data = makers.jpeg(900, 600, exif=makers.camera_exif())
        with capture_logs() as logs:
            info = await bench.put(data)
        [line] = lines(logs, "image_made")
        assert line.pop("seconds") >= 0
        assert len(line.pop("sha256")) == 64
        assert line == {
            "event": "image_made",
            "log_level": "info",
            "bucket": "media",
            "key": AT.key,
            "etag": info.etag,
            "kind": "jpeg",
            "width": "900",
            "height": "600",
            "taken_at": "2026-05-17T13:05:09+02:00",
            "camera": "Nikon Z 6",
            "variants": {"small": "out/small/x.jpg", "webp": "out/webp/x.webp"},
        }
        sizes = [(await bench.storage.head(Address("media", key))).size for key in BOTH - {AT.key}]
        assert (made.more, timed.more, saved.more) == (2, 1, 2 * len(data) - sum(sizes))


def test_how_long_it_took_is_told_to_the_microsecond_as_of_requests():
    pictures = Pictures("media", ())
    with capture_logs() as logs:
        Telling().tell(pictures, AT, Result(keys={"small": SMALL.key}), 0.21340512)
    assert lines(logs, "image_made")[0]["seconds"] == 0.213405


async def test_where_a_picture_was_taken_is_told_only_if_it_is_named(tmp_path):
    data = makers.jpeg(exif=makers.camera_exif())
    for extract, told in ((["camera"], False), (["gps"], True)):
        async with bench_of(tmp_path / extract[0], mode="sync", rules=[{**RULE, "extract": extract}]) as bench:
            with capture_logs() as logs:
                await bench.put(data)
            assert ("gps" in lines(logs, "image_made")[0]) is told
            assert ("gw-gps" in (await bench.storage.head(SMALL)).metadata) is told


async def test_a_second_one_of_the_same_bytes_is_noticed(sync):
    duplicates = Counted("duplicates_total", bucket="media")
    await sync.put(jpeg())
    await sync.put(jpeg())  # the same key is none
    assert duplicates.more == 0
    with capture_logs() as logs:
        await sync.put(jpeg(), OTHER)
    [line] = lines(logs, "image_duplicate")
    assert (line["key"], line["of"], duplicates.more) == (OTHER.key, AT.key, 1)


async def test_keys_of_somebody_else_are_told(sync):
    occupied = Counted("variants_total", bucket="media", result="occupied")
    await sync.put(b"mine", SMALL)
    with capture_logs() as logs:
        await sync.put(jpeg())
    [line] = lines(logs, "image_keys_occupied")
    assert (line["key"], line["variants"], occupied.more) == (AT.key, 1, 1)


async def test_what_goes_with_its_original_is_counted(sync):
    removed = Counted("variants_total", bucket="media", result="removed")
    await sync.put(jpeg())
    await sync.shown.delete(AT)
    assert removed.more == 2


async def test_a_storage_that_fails_is_told(sync):
    sync.storage.failures["put", SMALL.key] = ServiceUnavailable()
    with capture_logs() as logs:
        await sync.put(jpeg())
    line = lines(logs, "image_not_done")[0]
    assert (line["key"], line["error"]) == (AT.key, "ServiceUnavailable")


@pytest.mark.parametrize("reason", [Reason.TIMEOUT, Reason.KILLED])
async def test_an_image_that_ends_a_process_is_counted_and_tried_again(tmp_path, reason):
    async with bench_of(tmp_path, mode="sync") as bench:
        kills, workers = Counted("kills_total", reason=reason.value), bench.shown._making.workers
        done = workers._done

        async def ended(_):
            workers._done = done
            raise Unfit(reason)

        workers._done = ended
        with capture_logs() as logs:
            assert (await bench.put(jpeg())).images == "skipped"
        assert kills.more == 1
        assert lines(logs, "image_unfit")[0]["reason"] == reason
        await bench.until(BOTH)


async def test_a_write_for_which_there_is_no_place_is_counted_and_told(sync):
    refused = Counted("refused_total", bucket="media", reason="queue_full")
    sync.shown._waiting = 10**6
    with capture_logs() as logs, pytest.raises(SlowDown):
        await sync.put(jpeg())
    sync.shown._waiting = 0
    assert (refused.more, lines(logs, "image_refused")[0]["reason"]) == (1, "queue_full")


async def test_a_watermark_that_is_missing_is_told_of_its_variant(tmp_path):
    variants = {**RULE["variants"], "small": {"width": 20, "watermark": {"image": "logo.png"}}}
    async with bench_of(tmp_path, mode="sync", rules=[{**RULE, "variants": variants}]) as bench:
        jobs = Counted("jobs_total", bucket="media", outcome="partial", reason="no_watermark")
        failed = Counted("variants_total", bucket="media", result="failed")
        with capture_logs() as logs:
            assert (await bench.put(jpeg())).images == "partial"
        [line] = lines(logs, "image_unfit")
        assert (line["variants"], jobs.more, failed.more) == ({"small": "no_watermark"}, 1, 1)


async def test_what_waits_and_what_was_given_up_is_measured(tmp_path):
    async with opened("sqlite", tmp_path) as store:  # without anybody who would take a job
        queue = Queue(store, Scope({"media": "here"}))
        await queue.add([AT, OTHER])
        [job] = await queue.take(1)
        await queue.fail(job, "broken")
        house = asyncio.create_task(keep_house(queue))
        async with asyncio.timeout(PATIENCE_S):
            while number("queue_jobs", state="failed") != 1:  # noqa: ASYNC110  a metric tells nobody
                await asyncio.sleep(0.02)
        house.cancel()
