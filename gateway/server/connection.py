"""One client's connection: requests in, one after another, on aiohttp's HTTP parser.

It does what aiohttp's own request handler does, in S3's words and for a third of the time (15 instead of 45 µs a
request), because neither a request object, nor a response object, nor a task is made for each request.
"""

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpProcessingError, HttpRequestParser, RawRequestMessage
from aiohttp.http_exceptions import InvalidURLError, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from gateway import metrics
from gateway.errors import (
    BadRequest,
    IncompleteBody,
    InvalidURI,
    RequestHeaderSectionTooLarge,
    RequestTimeout,
    S3Error,
    SlowDown,
)
from gateway.operations import xml
from gateway.server.exchange import HOST_ID, Exchange, new_id

if TYPE_CHECKING:
    from gateway.server.listener import Listener

READ_AHEAD: Final = 64 * 1024  # of a body nobody takes yet; with 20 uploads, 256 KiB cost 20 MB more and gained nothing
PIPELINED: Final = 8  # requests that are parsed ahead of the one being answered
NEVER: Final = float("inf")


class ClientGoneError(Exception):
    """The client is not there any more: there is nobody to answer."""


class MalformedBody(BadRequest):
    """What aiohttp found wrong with the framing of a body; its words are not for clients."""

    code = "BadRequest"

    def __init__(self, _detail: str = "") -> None:
        super().__init__("The framing of the request body is malformed.")


