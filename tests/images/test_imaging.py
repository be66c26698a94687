"""What becomes of variants when originals are written, replaced, copied and deleted, also when things fail."""

import asyncio
from dataclasses import replace

import pytest

from gateway.backends.memory import Memory
from gateway.conditions import Conditions
from gateway.errors import (
    InternalError,
    PreconditionFailed,
    ServiceUnavailable,
    SlowDown,
)
from gateway.images.marks import marks
from gateway.storage import Address, Body, Completion, WriteOptions
from tests.forms import TYPE, encoded, signed
from tests.images.bench import AT, BOTH, PATIENCE_S, RULE, SMALL, WEBP, Failing, bench_of, chunks
from tests.images.makers import gif, jpeg, png
from tests.server.harness import ACCESS_KEY, SECRET_KEY, head, receive, serving


@pytest.fixture(params=["sync", "async"])
async def bench(request, tmp_path):
    async with bench_of(tmp_path, mode=request.param) as bench:
        bench.mode = request.param
        yield bench


@pytest.fixture
async def sync(tmp_path):
    async with bench_of(tmp_path, mode="sync") as bench:
        yield bench


async def test_the_original_is_as_it_came_and_its_variants_tell_of_it(bench):
    data = jpeg()
    info = await bench.put(data, headers={"content-type": "image/jpeg", "cache-control": "max-age=9"})
    assert info.images == ("done" if bench.mode == "sync" else "pending")
    await bench.until(BOTH)
    assert await bench.read(AT) == data
    small = await bench.storage.head(SMALL)
    assert small.headers == {"content-type": "image/jpeg", "cache-control": "max-age=9"}
    assert small.metadata["gw-source"] == "in/x.jpg"
    assert small.metadata["gw-source-etag"] == info.etag
    assert (await bench.storage.head(WEBP)).headers["content-type"] == "image/webp"


async def test_newer_bytes_have_newer_variants(bench):
    await bench.put(jpeg())
    await bench.until(BOTH)
    info = await bench.put(png())
    await bench.until(BOTH, fresh=info.etag)


async def test_variants_go_with_the_original_and_nothing_else_does(bench):
    await bench.put(jpeg())
    await bench.put(jpeg(), Address("media", "in/y.jpg"))
    await bench.put(b"mine", Address("media", "out/small/mine.jpg"))
    await bench.until(BOTH | {"in/y.jpg", "out/small/y.jpg", "out/webp/y.webp", "out/small/mine.jpg"})
    await bench.shown.delete(AT)
    await bench.until({"in/y.jpg", "out/small/y.jpg", "out/webp/y.webp", "out/small/mine.jpg"})


async def test_variants_of_an_image_that_is_none_any_more_go(bench):
    await bench.put(jpeg())
    await bench.until(BOTH)
    info = await bench.put(b"something else")
    assert info.images == ("skipped" if bench.mode == "sync" else "pending")
    await bench.until({"in/x.jpg"})


@pytest.mark.parametrize("options", [{"headers": {"content-encoding": "gzip"}}, {"metadata": marks("in/a", "e", "s")}])
async def test_nothing_is_made_of_what_is_encoded_or_a_variant_itself(bench, options):
    await bench.put(jpeg())
    await bench.until(BOTH)
    assert (await bench.put(jpeg(), **options)).images == "skipped"
    await bench.until({"in/x.jpg"})
    async with asyncio.timeout(PATIENCE_S):
        while await bench.shown._making.queue.waiting() != (0, 0, 0, 0, 0):  # noqa: ASYNC110  a database tells nobody
            await asyncio.sleep(0.05)


async def test_an_object_of_somebody_else_is_never_written_over(sync):
    await sync.put(b"mine", SMALL)
    assert (await sync.put(jpeg())).images == "partial"
    assert await sync.read(SMALL) == b"mine"
    await sync.shown.delete(AT)
    assert await sync.keys() == {"out/small/x.jpg"}


async def test_of_two_images_with_one_variant_the_first_keeps_it(sync):
    await sync.put(jpeg())
    other = Address("media", "in/x.png")
    assert (await sync.put(png(), other)).images == "partial"  # in/x.jpg has out/webp/x.webp
    assert (await sync.storage.head(WEBP)).metadata["gw-source"] == "in/x.jpg"
    await sync.shown.delete(other)
    assert await sync.keys() == BOTH


