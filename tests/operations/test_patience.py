"""What takes long is answered in time, on memory."""

import asyncio

import pytest

from gateway.errors import InvalidPart
from gateway.operations import patience, xml
from gateway.operations.patience import answer_in_time
from tests.operations.answers import as_botocore
from tests.operations.calls import call


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(patience, "PATIENCE_S", 0.001)


@pytest.fixture
def asking():
    return call("POST", "/bucket/key?uploadId=1")


async def fail():
    raise InvalidPart


async def succeed(may=None):
    if may:
        await may.wait()
    return xml.document("CompleteMultipartUploadResult", {"ETag": "abc"})


async def written(answer, may):
    pieces = []
    async for piece in answer.content:
        pieces.append(piece)
        if len(pieces) == 3:
            may.set()
    return b"".join(pieces)


async def test_what_is_done_in_time_is_answered_at_once(asking, monkeypatch):
    monkeypatch.setattr(patience, "PATIENCE_S", 60)
    async with asking.keep_open:
        answer = await answer_in_time(asking, succeed())
    assert answer.content == await succeed()
    assert answer.headers == {"Content-Type": "application/xml"}


async def test_what_fails_in_time_fails(asking, monkeypatch):
    monkeypatch.setattr(patience, "PATIENCE_S", 60)
    async with asking.keep_open:
        with pytest.raises(InvalidPart):
            await answer_in_time(asking, fail())


async def test_white_space_keeps_the_connection_alive(asking):
    may = asyncio.Event()
    async with asking.keep_open:
        answer = await answer_in_time(asking, succeed(may))
        assert answer.status == 200
        data = await written(answer, may)
    assert data.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n  ')
    assert data.count(b"<?xml") == 1
    assert as_botocore("CompleteMultipartUpload", answer, data) == {"ETag": "abc"}


async def test_what_fails_later_ends_the_content_with_its_error(asking):
    may = asyncio.Event()

    async def fail_later():
        await may.wait()
        raise InvalidPart

    async with asking.keep_open:
        answer = await answer_in_time(asking, fail_later())
        with pytest.raises(InvalidPart):
            await written(answer, may)


async def test_what_nobody_waits_for_is_given_up(asking):
    ended = asyncio.Event()

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with asking.keep_open:
        await answer_in_time(asking, work())
        assert not ended.is_set()
    await asyncio.wait_for(ended.wait(), 1)


async def test_a_failure_that_nobody_hears_of_is_no_noise(asking, caplog):
    may = asyncio.Event()

    async def fail_later():
        await may.wait()
        raise InvalidPart

    async with asking.keep_open:
        await answer_in_time(asking, fail_later())
        may.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not caplog.records
