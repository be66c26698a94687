"""One connection to a server: HTTP/1.1, a request and its answer, one after another.

It does what aiohttp's client does for less than a third of the time: what never changes is not decided anew for each
request, and the bytes of a body are passed on as they come from the socket. Bodies in chunks are decoded by aiohttp's
own parser.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType, TracebackType
from typing import Final, Protocol, Self

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpProcessingError, HttpResponseParser
from aiohttp.streams import StreamReader

from gateway.backends.s3.head import Head, parse
from gateway.storage import SMALL

AHEAD: Final = SMALL  # bytes of a body that are taken from the socket before anybody asks for them
HEAD_LIMIT: Final = 64 * 1024
_UNPAUSED: Final = 2**30  # a limit that a decoder never reaches, for what it has is taken at once
_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_NEVER: Final = float("inf")
_ENDLESS: Final = 2**65  # the length of a body that ends with its connection: no header can name it
_BODILESS: Final = frozenset({204, 304})
_INTERIM: Final = range(100, 200)
_BLANK: Final = b"\r\n\r\n"
_CHUNKED: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class CutOffError(Exception):
    """The connection ended, or what came over it cannot be understood."""


class Source(Protocol):
    """The body of a request. `ended` tells that its last piece was given out."""

    ended: bool

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class Answer:
    """What a server answers. Iterating yields the body as it comes in; leaving the context gives up what is left."""

    def __init__(self, wire: "Wire", method: str) -> None:
        self.method = method
        self.status = 0  # 0: it has not begun
        self.headers: Mapping[str, str] = _NONE
        self._wire: Wire | None = wire  # as long as something is to come
        self._pieces: deque[bytes] = deque()
        self._untaken = 0  # bytes
        self._error: BaseException | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Return what has come since. Raises CutOffError, TimeoutError, OSError where less comes than was promised."""
        while not self._pieces:
            if not await self.more():
                raise StopAsyncIteration
        piece = self._pieces.popleft()
        self._untaken -= len(piece)
        if self._wire and self._untaken < AHEAD:
            self._wire.read_on()
        return piece

    async def more(self) -> bool:
        """Wait until something came in. Return whether more may come. Raises as iterating does."""
        if self._wire:
            await self._wire.more()
            return True
        if self._error:
            raise self._error
        return False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give up what is still to come, and the connection with it."""
        if self._wire:
            self._wire.fail(CutOffError("given up"))

    # --- what its connection tells it ---

    def begin(self, head: Head) -> None:
        """Know the head."""
        self.status, self.headers = head.status, head.headers

    def feed(self, data: bytes) -> bool:
        """Take bytes of the body in. Return whether that is enough for now."""
        self._pieces.append(data)
        self._untaken += len(data)
        return self._untaken >= AHEAD

    def end(self, error: BaseException | None) -> None:
        """Know that nothing more comes: it was all, or an error came."""
        self._wire, self._error = None, error


class Wire(BaseProtocol):
    """A connection. `released` is called with it when a request is done with, `lost` when it is open no more."""

    def __init__(self, released: Callable[["Wire"], None], lost: Callable[["Wire"], None], stall: float) -> None:
        super().__init__(asyncio.get_running_loop())
        self._released, self._lost, self._stall = released, lost, stall
        self._answer: Answer | None = None  # that is awaited, or coming in
        self._patience = 0.0  # seconds for the answer to begin, and between its pieces
        self._head = b""  # as much of it as came
        self._left = 0  # bytes of the body that are still to come
        self._chunked: tuple[HttpResponseParser, StreamReader] | None = None  # decodes a body of unknown length
        self._sender: asyncio.Task[None] | None = None
        self._reusable = True
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = self._rings_at = _NEVER
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent."""
        return self.transport is not None and not self.transport.is_closing()

    async def ask(self, method: str, head: bytes, body: bytes | Source, patience: float) -> Answer:
        """Send a request and return its answer. Where it comes before all was sent, the rest is not sent.

        Raises: CutOffError, TimeoutError, OSError, and what the body raises; the connection is broken then.
        """
        answer = self._answer = Answer(self, method)
        self._patience, self._reusable, self._deadline = patience, True, _NEVER
        try:
            if isinstance(body, bytes):
                self._write(head + body)
            else:
                self._write(head)
                await self._send_until_answered(answer, body, chunked=b"\r\ncontent-length:" not in head)
            while not answer.status:
                await answer.more()
        except BaseException:
            answer.close()
            raise
        return answer

    async def more(self) -> None:
        """Wait until something came in, for as long as it may take."""
        self._deadline = self._loop.time() + self._patience
        self._ring_by(self._deadline)
        await self._wait()

    def read_on(self) -> None:
        """Take bytes from the socket again."""
        if self._reading_paused and self.transport is not None and self.is_open:  # else uvloop raises an error
            self._reading_paused = False
            self.transport.resume_reading()

    def rest(self, seconds: float) -> None:
        """Stay open for so long without a request."""
        self._deadline = self._loop.time() + seconds
        self._ring_by(self._deadline)

    def fail(self, error: BaseException) -> None:
        """Break the connection."""
        self._reusable = False
        self._end(error)
        if self.transport is not None:
            self.transport.abort()

    # --- sending ---

    def _write(self, data: bytes) -> None:
        if self.transport is None or self.transport.is_closing():
            raise CutOffError("closed")
        self.transport.write(data)

    async def _send_until_answered(self, answer: Answer, body: Source, *, chunked: bool) -> None:
        sender = self._sender = self._loop.create_task(self._send(body, chunked=chunked))
        sender.add_done_callback(self._sent)
        try:
            while not sender.done() and not answer.status and self._answer is answer:
                await self._wait()
        except BaseException:
            answer.close()  # nobody waits for what is still to be sent
            raise
        finally:
            if not sender.done() and not body.ended:
                self._reusable = False
                sender.cancel()
            await asyncio.wait([sender])  # the body belongs to whoever gave it again
        if not answer.status and self._answer is answer:
            sender.result()

    async def _send(self, body: Source, *, chunked: bool) -> None:
        async for piece in body:
            self._write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if self._paused:
                async with asyncio.timeout(self._stall):
                    await self._drain_helper()
            del piece  # else it is held while the next one is waited for
        if chunked:
            self._write(b"0\r\n\r\n")

    def _sent(self, sender: asyncio.Task[None]) -> None:
        self._sender = None
        self._reusable = self._reusable and not sender.cancelled() and sender.exception() is None
        self._wake()
        self._settle()

    # --- waiting ---

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        await self._waiter  # when it is over, the connection may be somebody else's already

    def _wake(self) -> None:
        waiter, self._waiter, self._deadline = self._waiter, None, _NEVER
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _ring_by(self, moment: float) -> None:
        """Have the timer ring then, or before: it is not set anew for a deadline that will hardly ever come."""
        if self._timer is None or moment < self._rings_at:
            if self._timer:
                self._timer.cancel()
            self._rings_at, self._timer = moment, self._loop.call_at(moment, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._deadline <= self._loop.time():
            self.fail(TimeoutError())
        elif self._deadline < _NEVER:
            self._ring_by(self._deadline)

    # --- what the event loop calls ---

    def data_received(self, data: bytes) -> None:
        if self._left:
            self._pass(data)
        elif self._chunked:
            self._decode(data, *self._chunked)
        elif self._answer:
            self._read_head(data, self._answer)
        else:
            self.fail(CutOffError("an answer to nothing"))

    def eof_received(self) -> bool:
        return False

    def pause_reading(self) -> None:
        """Go on: a decoder asks for it, from which all is taken at once."""

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002  the signature of aiohttp
        """Go on, as before."""

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._reusable = False
        whole = exc is None and self._left > _ENDLESS // 2  # documents are, as what is cut off is no XML
        self._end(None if whole else exc or CutOffError("ended early"))
        if self._timer:
            self._timer.cancel()
        self._lost(self)

    # --- the answer ---

    def _read_head(self, data: bytes, answer: Answer) -> None:
        data, start = self._head + data, 0
        while (end := data.find(_BLANK, start)) >= 0:
            stop = end + len(_BLANK)
            try:
                head = parse(data[start:stop])
            except ValueError as error:
                self.fail(CutOffError(str(error)))
                return
            if head.status not in _INTERIM:
                self._head = b""
                self._begin(answer, head)
                if stop < len(data):
                    self.data_received(data[stop:])
                return
            start = stop
        self._head = data[start:]
        if len(self._head) > HEAD_LIMIT:
            self.fail(CutOffError("an endless head"))

    def _begin(self, answer: Answer, head: Head) -> None:
        answer.begin(head)
        self._reusable = self._reusable and not head.last
        if answer.method != "HEAD" and head.status not in _BODILESS:
            self._chunked = self._decoder() if head.chunked else None
            self._left = 0 if head.chunked else _ENDLESS if head.length is None else head.length
        self._wake()
        if not self._left and not self._chunked:
            self._end(None)

    def _decoder(self) -> tuple[HttpResponseParser, StreamReader]:
        """Return what decodes a body in chunks, and knows nothing else of its answer that it could object to."""
        parser = HttpResponseParser(
            self,
            self._loop,
            _UNPAUSED,
            max_line_size=HEAD_LIMIT,
            max_field_size=HEAD_LIMIT,
            max_headers=HEAD_LIMIT,
            payload_exception=CutOffError,
            auto_decompress=False,
        )
        [(_, payload)], _, _ = parser.feed_data(_CHUNKED)
        return parser, payload

    def _pass(self, data: bytes) -> None:
        """Pass bytes of a body on."""
        if len(data) > self._left:
            self._reusable = False
            data = data[: self._left]
        self._left -= len(data)
        self._feed(data)
        if not self._left:
            self._end(None)

    def _decode(self, data: bytes, parser: HttpResponseParser, payload: StreamReader) -> None:
        """Pass on what the chunks of a body hold."""
        try:
            messages, _, _ = parser.feed_data(data)
            decoded = payload.read_nowait(-1)
        except HttpProcessingError as error:
            self.fail(CutOffError(error.message))
            return
        except CutOffError as error:
            self.fail(error)
            return
        if decoded:
            self._feed(decoded)
        if payload.is_eof():
            self._reusable = self._reusable and not messages and data.endswith(_BLANK)
            self._end(None)

    def _feed(self, data: bytes) -> None:
        if self._answer and self._answer.feed(data) and not self._reading_paused and self.transport is not None:
            self._reading_paused = True
            self.transport.pause_reading()
        self._wake()

    def _end(self, error: BaseException | None) -> None:
        """Be done with an answer."""
        answer, self._answer = self._answer, None
        self._head, self._left, self._chunked = b"", 0, None
        if answer:
            answer.end(error)
            self._wake()
            self._settle()

    def _settle(self) -> None:
        """Be there for the next request, once the answer to this one came and nothing more is sent."""
        if self._answer or self._sender or self.transport is None:
            return
        if self._reusable:
            self.read_on()
            self._released(self)
        else:
            self.transport.abort()