async def test_an_object_that_comes_up_meanwhile_is_not_written_over(sync):
    async def come(at):
        if at == SMALL:
            sync.storage.before_put = None
            await sync.storage.inner.put(SMALL, Body(chunks(b"mine"), 4))

    sync.storage.before_put = come
    assert (await sync.put(jpeg())).images == "partial"
    assert await sync.read(SMALL) == b"mine"


async def test_an_original_that_changes_meanwhile_has_the_variants_of_the_newest(sync):
    async def come(at):
        if at == SMALL:
            sync.storage.before_put = None
            await sync.storage.inner.put(AT, Body(chunks(newest), len(newest)))

    newest = png()
    sync.storage.before_put = come
    await sync.put(jpeg())
    await sync.until(BOTH, fresh=(await sync.storage.head(AT)).etag)


async def test_an_original_that_goes_meanwhile_leaves_no_variant(sync):
    async def go(at):
        if at == SMALL:
            sync.storage.before_put = None
            await sync.storage.inner.delete(AT)

    sync.storage.before_put = go
    await sync.put(jpeg())
    await sync.until(set())


async def test_a_storage_without_conditions_has_variants_too(sync):
    sync.storage.knows_conditions = False
    assert (await sync.put(jpeg())).images == "done"
    assert (await sync.put(png())).images == "done"
    await sync.put(b"mine", SMALL)
    await sync.shown.delete(AT)
    assert await sync.keys() == {"out/small/x.jpg"}


async def test_a_gateway_with_another_bucket_of_that_name_leaves_what_waits_alone(tmp_path):
    """Two that were started in one folder share the state: its default lies there."""
    storage = Failing(Memory())
    await storage.create_bucket("media", {})
    storage.failures["put", SMALL.key] = ServiceUnavailable()
    async with bench_of(tmp_path, storage) as bench:
        await bench.put(jpeg())
        await bench.until({"in/x.jpg", "out/webp/x.webp"})
        async with bench_of(tmp_path, backend={"type": "local", "path": str(tmp_path / "elsewhere")}) as other:
            await bench.shown._making.queue._store.run(
                lambda tx: tx.connection.exec_driver_sql("UPDATE image_job SET due = due - 9999")
            )
            assert await other.shown._making.queue.take(10) == []
            assert (await other.shown._making.queue.waiting()).jobs == 0
    storage.failures.clear()
    async with bench_of(tmp_path, storage) as bench:
        await bench.until(BOTH)


async def test_what_is_uploaded_in_parts_or_copied_has_variants(bench):
    upload = await bench.shown.create_upload(AT)
    data = jpeg()
    part = await bench.shown.put_part(upload, 1, Body(chunks(data), len(data)))
    await bench.shown.complete_upload(upload, [part], Completion())
    await bench.until(BOTH)
    info = await bench.storage.head(AT)
    await bench.shown.copy(AT, Address("media", "in/y.jpg"), WriteOptions(), info.etag)
    await bench.until(BOTH | {"in/y.jpg", "out/small/y.jpg", "out/webp/y.webp"})


async def test_a_variant_that_is_copied_has_no_variants_of_its_own(sync):
    await sync.put(jpeg())
    info = await sync.storage.head(SMALL)
    copied = await sync.shown.copy(SMALL, Address("media", "in/y.jpg"), WriteOptions(metadata=info.metadata), info.etag)
    assert copied.images == "skipped"
    assert await sync.keys() == BOTH | {"in/y.jpg"}


async def test_a_write_that_is_refused_leaves_the_variants_alone(sync):
    await sync.put(jpeg())
    writes = len(sync.storage.writes)
    with pytest.raises(PreconditionFailed):
        await sync.put(png(), conditions=Conditions(if_none_match=("*",)))
    assert len(sync.storage.writes) == writes
    assert await sync.keys() == BOTH


async def test_a_variant_that_cannot_be_stored_is_stored_when_it_can(sync):
    sync.storage.failures["put", SMALL.key] = ServiceUnavailable()
    assert (await sync.put(jpeg())).images == "partial"
    sync.storage.failures.clear()
    await sync.until(BOTH)


async def test_a_variant_that_cannot_be_stored_fails_the_write_where_that_is_wanted(tmp_path):
    async with bench_of(tmp_path, mode="sync", on_error="fail") as bench:
        bench.storage.failures["put", SMALL.key] = ServiceUnavailable()
        with pytest.raises(InternalError):
            await bench.put(jpeg())
        assert await bench.read(AT) == jpeg()
        bench.storage.failures.clear()
        assert (await bench.put(jpeg())).images == "done"


