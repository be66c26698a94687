import asyncio
import os
import threading

import pytest

from gateway.images.spool import Spool, body_of, spooled
from gateway.storage import PIECE, Download, File, ObjectInfo

SIZES = (0, 1, PIECE - 1, PIECE, PIECE + 1, 3_000_000)


async def chunks(data):
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]


def opened(path, data, *, offset=0):
    path.write_bytes(bytes(offset) + data)
    descriptor = os.open(path, os.O_RDONLY)
    return descriptor, Download(ObjectInfo("k", len(data), "e", None), 0, len(data), File(descriptor, offset))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("way", ["chunks", "file", "bytes"])
async def test_what_is_spooled_is_there_until_the_context_is_left(tmp_path, size, way):
    data = os.urandom(size)
    async with spooled(tmp_path, 3_000_000) as spool:
        if way == "file":
            descriptor, download = opened(tmp_path / "source", data, offset=7)
            await spool.fill(download)
            os.close(descriptor)
        elif way == "bytes":
            await spool.fill(Download(ObjectInfo("k", size, "e", None), 0, size, data))
        else:
            await spool.take(chunks(data))
        assert (spool.size, spool.is_whole) == (size, True)
        assert spool.path.read_bytes() == data
        assert await (await body_of(spool.path)).read() == data
    assert not spool.path.exists()


@pytest.mark.parametrize("way", ["chunks", "file"])
async def test_what_is_too_large_is_not_written(tmp_path, way):
    descriptor, download = opened(tmp_path / "source", bytes(3_000_000))
    async with spooled(tmp_path, 2_999_999) as spool:
        await (spool.fill(download) if way == "file" else spool.take(chunks(bytes(3_000_000))))
        assert (spool.size, spool.is_whole) == (3_000_000, False)
        assert not spool.path.exists() or spool.path.stat().st_size < 3_000_000
    os.close(descriptor)


async def test_a_file_that_is_cut_off_meanwhile_is_not_whole(tmp_path):
    descriptor, download = opened(tmp_path / "source", bytes(2_000_000))
    os.truncate(tmp_path / "source", 1_500_000)
    async with spooled(tmp_path, 2_000_000) as spool:
        await spool.fill(download)
        assert (spool.size, spool.is_whole) == (1_500_000, False)
    os.close(descriptor)


async def test_what_was_spooled_can_be_replaced(tmp_path):
    async with spooled(tmp_path, 100) as spool:
        await spool.take(chunks(b"too much at first"))
        await spool.clear()
        await spool.take(chunks(b"less"))
        assert spool.path.read_bytes() == b"less"
        assert spool.size == 4


async def test_nothing_is_left_of_what_broke_off_before_it_was_replaced(tmp_path):
    async def broken():
        yield b"of the first"
        raise ConnectionError

    async with spooled(tmp_path, 100) as spool:
        with pytest.raises(ConnectionError):
            await spool.take(broken())
        await spool.clear()
        await spool.take(chunks(b"the second"))
        assert spool.path.read_bytes() == b"the second"


async def test_a_thread_that_comes_too_late_leaves_no_file(tmp_path):
    """The one of a client that went away before it had begun."""
    async with spooled(tmp_path, 100) as spool:
        pass
    spool._write_all([b"late"])
    assert list(tmp_path.iterdir()) == []


async def test_nobody_closes_a_file_that_a_thread_still_writes_to(tmp_path):
    """Else the thread of a client that went away would write to whatever is opened next."""
    began, go_on = threading.Event(), threading.Event()

    def slow():
        began.set()
        go_on.wait()
        yield b"late"

    spool = Spool(tmp_path / "spool", 100)
    writing = asyncio.create_task(asyncio.to_thread(spool._write_all, slow()))
    await asyncio.to_thread(began.wait)
    closing = asyncio.create_task(asyncio.to_thread(spool.close))
    os.fstat(spool._descriptor)
    go_on.set()
    await writing
    await closing
    spool._write_all([b"later still"])
    assert list(tmp_path.iterdir()) == []
