"""What a gateway that was stopped in the midst of an upload leaves behind is seen by nobody, and goes."""

import asyncio

import pytest

from gateway.backends.gcs import uploads as gcs_uploads
from gateway.backends.gcs.names import OWN, PARTS
from gateway.errors import NoSuchUpload
from gateway.routing.place import Place
from gateway.routing.rename import Rename
from gateway.storage import Address, Completion, UploadQuery
from tests.backends.given import body, keys, uploaded, uploads
from tests.doubles.gcs import Fault


def ours(fake, bucket):
    return [name for name in fake.buckets[bucket].blobs if name.startswith(OWN)]


async def test_parts_of_an_upload_that_is_gone_go_when_the_uploads_are_looked_through(fake, storage, bucket):
    gone, open_ = [await storage.create_upload(Address(bucket, key)) for key in ("gone", "open")]
    await uploaded(storage, gone, [(1, b"x"), (2, b"y")])
    parts = await uploaded(storage, open_, [(1, b"kept")])
    fake.faults.append(Fault("DELETE", PARTS, status=503, times=99))
    with pytest.raises(Exception, match="Service"):
        await storage.abort_upload(gone)
    assert len([name for name in ours(fake, bucket) if gone.id in name]) == 2
    fake.faults.clear()
    assert [info.upload for info in await uploads(storage, bucket)] == [open_]
    assert [name for name in ours(fake, bucket) if gone.id in name] == []
    await storage.complete_upload(open_, parts, Completion())
    assert ours(fake, bucket) == []
    assert await keys(storage, bucket) == ["open"]


async def test_many_leftovers_go_page_by_page(fake, storage, bucket):
    for number in range(1001):
        fake.write(bucket, f"{PARTS}{number:048x}/00001-0", b"x")
    fake.write(bucket, f"{PARTS}nonsense", b"x")
    assert await uploads(storage, bucket) == []
    assert ours(fake, bucket) == [f"{PARTS}nonsense"]


async def test_leftovers_go_too_where_only_a_prefix_of_the_bucket_is_looked_through(fake, storage, bucket):
    other = await storage.create_upload(Address(bucket, "elsewhere"))
    await uploaded(storage, other, [(1, b"kept")])
    fake.write(bucket, f"{PARTS}{1:048x}/00001-0", b"x")
    under = Rename(storage, {"under": Place(bucket, "prefix/")})
    assert await uploads(under, "under") == []
    assert [name for name in ours(fake, bucket) if name.startswith(f"{PARTS}0000")] == []
    assert [part.size for part in (await storage.list_parts(other)).parts] == [4]


async def test_the_parts_of_an_upload_that_begins_meanwhile_stay(fake, storage, bucket):
    listed, begun = fake._list, []

    async def begin_first(request, name):
        answer = await listed(request, name)
        if PARTS in request.query.get("prefix", "") and not begun:
            begun.append(await storage.create_upload(Address(bucket, "key")))
            await uploaded(storage, begun[0], [(1, b"part")])
        return answer

    fake._list = begin_first
    await uploads(storage, bucket)
    assert [part.size for part in (await storage.list_parts(begun[0])).parts] == [4]


async def test_leftovers_that_cannot_be_removed_are_no_failure_of_a_listing(fake, storage, bucket):
    fake.write(bucket, f"{PARTS}{1:048x}/00001-0", b"x")
    fake.faults.append(Fault("DELETE", PARTS, status=503, times=99))
    assert await uploads(storage, bucket) == []


async def test_only_the_first_page_of_a_listing_looks_for_leftovers(fake, storage, bucket):
    fake.write(bucket, f"{PARTS}{1:048x}/00001-0", b"x")
    await storage.list_uploads(bucket, UploadQuery(after="a"))
    assert len(ours(fake, bucket)) == 1
    await storage.list_uploads(bucket, UploadQuery(prefix="a", delimiter="/", limit=1))
    assert ours(fake, bucket) == []


async def test_a_part_that_comes_too_late_for_its_upload_goes_with_the_next_look(fake, storage, bucket, monkeypatch):
    upload = await storage.create_upload(Address(bucket, "key"))
    marker_of, calls = gcs_uploads.marker_of, []

    async def stopped_before_the_second_look(*asked):
        calls.append(asked)
        if len(calls) == 2:
            raise asyncio.CancelledError
        return await marker_of(*asked)

    monkeypatch.setattr(gcs_uploads, "marker_of", stopped_before_the_second_look)
    with pytest.raises(asyncio.CancelledError):
        await storage.put_part(upload, 1, body(b"part"))
    monkeypatch.undo()
    fake.buckets[bucket].blobs.pop(f"{OWN}uploads/{upload.id}")
    with pytest.raises(NoSuchUpload):
        await storage.list_parts(upload)
    await uploads(storage, bucket)
    assert ours(fake, bucket) == []
