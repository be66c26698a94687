"""Whatever a server does, clients are told the right thing, and nothing that is cut off looks whole."""

import asyncio

import pytest
from structlog.testing import capture_logs

from gateway.backends.s3.backend import open_s3
from gateway.errors import (
    ERRORS,
    AccessDenied,
    CredentialsRefused,
    InternalError,
    NoSuchKey,
    NotImplementedByGateway,
    S3Error,
    ServiceUnavailable,
    SlowDown,
)
from gateway.storage import PIECE, SMALL, Address, Body, ListQuery, ReadOptions, WriteOptions
from tests.backends.given import MIB, BrokenOffError, Slow, body, breaking, etag, put, read, some
from tests.doubles.scripted import answer, choke, error, hang, hang_up, scripted
from tests.gateway_process import free_port

AT = Address("bucket", "key")
SECRET = "a-secret-nobody-may-see"
TOLD = {"ETag": f'"{etag(b"data")}"', "Last-Modified": "Sat, 21 Nov 2026 09:00:00 GMT"}


def opened(port, **settings):
    quick = {
        "connect_timeout": 0.5,
        "answer_timeout": 0.3,
        "stall_timeout": 0.3,
        "dialect": "aws",
        "addressing": "path",
    }
    keys = {"access_key": "AKTEST", "secret_key": SECRET}
    return open_s3("afar", **{"endpoint": f"http://127.0.0.1:{port}", **keys, **quick, **settings})


async def outcome(*plays, call):
    """Return what a call raises, what was asked, and what was logged."""
    async with scripted(*plays) as server, opened(server.port) as storage:
        with capture_logs() as logs:
            try:
                result = await call(storage)
            except (S3Error, BrokenOffError) as failure:
                result = failure
    assert SECRET not in repr(logs)
    assert SECRET not in repr(result)
    return result, server.asked, logs


async def test_a_server_that_is_not_there_is_unavailable_and_the_body_is_untouched():
    async with opened(free_port()) as storage:
        large = body(some(MIB))
        for call in (storage.head(AT), read(storage, AT), put(storage, AT, b"data"), storage.put(AT, large)):
            with pytest.raises(ServiceUnavailable):
                await call
        assert not large.started


async def test_a_host_without_an_address_is_unavailable():
    async with opened(1, endpoint="http://nowhere.invalid") as storage:
        with pytest.raises(ServiceUnavailable):
            await storage.head(AT)


async def test_a_read_that_is_not_answered_is_unavailable():
    result, asked, _ = await outcome(hang, call=lambda s: s.head(AT))
    assert isinstance(result, ServiceUnavailable)
    assert len(asked) == 1


async def test_a_write_that_is_not_answered_has_an_unknown_outcome():
    for data in (b"data", some(MIB)):
        result, asked, _ = await outcome(hang, call=lambda s, data=data: put(s, AT, data))
        assert isinstance(result, InternalError)
        assert len(asked) == 1


async def test_a_server_that_takes_no_more_of_a_body_is_unavailable():
    large = Body(forever(), 10**9)
    result, _, _ = await outcome(choke, call=lambda s: s.put(AT, large))
    assert isinstance(result, ServiceUnavailable)


async def forever():
    while True:
        yield bytes(MIB)


@pytest.mark.parametrize("play", [error(503, "SlowDown"), error(429, "TooManyRequests"), error(429, "")])
async def test_a_busy_server_asks_clients_to_slow_down_and_is_not_asked_again(play):
    for call in (lambda s: s.head(AT), lambda s: read(s, AT), lambda s: put(s, AT, b"data")):
        result, asked, _ = await outcome(play, call=call)
        assert isinstance(result, (SlowDown, ServiceUnavailable))
        if asked[0].startswith(("PUT", "GET")):
            assert isinstance(result, SlowDown)
            assert len(asked) == 1


