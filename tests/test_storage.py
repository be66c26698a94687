import asyncio
from hashlib import md5
from threading import current_thread, main_thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.checksums import MD5
from gateway.errors import BadDigest, EntityTooLarge, IncompleteBody, ServiceUnavailable
from gateway.storage import PIECE, SMALL, Body


class Sender:
    """Counts how much was taken from it, and how often it was asked."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks, self.sent, self.asked = list(chunks), 0, 0

    def __aiter__(self):
        return self

    async def __anext__(self) -> bytes:
        self.asked += 1
        if not self.chunks:
            raise StopAsyncIteration
        chunk = self.chunks.pop(0)
        self.sent += len(chunk)
        return chunk


async def pieces(body):
    return [piece async for piece in body]


def refuse():
    raise BadDigest


@given(sizes=st.lists(st.integers(0, 2 * PIECE), max_size=8), known=st.booleans())
async def test_a_body_is_what_was_sent(sizes, known):
    chunks = [bytes([number % 256]) * size for number, size in enumerate(sizes)]
    body = Body(Sender(*chunks), sum(sizes) if known else None)
    assert b"".join(await pieces(body)) == b"".join(chunks)
    assert body.received == sum(sizes)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([0, 0], []),
        ([1], [1]),
        ([10] * 10, [100]),
        ([PIECE], [PIECE]),
        ([PIECE, PIECE], [PIECE, PIECE]),
        ([PIECE - 1, 2, 5], [PIECE + 1, 5]),
        ([PIECE + 1, 0, 1], [PIECE + 1, 1]),
        ([1024] * 700, [PIECE, PIECE, 700 * 1024 - 2 * PIECE]),
    ],
)
async def test_small_chunks_are_gathered_and_nothing_empty_is_passed_on(sizes, expected):
    assert [len(piece) for piece in await pieces(Body(Sender(*map(bytes, sizes)), sum(sizes)))] == expected


async def test_a_single_chunk_is_passed_on_without_a_copy():
    chunk = bytes(1000)
    (piece,) = await pieces(Body(Sender(chunk), 1000))
    assert piece is chunk


async def test_a_small_body_comes_at_the_first_asking():
    sender = Sender(b"small")
    body = Body(sender, 5)
    body.digest.want(MD5)
    running = aiter(body).__anext__()
    with pytest.raises(StopIteration) as done:  # it never waited
        running.send(None)
    assert done.value.value == b"small"
    assert sender.asked == 2


@pytest.mark.parametrize("size", [5, PIECE, 3 * PIECE, 3 * PIECE + 1])
@pytest.mark.parametrize("fault", ["check", "short", "long", "limit"])
async def test_the_last_piece_is_held_back_until_all_is_well(size, fault):
    body = Body(
        Sender(bytes(size)[: size // 2], bytes(size)[size // 2 :]),
        {"short": size + 1, "long": size - 1}.get(fault),
        limit=size - 1 if fault == "limit" else None,
    )
    if fault == "check":
        body.check(refuse)
    passed = []

    async def take():
        async for piece in body:
            passed.append(len(piece))  # noqa: PERF401  # what came before the failure counts

    with pytest.raises((BadDigest, IncompleteBody, EntityTooLarge)):
        await take()
    assert sum(passed) < (size + 1 if fault == "short" else size)


@pytest.mark.parametrize(("declared", "sent"), [(5, 4), (5, 0), (4, 5), (0, 1), (PIECE, PIECE - 1), (1, 2 * PIECE)])
async def test_a_body_of_another_length_than_declared_is_refused(declared, sent):
    with pytest.raises(IncompleteBody):
        await Body(Sender(bytes(sent)), declared).read()


async def test_a_body_may_be_as_large_as_its_limit_and_no_larger():
    assert len(await Body(Sender(bytes(10)), None, limit=10).read()) == 10
    with pytest.raises(EntityTooLarge) as caught:
        await Body(Sender(bytes(6), bytes(5), bytes(100)), None, limit=10).read()
    assert caught.value.fields == {"ProposedSize": "11", "MaxSizeAllowed": "10"}


async def test_nothing_is_taken_beyond_what_shows_the_excess():
    sender = Sender(*[bytes(100)] * 50)
    with pytest.raises(EntityTooLarge):
        await Body(sender, None, limit=150).read()
    assert sender.sent == 200


async def test_what_uvloop_reads_at_once_is_a_piece_and_passed_on_before_more_is_read():
    sender, taken = Sender(*[bytes(256_000)] * 10), 0
    async for piece in Body(sender, 2_560_000):
        taken += len(piece)
        assert sender.sent == taken


async def test_no_more_than_two_pieces_are_held():
    sender, taken = Sender(*[bytes(10_000)] * 300), 0
    async for piece in Body(sender, 3_000_000):
        taken += len(piece)
        assert sender.sent - taken <= PIECE + 10_000


async def test_a_piece_is_passed_on_before_the_rest_has_come():
    async def chunks():
        yield bytes(PIECE)
        yield bytes(PIECE)
        await asyncio.Event().wait()

    body = aiter(Body(chunks(), None))
    assert len(await asyncio.wait_for(anext(body), 5)) == PIECE


async def test_checks_come_in_order_after_the_last_byte_and_see_the_digest_and_the_trailers():
    seen = []

    async def chunks():
        yield b"some "
        yield b"bytes"
        body.trailers["x-amz-checksum-crc32"] = "value"

    body = Body(chunks(), None)
    body.digest.want(MD5)
    body.check(lambda: seen.append((body.received, body.digest[MD5].hex(), dict(body.trailers))))
    body.check(lambda: seen.append("second"))
    assert await body.read() == b"some bytes"
    assert seen == [(10, "9d0568469d206c1aedf1b71f12f474bc", {"x-amz-checksum-crc32": "value"}), "second"]


async def test_a_wrong_length_comes_before_a_failing_check():
    body = Body(Sender(b"1234"), 5)
    body.check(refuse)
    with pytest.raises(IncompleteBody):
        await body.read()


async def test_a_check_is_made_of_an_empty_body_as_well():
    body = Body(Sender(), 0)
    body.check(refuse)
    with pytest.raises(BadDigest):
        await body.read()


async def test_a_failing_sender_fails_the_body():
    async def chunks():
        yield bytes(PIECE)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await Body(chunks(), None).read()


async def test_started_tells_that_bytes_were_asked_for():
    body = Body(Sender(b"1"), 1)
    body.check(lambda: None)
    assert not body.started
    await body.read()
    assert body.started


@pytest.mark.parametrize("fails", [False, True])
async def test_a_body_cannot_be_read_twice(fails):
    body = Body(Sender(b"1234"), 5 if fails else 4)
    try:
        await body.read()
    except IncompleteBody:
        assert fails
    with pytest.raises(RuntimeError):
        await body.read()


async def test_after_a_failed_check_nothing_more_comes():
    body = Body(Sender(bytes(PIECE), b"end"), None)
    body.check(refuse)
    iterator = aiter(body)
    for _ in range(3):
        with pytest.raises(BadDigest):
            await anext(iterator)


@given(sizes=st.lists(st.integers(0, 2 * PIECE), max_size=8), known=st.booleans())
async def test_a_body_that_is_poured_is_written_and_hashed_as_it_was_sent(sizes, known):
    data = [bytes([number % 256]) * size for number, size in enumerate(sizes)]
    body, written = Body(Sender(*data), sum(sizes) if known else None), []
    body.digest.want(MD5)
    await body.pour(written.append, asyncio.to_thread)
    assert b"".join(written) == b"".join(data)
    assert body.received == sum(sizes)
    assert body.digest[MD5] == md5(b"".join(data)).digest()


@pytest.mark.parametrize(("declared", "sent"), [(5, 4), (5, 0), (4, 5), (0, 1), (PIECE, PIECE - 1), (1, 2 * PIECE)])
async def test_a_body_of_another_length_than_declared_cannot_be_poured(declared, sent):
    with pytest.raises(IncompleteBody):
        await Body(Sender(bytes(sent)), declared).pour(lambda _: None, asyncio.to_thread)


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1])
async def test_pouring_ends_with_the_checks(size):
    body = Body(Sender(bytes(size)), size)
    body.check(refuse)
    with pytest.raises(BadDigest):
        await body.pour(lambda _: None, asyncio.to_thread)
    with pytest.raises(RuntimeError):
        await body.read()


async def test_large_pieces_are_hashed_beside_the_event_loop_and_small_ones_in_it():
    threads = []

    class Watching:
        algorithms = (MD5,)

        def update(self, data):
            threads.append((len(data), current_thread() is main_thread()))

    body = Body(Sender(bytes(PIECE), bytes(SMALL)), None)
    body.digest = Watching()
    await pieces(body)
    assert threads == [(PIECE, False), (SMALL, True)]


async def test_what_decodes_a_body_gets_its_chunks_untouched():
    sender = Sender(b"a", b"b")
    body = Body(sender, 99)
    assert body.raw is sender
    assert not body.started


async def taken(body, way):
    if way == "iterated":
        return [piece async for piece in body]
    poured: list[bytes] = []

    async def run(function, piece):
        function(piece)

    await body.pour(poured.append, run)
    return poured


@pytest.mark.parametrize("size", [0, 1, PIECE, 2 * PIECE + 1])
async def test_a_gate_is_awaited_after_the_checks_and_before_the_last_piece(size):
    body, events = Body(Sender(bytes(size)), size), []

    async def gate():
        await asyncio.sleep(0)
        events.append("gate")

    body.gate(gate)
    body.check(lambda: events.append("check"))
    passed_on = 0
    async for piece in body:
        passed_on += len(piece)
        assert (events == ["check", "gate"]) == (passed_on == size)
    assert events == ["check", "gate"]


@pytest.mark.parametrize("way", ["iterated", "poured"])
async def test_a_gate_that_is_shut_fails_the_body(way):
    body = Body(Sender(bytes(2 * PIECE)), None)

    async def shut():
        raise ServiceUnavailable

    body.gate(shut)
    with pytest.raises(ServiceUnavailable):
        await taken(body, way)


@pytest.mark.parametrize("way", ["iterated", "poured"])
async def test_a_gate_is_not_asked_about_a_body_that_failed_a_check(way):
    body = Body(Sender(b"data"), None)

    async def gate():
        pytest.fail("asked")

    body.gate(gate)
    body.check(refuse)
    with pytest.raises(BadDigest):
        await taken(body, way)
