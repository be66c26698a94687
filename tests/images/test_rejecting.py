"""With `on_invalid: reject` nothing is seen that is no image, whichever way it comes."""

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from gateway.errors import (
    EntityTooLarge,
    InvalidArgument,
    NotImplementedByGateway,
    PreconditionFailed,
    SlowDown,
)
from gateway.images.marks import marks
from gateway.images.spec import Reason, Unfit
from gateway.storage import Address, Body, Completion, WriteOptions
from tests.images.bench import AT, BOTH, bench_of, chunks
from tests.images.makers import jpeg, png

OTHER = Address("media", "elsewhere/x")
EVIL = {  # what it is: the bytes, the type that is declared, and what S3 says
    "no image": (b"no image", "", InvalidArgument, "not_an_image"),
    "broken": (jpeg()[:-500], "", InvalidArgument, "broken"),
    "another type": (jpeg(), "image/png", InvalidArgument, "wrong_type"),
    "too large": (b"x" * 20_001, "", EntityTooLarge, ""),
}


@pytest.fixture(params=["sync", "async"])
async def bench(request, tmp_path):
    async with bench_of(tmp_path, mode=request.param, on_invalid="reject", limits={"max_bytes": 20_000}) as bench:
        yield bench


def typed(kind):
    return WriteOptions(headers={"content-type": kind} if kind else {})


async def test_what_is_no_image_is_refused_before_it_is_stored(tmp_path):
    async with bench_of(tmp_path, on_invalid="reject", limits={"max_bytes": 20_000}) as bench:
        with pytest.raises(InvalidArgument, match="not_an_image"):
            await bench.put(b"no image")
        with pytest.raises(InvalidArgument, match="broken"):
            await bench.put(jpeg()[:-500])
        with pytest.raises(InvalidArgument, match="wrong_type"):
            await bench.put(jpeg(), headers={"content-type": "image/png"})
        with pytest.raises(EntityTooLarge):
            await bench.put(b"x" * 20_001)
        with pytest.raises(EntityTooLarge):
            await bench.shown.put(AT, Body(chunks(b"x" * 20_001), None))
        assert await bench.keys() == set()
        assert (await bench.put(jpeg())).images == "pending"
        await bench.until(BOTH)
        assert await bench.read(AT) == jpeg()


def number(metric, **labels):
    return REGISTRY.get_sample_value(f"gateway_image_{metric}_total", {"reason": "timeout", **labels}) or 0


@pytest.mark.parametrize("name", EVIL)
async def test_an_upload_in_parts_becomes_nothing_but_an_image(bench, name):
    data, kind, error, reason = EVIL[name]
    await bench.put(png())
    upload = await bench.shown.create_upload(AT, typed(kind))
    part = await bench.shown.put_part(upload, 1, Body(chunks(data), len(data)))
    with pytest.raises(error, match=reason):
        await bench.shown.complete_upload(upload, [part], Completion())
    assert await bench.read(AT) == png()
    assert list((await bench.shown.list_parts(upload)).parts) == [part]  # it may be given up, or another part sent


async def test_nobody_sees_what_is_looked_at(bench):
    seen = []
    check = bench.shown._making.keeper.check

    async def looking(*args):
        seen.append(await bench.keys())
        await check(*args)

    bench.shown._making.keeper.check = looking
    upload = await bench.shown.create_upload(AT)
    part = await bench.shown.put_part(upload, 1, Body(chunks(jpeg()), len(jpeg())))
    assert (await bench.shown.complete_upload(upload, [part], Completion())).images in {"done", "pending"}
    assert seen == [set()]
    await bench.until(BOTH)
    assert await bench.read(AT) == jpeg()


@pytest.mark.parametrize("name", EVIL)
async def test_a_copy_is_nothing_but_an_image(bench, name):
    data, kind, error, reason = EVIL[name]
    await bench.put(png())
    source = await bench.storage.inner.put(OTHER, Body(chunks(data), len(data)))
    with pytest.raises(error, match=reason):
        await bench.shown.copy(OTHER, AT, typed(kind), source.etag)
    assert await bench.read(AT) == png()


async def test_an_image_can_be_copied(bench):
    source = await bench.storage.inner.put(OTHER, Body(chunks(jpeg()), len(jpeg())))
    await bench.shown.copy(OTHER, AT, WriteOptions(), source.etag)
    await bench.until(BOTH | {OTHER.key})


async def test_what_is_copied_is_what_was_looked_at(bench):
    source = await bench.storage.inner.put(OTHER, Body(chunks(jpeg()), len(jpeg())))
    check = bench.shown._making.keeper.check

    async def replaced(*args):
        await check(*args)
        await bench.storage.inner.put(OTHER, Body(chunks(b"no image"), 8))

    bench.shown._making.keeper.check = replaced
    with pytest.raises(PreconditionFailed):
        await bench.shown.copy(OTHER, AT, WriteOptions(), source.etag)
    assert await bench.keys() == {OTHER.key}


@pytest.mark.parametrize("name", EVIL)
async def test_who_says_that_it_is_a_variant_is_not_believed(bench, name):
    data, kind, error, reason = EVIL[name]
    with pytest.raises(error, match=reason):
        await bench.put(data, headers=typed(kind).headers, metadata=marks("in/a", "e", "s"))
    assert await bench.keys() == set()
    assert (await bench.put(jpeg(), metadata=marks("in/a", "e", "s"))).images == "skipped"


async def test_an_image_that_could_not_be_looked_at_may_come_again(bench):
    async def busy(*_):
        raise Unfit(Reason.TIMEOUT)

    upload = await bench.shown.create_upload(AT)
    part = await bench.shown.put_part(upload, 1, Body(chunks(jpeg()), len(jpeg())))
    bench.shown._making.keeper.check = busy
    refused, kills = number("refused", bucket="media"), number("kills")
    with pytest.raises(SlowDown):
        await bench.shown.complete_upload(upload, [part], Completion())
    with pytest.raises(SlowDown):
        await bench.put(jpeg())
    assert (number("refused", bucket="media"), number("kills")) == (refused + 2, kills + 2)
    assert await bench.keys() == set()
    del bench.shown._making.keeper.check
    await bench.shown.complete_upload(upload, [part], Completion())
    await bench.until(BOTH)


async def test_uploads_in_parts_are_refused_where_nobody_could_look_at_them(tmp_path):
    s3 = {"type": "s3", "endpoint": "http://127.0.0.1:1", "access_key": "a", "secret_key": "b"}
    with capture_logs() as logs:
        async with bench_of(tmp_path, backend=s3, on_invalid="reject") as bench:
            with pytest.raises(NotImplementedByGateway, match="PutObject"):
                await bench.shown.create_upload(AT)
            assert (await bench.put(jpeg())).images == "pending"
            upload = await bench.shown.create_upload(OTHER)  # is no image
            await bench.shown.abort_upload(upload)
    told = [line for line in logs if line["log_level"] == "warning"]
    assert [(line["event"], line["bucket"]) for line in told] == [
        ("image_uploads_refused", "media"),
        ("image_refused", "media"),
    ]
    async with bench_of(tmp_path / "other", backend=s3) as bench:
        await bench.shown.create_upload(AT)