@pytest.mark.parametrize(
    ("status", "code", "setting"),
    [
        (403, "InvalidAccessKeyId", "access_key"),
        (403, "SignatureDoesNotMatch", "secret_key"),
        (403, "AccessDenied", "rights of the access key"),
        (403, "RequestTimeTooSkewed", "clock"),
        (400, "ExpiredToken", "session_token"),
        (400, "AuthorizationHeaderMalformed", "region"),
        (401, "Unauthorized", "access_key or secret_key"),
        (403, "SomethingNew", "access_key or its rights"),
        (301, "PermanentRedirect", "region or endpoint"),
    ],
)
async def test_refused_credentials_are_our_affair_and_never_the_clients(status, code, setting):
    for call in (lambda s: read(s, AT), lambda s: put(s, AT, b"data"), lambda s: s.list_objects("bucket", ListQuery())):
        result, asked, logs = await outcome(error(status, code), call=call)
        assert (type(result), result.code) == (CredentialsRefused, "ServiceUnavailable")
        assert len(asked) == 1
        (line,) = [line for line in logs if line["event"] == "backend_credentials_refused"]
        assert (line["backend"], line["setting"]) == ("afar", setting)


async def test_a_head_that_is_forbidden_is_no_answer_about_the_key():
    result, _, logs = await outcome(answer(403), call=lambda s: s.head(AT))
    assert isinstance(result, ServiceUnavailable)
    assert not isinstance(result, AccessDenied)
    assert logs[-1]["event"] == "backend_credentials_refused"


@pytest.mark.parametrize("play", [error(500, "InternalError"), answer(502, "<html>Bad Gateway"), hang_up])
async def test_a_read_is_repeated_and_a_write_is_not(play):
    found = answer(200, b"data", TOLD)
    result, asked, _ = await outcome(play, found, call=lambda s: read(s, AT))
    assert result == b"data"
    assert len(asked) == 2
    for call in (lambda s: put(s, AT, b"data"), lambda s: put(s, AT, some(MIB)), lambda s: s.delete(AT)):
        result, asked, _ = await outcome(play, found, call=call)
        assert isinstance(result, (InternalError, ServiceUnavailable))
        assert len(asked) == 1


async def test_a_read_that_fails_again_and_again_is_unavailable():
    result, asked, _ = await outcome(error(500, "InternalError"), call=lambda s: read(s, AT))
    assert isinstance(result, ServiceUnavailable)
    assert len(asked) == 3


async def test_a_page_of_somebody_else_does_not_say_that_a_key_is_missing():
    result, _, _ = await outcome(answer(404, "<html>no such page</html>"), call=lambda s: read(s, AT))
    assert isinstance(result, InternalError)
    result, _, _ = await outcome(error(404, "NoSuchKey"), call=lambda s: read(s, AT))
    assert isinstance(result, NoSuchKey)


@pytest.mark.parametrize("size", [1000, SMALL + 1, MIB])
async def test_a_download_that_is_cut_off_never_looks_whole(size):
    play = answer(200, some(size), TOLD, cut=400)
    result, _, _ = await outcome(play, call=lambda s: read(s, AT))
    assert isinstance(result, ServiceUnavailable)


async def test_a_download_that_stalls_ends():
    async def stall(request, writer):
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {MIB}\r\nETag: {TOLD['ETag']}\r\n\r\n".encode() + bytes(1000))
        await asyncio.Event().wait()

    result, _, _ = await outcome(stall, call=lambda s: read(s, AT))
    assert isinstance(result, ServiceUnavailable)


@pytest.mark.parametrize(
    "play",
    [
        answer(206, b"data", {**TOLD, "Content-Range": "bytes 1-4/10"}),
        answer(206, b"data", {**TOLD, "Content-Range": "nonsense"}),
        answer(200, b"data" * 10, TOLD),
        answer(206, b"data", {"Content-Range": "bytes 0-3/10"}),
    ],
    ids=["other bytes", "nonsense", "everything", "no etag"],
)
async def test_other_bytes_than_were_asked_for_are_not_passed_on(play):
    result, _, _ = await outcome(play, call=lambda s: read(s, AT, ReadOptions(range=slice(0, 4))))
    assert isinstance(result, InternalError)


EMPTY = answer(200, b"", TOLD)


@pytest.mark.parametrize(
    "plays",
    [
        [EMPTY],
        [answer(206, b"", {**TOLD, "Content-Range": "bytes 0--1/0"})],
        [answer(416, "<Error><Code>InvalidRange</Code></Error>", {"Content-Range": "bytes */0"}), EMPTY],
        [error(416, "InvalidRange"), EMPTY, EMPTY],
    ],
    ids=["AWS", "MinIO", "refused", "refused without a size"],
)
async def test_the_last_bytes_of_an_empty_object_are_none_on_every_server(plays):
    result, asked, _ = await outcome(*plays, call=lambda s: read(s, AT, ReadOptions(range=slice(-7, None))))
    assert result == b""
    assert len(asked) == len(plays)