async def test_what_is_stored_already_is_acknowledged_though_the_disk_for_its_variants_fails(sync):
    info = await sync.put(jpeg(), Address("media", "elsewhere.jpg"))
    folder = sync.shown._making.workers.folder
    folder.rmdir()
    copied = await sync.shown.copy(Address("media", "elsewhere.jpg"), AT, WriteOptions(), info.etag)
    assert copied.images == "partial"
    folder.mkdir()
    await sync.until(BOTH | {"elsewhere.jpg"})


async def test_variants_that_cannot_be_deleted_are_deleted_when_they_can(sync):
    await sync.put(jpeg())
    sync.storage.failures["head", SMALL.key] = ServiceUnavailable()
    await sync.shown.delete(AT)
    assert SMALL.key in await sync.keys()
    sync.storage.failures.clear()
    await sync.until(set())


async def given_up(bench, count):
    """Wait until so many images were given up."""
    await bench.shown._making.queue.drained()
    async with asyncio.timeout(PATIENCE_S):
        while (await bench.shown._making.queue.waiting()).failed != count:  # noqa: ASYNC110  a database tells nobody
            await asyncio.sleep(0.01)


async def test_what_was_given_up_is_forgotten_when_it_is_deleted(tmp_path):
    async with bench_of(tmp_path) as bench:
        await bench.put(b"no image")
        await given_up(bench, 1)
        await bench.shown.delete(AT)
        await given_up(bench, 0)


async def test_what_was_given_up_is_forgotten_when_it_is_written_anew(tmp_path):
    rule = {**RULE, "variants": {"small": {"width": 20, "watermark": {"image": "logo.png"}}}}
    async with bench_of(tmp_path, rules=[rule], mode="sync") as bench:
        await bench.put(jpeg())
        await given_up(bench, 1)  # the watermark is not there
        await bench.put(png(8, 8), Address("media", "logo.png"))
        assert (await bench.put(jpeg())).images == "done"
        await given_up(bench, 0)


async def test_a_write_whose_answer_is_lost_is_looked_at_in_the_end(tmp_path):
    async with bench_of(tmp_path) as bench:
        bench.storage.failures["answer", AT.key] = InternalError()
        with pytest.raises(InternalError):
            await bench.put(jpeg())
        assert await bench.keys() == {"in/x.jpg"}
        queue = bench.shown._making.queue
        assert (await queue.waiting()).writing == 1
        await queue._store.run(lambda tx: tx.connection.exec_driver_sql("UPDATE image_intent SET due = due - 9999"))
        await queue.sweep()
        queue.news.set()
        await bench.until(BOTH)


async def test_nothing_is_written_that_could_be_forgotten(tmp_path):
    """Where the state does not answer, the variants could be lost: so the write is refused before it is done."""
    async with bench_of(tmp_path) as bench:

        async def down(_):
            raise ServiceUnavailable

        bench.shown._making.queue._store.run = down
        with pytest.raises(ServiceUnavailable):
            await bench.put(jpeg())
        assert await bench.keys() == set()
        del bench.shown._making.queue._store.run


async def test_what_waits_is_done_by_who_comes_next(tmp_path):
    storage = Failing(Memory())
    await storage.create_bucket("media", {})
    storage.failures["put", SMALL.key] = ServiceUnavailable()
    async with bench_of(tmp_path, storage) as bench:
        await bench.put(jpeg())
        await bench.until({"in/x.jpg", "out/webp/x.webp"})
    storage.failures.clear()
    async with bench_of(tmp_path, storage) as bench:
        await bench.until(BOTH)


async def test_an_upload_that_breaks_off_is_stored_nowhere(tmp_path):
    async def broken():
        yield b"x" * 100
        raise ServiceUnavailable

    for said in ({"on_invalid": "reject"}, {"mode": "sync"}, {}):
        folder = tmp_path / "-".join(said.values()) / "f"
        folder.mkdir(parents=True)
        async with bench_of(folder, **said) as bench:
            with pytest.raises(ServiceUnavailable):
                await bench.shown.put(AT, Body(broken(), 200))
            assert await bench.keys() == set()
            await bench.shown._making.queue.drained()
            assert (await bench.shown._making.queue.waiting()).writing == 0


async def test_who_comes_when_too_many_wait_is_told_to_come_later(tmp_path):
    async with bench_of(tmp_path, mode="sync", top={"queue": {"max_jobs": 1}}) as bench:
        bench.shown._waiting = 1
        with pytest.raises(SlowDown):
            await bench.put(jpeg())
        assert await bench.keys() == set()
        bench.shown._waiting = 0
        assert (await bench.put(jpeg())).images == "done"
        assert bench.shown._waiting == 0


