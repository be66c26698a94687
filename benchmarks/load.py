"""The load client: raw sockets that send signed requests one after another and look at no more than the head.

It has to cost less than the server it measures, hence callbacks instead of coroutines and one buffer per connection.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from benchmarks.signing import Request

BUFFER = 256 * 1024
TOLERATED = 10  # errors of a server in one run, before it is given up
LAST_CHUNK = b"\r\n0\r\n\r\n"


class UnexpectedAnswerError(Exception):
    """A server answered something else than success: its numbers would be worth nothing."""


@dataclass(slots=True)
class Outcome:
    """What a run of requests was like for the client."""

    requests: int
    received: int = 0
    sent: int = 0
    seconds: float = 0.0
    errors: int = 0  # answers of 5xx, after which the request was repeated
    latencies: list[float] = field(default_factory=list)


async def run(port: int, requests: Sequence[Request], connections: int = 8) -> Outcome:
    """Send every request once over that many keep-alive connections. Raises UnexpectedAnswerError."""
    loop = asyncio.get_running_loop()
    outcome, queue = Outcome(len(requests)), iter(requests)
    opened = [
        (await loop.create_connection(lambda: _Connection(queue, outcome), "127.0.0.1", port))[1]
        for _ in range(min(connections, len(requests)))
    ]
    began = time.perf_counter()
    for connection in opened:
        connection.send_next()
    try:
        await asyncio.gather(*(connection.done for connection in opened))
    finally:
        for connection in opened:
            connection.close()
    outcome.seconds = time.perf_counter() - began
    return outcome


class _Connection(asyncio.BufferedProtocol):
    """One keep-alive connection; `done` is set when there is nothing left to send."""

    def __init__(self, queue: Iterator[Request], outcome: Outcome) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue, self._outcome = queue, outcome
        self._buffer = memoryview(bytearray(BUFFER))
        self._head = b""
        self._left = -1  # bytes of the answer still to come; -1: the head is not complete
        self._chunked = self._failed = False
        self._blocks = 0
        self._paused = False
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send_next(self) -> None:
        request = next(self._queue, None)
        if request is None:
            if not self.done.done():
                self.done.set_result(None)
            return
        self._send(request)

    def _send(self, request: Request) -> None:
        self._request, self._head, self._left, self._chunked, self._failed = request, b"", -1, False, False
        self._blocks = request.times if request.block else 0
        self._began = time.perf_counter()
        self._transport.write(request.head)
        self._send_blocks()

    def _send_blocks(self) -> None:
        while self._blocks and not self._paused:
            self._blocks -= 1
            self._outcome.sent += len(self._request.block)
            self._transport.write(self._request.block)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._send_blocks()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # the protocol's signature
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._left < 0:
            self._read_head(bytes(self._buffer[:nbytes]))
        elif self._chunked:
            self._read_chunks(bytes(self._buffer[:nbytes]))
        else:
            self._outcome.received += nbytes
            self._left -= nbytes
        if self._left == 0:
            self._outcome.latencies.append(time.perf_counter() - self._began)
            if self._failed:
                self._send(self._request)
            else:
                self.send_next()

    def _read_head(self, data: bytes) -> None:
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return
        head, rest = self._head[:end].lower(), self._head[end + 4 :]
        self._failed = head[9:10] == b"5"
        self._outcome.errors += self._failed
        if head[9:10] != b"2" and (not self._failed or self._outcome.errors > TOLERATED):
            self._fail(self._head[:2000].decode(errors="replace"))
            return
        self._chunked = b"\r\ntransfer-encoding: chunked" in head
        if not self._request.answer_has_body or head[9:12] == b"204":
            self._left = 0
        elif self._chunked:
            self._left, self._head = 1, b"\r\n"
            self._read_chunks(rest)
        else:
            self._left = _content_length(head) - len(rest)
            self._outcome.received += len(rest)

    def _read_chunks(self, data: bytes) -> None:
        """Wait for the empty chunk; what is sent here is XML, which never looks like one."""
        self._outcome.received += len(data)
        self._head = (self._head + data)[-len(LAST_CHUNK) :]
        if self._head == LAST_CHUNK:
            self._left = 0

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"connection lost: {exc}")

    def close(self) -> None:
        self._transport.close()

    def _fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(UnexpectedAnswerError(f"{self._request.head.splitlines()[0]!r}: {why}"))


def _content_length(head: bytes) -> int:
    _, found, after = head.partition(b"\r\ncontent-length:")
    return int(after.split(b"\r\n", 1)[0]) if found else 0