async def test_the_last_bytes_of_an_object_that_was_empty_a_moment_ago_are_not_all_of_it():
    play = answer(416, "<Error><Code>InvalidRange</Code></Error>", {"Content-Range": "bytes */0"})
    written = answer(200, b"data" * 10, TOLD)
    result, _, _ = await outcome(play, written, call=lambda s: read(s, AT, ReadOptions(range=slice(-7, None))))
    assert isinstance(result, InternalError)


@pytest.mark.parametrize("data", [b"sent", some(MIB)], ids=["small", "large"])
async def test_a_write_that_stored_other_bytes_fails_and_says_so(data):
    result, asked, logs = await outcome(answer(200, b"", TOLD), call=lambda s: put(s, AT, data))
    assert isinstance(result, InternalError)
    assert logs[-1]["event"] == "backend_stored_other_bytes"
    assert [head.split(" ")[0] for head in asked] == ["PUT"]


async def test_an_etag_of_what_is_encrypted_is_no_md5():
    play = answer(200, b"", {**TOLD, "x-amz-server-side-encryption": "aws:kms"})
    result, _, _ = await outcome(play, call=lambda s: put(s, AT, b"sent"))
    assert result.etag == etag(b"data")


async def test_a_refusal_that_comes_early_ends_the_upload():
    async def refuse(request, writer):
        await request.reader.readexactly(1000)
        writer.write(b"HTTP/1.1 501 No\r\nContent-Length: 42\r\n\r\n<Error><Code>NotImplemented</Code></Error>")
        await writer.drain()

    large = Body(forever(), 10**12 // 300)
    result, _, _ = await outcome(refuse, call=lambda s: s.put(AT, large))
    assert isinstance(result, (NotImplementedByGateway, ServiceUnavailable))
    assert large.received < 10**9


async def test_an_answer_before_the_end_of_the_body_is_no_success():
    async def hasty(request, writer):
        await request.reader.readexactly(1000)
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: "x"\r\n\r\n')
        await writer.drain()

    result, _, _ = await outcome(hasty, call=lambda s: s.put(AT, Body(forever(), 10**9)))
    assert isinstance(result, InternalError | ServiceUnavailable)


async def test_a_sender_that_breaks_off_is_told_apart_from_the_server():
    result, _, _ = await outcome(hang, call=lambda s: s.put(AT, Body(breaking(some(MIB)), 2 * MIB)))
    assert isinstance(result, BrokenOffError)


async def test_a_kept_connection_is_closed_when_idle_for_long_and_not_while_a_client_takes_its_time(monkeypatch):
    monkeypatch.setattr("gateway.backends.s3.pool.IDLE", 0.2)
    slow = Slow(some(3 * PIECE), b"rest")
    stored = answer(200, b"", {"ETag": f'"{etag(some(3 * PIECE) + b"rest")}"'})
    async with scripted(answer(200, b"data", TOLD), stored) as server, opened(server.port) as storage:
        await read(storage, AT)
        running = asyncio.create_task(storage.put(AT, slow.body))
        await slow.reached.wait()
        await asyncio.sleep(0.5)
        slow.go_on.set()
        assert (await running).size == 3 * PIECE + 4
        assert server.connections == 1
        await asyncio.wait_for(server.deserted.wait(), 20)


async def test_a_copy_that_fails_after_its_200_has_failed():
    head = answer(200, b"", TOLD)
    late = answer(200, '<?xml version="1.0"?>\n<Error><Code>SlowDown</Code></Error>')
    options = WriteOptions()
    result, _, _ = await outcome(head, late, call=lambda s: s.copy(AT, Address("bucket", "to"), options, etag(b"data")))
    assert isinstance(result, SlowDown)


async def test_every_other_code_of_s3_is_passed_on_as_what_it_is():
    for code in (
        "NoSuchBucket",
        "NoSuchUpload",
        "InvalidPart",
        "EntityTooSmall",
        "PreconditionFailed",
        "InvalidRequest",
    ):
        result, _, _ = await outcome(
            error(ERRORS[code].status, code), call=lambda s: s.list_objects("b-b", ListQuery())
        )
        assert type(result) is ERRORS[code]


async def test_settings_do_not_show_their_secrets():
    async with opened(1) as storage:
        assert SECRET not in repr(vars(storage))