async def test_variants_may_be_read_by_whom_the_original_may(sync):
    await sync.put(jpeg(), labels={"acl": "public-read"})
    assert (await sync.storage.head(SMALL)).labels == {"acl": "public-read"}
    await sync.shown.annotate(AT, {"acl": "private"})
    assert (await sync.storage.head(SMALL)).labels == {"acl": "private"}


async def test_who_changes_an_acl_does_not_wait_for_variants(tmp_path):
    async with bench_of(tmp_path) as bench:
        await bench.storage.put(AT, Body(chunks(jpeg()), len(jpeg())), WriteOptions())
        workers = bench.shown._making.workers
        idle = await workers._idle.get()  # there is no other one
        await asyncio.wait_for(bench.shown.annotate(AT, {"acl": "public-read"}), PATIENCE_S)
        assert await bench.keys() == {AT.key}
        workers._idle.put_nowait(idle)
        await bench.until(BOTH)
        assert (await bench.storage.head(SMALL)).labels == {"acl": "public-read"}


async def test_variants_tell_what_was_to_be_extracted(tmp_path):
    rule = {**RULE, "extract": ["width", "height", "format"]}
    async with bench_of(tmp_path, rules=[rule], mode="sync") as bench:
        await bench.put(gif(), Address("media", "in/x.gif"))
        metadata = (await bench.storage.head(Address("media", "out/small/x.png"))).metadata
        assert {name: metadata[name] for name in ("gw-width", "gw-height", "gw-format")} == {
            "gw-width": "120",
            "gw-height": "80",
            "gw-format": "gif",
        }


async def test_another_watermark_makes_another_variant(tmp_path):
    logo = Address("media", "logo.png")
    rule = {**RULE, "variants": {"small": {"width": 20, "watermark": {"image": "logo.png"}}}}
    async with bench_of(tmp_path, rules=[rule], mode="sync") as bench:
        assert (await bench.put(jpeg())).images == "skipped"  # the watermark is not there
        await bench.put(png(8, 8), logo)
        assert (await bench.put(jpeg())).images == "done"
        before = (await bench.storage.head(SMALL)).metadata["gw-spec"]
        await bench.put(png(9, 9), logo)
        assert (await bench.put(jpeg())).images == "done"
        assert (await bench.storage.head(SMALL)).metadata["gw-spec"] != before


async def test_variants_that_are_there_are_not_made_again(sync):
    await sync.put(jpeg())
    writes = len(sync.storage.writes)
    result = await sync.shown._making.keeper.keep(AT)
    assert (result.made, result.kept) == (0, 2)
    assert len(sync.storage.writes) == writes


async def test_a_key_of_any_length_has_variants_that_know_it(sync):
    key = "in/" + "ü" * 505 + ".j"
    info = await sync.put(jpeg(), Address("media", key))
    assert info.images == "done"
    await sync.shown.delete(Address("media", key))
    assert await sync.keys() == set()


async def test_nothing_is_left_on_the_disk(sync, tmp_path):
    await sync.put(jpeg())
    [folder] = (tmp_path / "images").iterdir()
    assert list(folder.iterdir()) == []


async def test_a_stale_answer_is_no_reason_to_change_anything(sync):
    await sync.put(jpeg())
    inner = sync.storage.head

    async def stale(at, options=None):
        return replace(await inner(at), stale=True)

    sync.storage.head = stale
    with pytest.raises(ServiceUnavailable):
        await sync.shown._making.keeper.keep(AT)
    assert await sync.keys() == BOTH
    del sync.storage.head


async def test_what_a_browser_posts_has_variants(bench):
    async with serving(bench.shown) as site:
        fields = signed(
            "in/${filename}",
            {"success_action_status": "201"},
            [["starts-with", "$Content-Type", "image/"]],
            bucket="media",
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
        )
        form = encoded({**fields, "Content-Type": "image/jpeg"}, jpeg(), "x.jpg")
        reader, writer = await site.connect()
        sent = {"Host": "a", "Content-Type": TYPE, "Content-Length": str(len(form))}
        writer.write(head("POST /media HTTP/1.1", sent) + form)
        reply = await receive(reader)
    assert (reply.status, reply.headers["x-gateway-images"]) == (201, "done" if bench.mode == "sync" else "pending")
    await bench.until(BOTH)
    assert (await bench.storage.head(SMALL)).headers["content-type"] == "image/jpeg"