class Connection(BaseProtocol):
    """What is known of one connection. Its listener looks at `deadline` and calls `expire` when it has passed."""

    __slots__ = (
        "_broken",
        "_discarded",
        "_done",
        "_expired",
        "_listener",
        "_payload",
        "_queue",
        "_task",
        "_waiter",
        "_writable",
        "deadline",
        "finished",
        "half_closed",
        "limits",
        "remote",
        "retiring",
        "secure",
    )

    def __init__(self, listener: "Listener") -> None:
        limits = listener.limits
        parser = HttpRequestParser(
            self,
            listener.loop,
            READ_AHEAD,
            max_line_size=limits.request_line,
            max_field_size=limits.headers,
            max_headers=limits.header_count,
            payload_exception=MalformedBody,
            auto_decompress=False,
            max_msg_queue_size=PIPELINED,
        )
        super().__init__(listener.loop, parser)
        self.deadline = NEVER
        self.finished = False  # no further request is taken from this connection
        self.half_closed = False  # the client will send nothing more
        self.retiring = False  # the next answer is the last
        self.remote = ""
        self.secure = False
        self.limits = limits
        self._listener = listener
        self._queue: deque[tuple[RawRequestMessage | S3Error, StreamReader]] = deque()
        self._payload: StreamReader = EMPTY_PAYLOAD  # of the request parsed last: only its body can be incomplete
        self._broken = False  # what comes in cannot be understood any more
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._done: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._expired: Callable[[], None] = self.abort
        self._discarded = -1  # how much was thrown away while lingering; before that, nothing is

    # --- what the event loop calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self.remote = peer[0] if isinstance(peer, tuple) else ""
        self.secure = transport.get_extra_info("sslcontext") is not None
        if not self._listener.admit(self) and self.transport is not None:
            self._turn_away(self.transport)
            return
        self._task = self._loop.create_task(self._serve())
        self._watch(self.limits.idle_timeout, self.abort)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self.deadline = NEVER
        self.finished = self.half_closed = True
        self._listener.release(self)
        self._cut_body()
        for waiter in (self._waiter, self._writable, self._done):
            _release(waiter)

    def eof_received(self) -> bool:
        """Keep the way back open for the answer: the client has only finished sending."""
        self.half_closed = True
        self._cut_body()
        self._give_up()
        if self._waiter is not None and not self._queue:
            self.finish()
            return False
        return not self.secure

    def data_received(self, data: bytes) -> None:
        if self._discarded >= 0:
            self._discard(len(data))
            return
        if self._broken or self._parser is None or (self.finished and not self._body_is_missing()):
            return
        try:
            messages, upgraded, _ = self._parser.feed_data(data)
        except HttpProcessingError as error:
            self._refuse(_refusal(error))
            return
        if messages:
            self._queue.extend(messages)
            self._payload = messages[-1][1]
            _release(self._waiter)
        elif data and self._waiter is not None and self._expired != self._slow_headers:
            self._watch(self.limits.header_timeout, self._slow_headers)
        if upgraded or (messages and messages[-1][0].upgrade and data.find(b"\r\n\r\n") + 4 != len(data)):
            self.finished = (
                True  # S3 knows no upgrade, and what comes behind one is lost: it is the last to be answered
            )
        if len(self._queue) >= PIPELINED and not self._buffer_paused:
            self._pause_reading_for_buffer()

    # --- what its listener calls ---

    def expire(self) -> None:
        """Do what is to be done now that the deadline has passed."""
        self.deadline = NEVER
        self._expired()

    def finish(self) -> None:
        """Take no further request: an idle connection ends at once, a busy one after its answers."""
        self.finished = True
        _release(self._waiter)

    def retire(self) -> None:
        """Answer what is under way, or on its way here, and say with it that nothing more will be."""
        self.retiring = True

    def abort(self) -> None:
        """Break the connection."""
        if self.transport is not None:
            self.transport.abort()

    def cancel(self) -> None:
        """Break the connection and stop whatever is being done for it."""
        self.abort()
        if self._task is not None:
            self._task.cancel()

    @property
    def clock(self) -> Callable[[], float]:
        """The clock of the event loop."""
        return self._loop.time

    @property
    def is_busy(self) -> bool:
        """True while a request is being answered."""
        return self._waiter is None and self._discarded < 0

    # --- what the exchange of request and answer needs ---

    @property
    def is_over(self) -> bool:
        """True where no request follows the one that is being answered."""
        return self.finished or ((self.half_closed or self.retiring) and not self._queue)

    def send(self, data: bytes) -> None:
        """Have `data` sent; `drain` waits for it where much is sent."""
        if self.transport is None or self.transport.is_closing():
            raise ClientGoneError
        self.transport.write(data)

    async def drain(self) -> None:
        """Wait until more can be sent. Raises: ClientGoneError, also if the client takes nothing for too long."""
        if self._paused and self.transport is not None:
            self._watch(self.limits.stall_timeout, self.abort)
            with suppress(ConnectionError):
                await self._drain_helper()
            self.deadline = NEVER
        if self.transport is None:
            raise ClientGoneError

    async def flush(self) -> None:
        """Wait until everything sent so far has left the process. Raises: ClientGoneError."""
        transport = self.transport  # forgotten when the client goes, which it may do meanwhile
        if transport is None:
            raise ClientGoneError
        if transport.get_write_buffer_size():
            low, high = transport.get_write_buffer_limits()
            transport.set_write_buffer_limits(high=0)
            try:
                await self.drain()
            finally:
                transport.set_write_buffer_limits(high=high, low=low)

    def duplicate(self) -> socket.socket:
        """Return a socket of the same connection, to be closed by the caller. Raises: ClientGoneError."""
        if self.transport is None:
            raise ClientGoneError
        return socket.socket(fileno=os.dup(self.transport.get_extra_info("socket").fileno()))

    async def writable(self, sock: socket.socket) -> None:
        """Wait until the duplicate `sock` of the connection's socket takes bytes again. Raises: ClientGoneError."""
        self._writable = waiter = self._loop.create_future()
        self._loop.add_writer(sock.fileno(), _release, waiter)
        self._watch(self.limits.stall_timeout, self.abort)
        try:
            await waiter
        finally:
            self._loop.remove_writer(sock.fileno())
            self._writable = None
            self.deadline = NEVER
        if self.transport is None:
            raise ClientGoneError

    async def receive(self, payload: StreamReader) -> bytes:
        """Return the next bytes of a body, b"" at its end. Raises: IncompleteBody, RequestTimeout, BadRequest."""
        self._watch(self.limits.stall_timeout, self._slow_body)
        try:
            return await payload.readany()
        finally:
            self.deadline = NEVER

    # --- one request after another ---

    async def _serve(self) -> None:
        while (exchange := await self._next()) is not None:
            self.deadline = NEVER
            await self._listener.handle(exchange)
            if exchange.closing or (self._paused and not await self._is_taken()):
                break
            if not exchange.payload.is_eof() and not await self._skip(exchange.payload):
                break
            if not self._queue:
                self._watch(self.limits.idle_timeout, self.abort)
        self.finished = True
        with suppress(ClientGoneError):
            await self.flush()
            await self._linger()
        if self.transport is not None:
            self.transport.close()

    async def _next(self) -> Exchange | None:
        if not self._queue and not self.finished and not self.half_closed:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if not self._queue or self.transport is None:
            return None
        message, payload = self._queue.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused:
            self._parse_on()
        return Exchange(self, message, payload)

    def _parse_on(self) -> None:
        """Parse the requests that were held back while the queue was full."""
        self.data_received(b"")
        if len(self._queue) < PIPELINED:
            self._resume_reading_for_buffer()

    async def _is_taken(self) -> bool:
        """Wait for a client that lets its answers pile up; False if it does not take them."""
        try:
            await self.drain()
        except ClientGoneError:
            return False
        return True

    async def _skip(self, payload: StreamReader) -> bool:
        """Read what is left of a body, so that the next request can be found behind it; False if that failed."""
        skipped, end = 0, self._loop.time() + self.limits.stall_timeout
        try:
            while not payload.is_eof() and skipped <= self.limits.unread and self._loop.time() < end:
                self._watch(self.limits.linger, self._slow_body)
                skipped += len(await payload.readany())
        except S3Error:
            return False
        finally:
            self.deadline = NEVER
        return payload.is_eof()

    async def _linger(self) -> None:
        """Let the client read its answer before the connection is closed: what it still sends would reset it."""
        if self.transport is None or self.half_closed or not (self._broken or self._body_is_missing()):
            return
        self._discarded = 0
        self._done = self._loop.create_future()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._resume_transport_reading()
        self._watch(self.limits.linger, self._give_up)
        await self._done
        self.deadline = NEVER

    def _turn_away(self, transport: asyncio.Transport) -> None:
        """Tell a client that there are too many, and let him read it, if there are not too many of those either."""
        self.finished = True
        transport.write(_too_many())
        if not self._listener.see_off(self):
            transport.close()
            return
        self._discarded = 0
        if transport.can_write_eof():
            transport.write_eof()
        self._watch(self.limits.linger, self._give_up)

    # --- deadlines and ends ---

    def _watch(self, seconds: float, expired: Callable[[], None]) -> None:
        self.deadline = self._loop.time() + seconds
        self._expired = expired

    def _slow_headers(self) -> None:
        self._refuse(RequestTimeout())

    def _slow_body(self) -> None:
        self._payload.set_exception(RequestTimeout())

    def _give_up(self) -> None:
        _release(self._done)
        if self._task is None and self.transport is not None:
            self.transport.close()

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > self.limits.unread:
            self._give_up()

    def _refuse(self, error: S3Error) -> None:
        """Give the input up: nothing that follows can be understood."""
        self._broken = self.finished = True
        if self._body_is_missing():
            self._payload.set_exception(error)
        else:
            self._queue.append((error, EMPTY_PAYLOAD))
            _release(self._waiter)

    def _body_is_missing(self) -> bool:
        return not self._payload.is_eof()

    def _cut_body(self) -> None:
        if self._body_is_missing() and self._payload.exception() is None:
            self._payload.set_exception(IncompleteBody())


def _release(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


def _too_many() -> bytes:
    """Return the answer to a connection that is one too many, whatever it was to ask."""
    metrics.LIMITED.labels("connections").inc()
    request_id = new_id()
    body = xml.error(SlowDown(), "", request_id, HOST_ID)
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nServer: s3-gateway\r\n"
        f"Date: {formatdate(usegmt=True)}\r\nRetry-After: 1\r\nConnection: close\r\n"
        f"x-amz-request-id: {request_id}\r\nx-amz-id-2: {HOST_ID}\r\n"
        f"Content-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _refusal(error: HttpProcessingError) -> S3Error:
    """Tell in S3's words what is wrong with a request; its bytes are not repeated."""
    if isinstance(error, LineTooLong) or "Too many headers" in error.message:
        return RequestHeaderSectionTooLarge()
    return InvalidURI() if isinstance(error, InvalidURLError) else BadRequest()
