"""One request and its answer, as the edge sees them: what is known before there is a Call, and after."""

import base64
import os
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.streams import StreamReader

from gateway.errors import RequestTimeout, S3Error
from gateway.message import Call

if TYPE_CHECKING:
    from gateway.server.connection import Connection

HOST_ID: Final = base64.b64encode(os.urandom(33)).decode()
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


def new_id() -> str:
    """Return an id as S3's are: 16 hexadecimal digits, upper case. It is no secret; workers are seeded apart."""
    return f"{random.getrandbits(64):016X}"


class Meter(Protocol):
    """What holds the bytes of a request to a rate."""

    @property
    def at_once(self) -> int:
        """How many are best sent at once."""

    async def passed(self, size: int) -> None:
        """Note that so many have passed, and return when more may."""


@dataclass(slots=True, eq=False)
class Exchange:
    """A request, or what was wrong with it, and what became of it."""

    connection: "Connection"
    request: RawRequestMessage | S3Error
    payload: StreamReader
    request_id: str = field(default_factory=new_id)
    call: Call | None = None
    cors: Mapping[str, str] | None = None  # headers of the answer, whatever that is, for pages of other origins
    status: int = 0  # of what became of it, also where the head said 200 before; 0: nothing was answered yet
    sent: int = 0  # bytes of the answer's body
    error: str = ""
    closing: bool = False  # the connection ends after the answer
    continued: bool = False  # the client was told to send its body
    meter: Meter | None = None

    @property
    def skippable(self) -> int:
        """How many bytes of an unwanted body are read to keep the connection."""
        return self.connection.limits.unread

    @property
    def method(self) -> str:
        """The method, "" where no request could be understood."""
        return "" if isinstance(self.request, S3Error) else self.request.method

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers as they came, none where no request could be understood."""
        return {} if isinstance(self.request, S3Error) else self.request.headers

    @property
    def path(self) -> str:
        """The path as it was sent."""
        return "" if isinstance(self.request, S3Error) else self.request.path.partition("?")[0]

    @property
    def operation(self) -> str:
        """S3's name of what was asked for, "Malformed" where that could not be understood."""
        return self.call.operation or "Malformed" if self.call else "Malformed"

    @property
    def access_key(self) -> str:
        """The id of the key that signed, "" where no signature was accepted."""
        return self.call.caller.access_key if self.call and self.call.caller else ""

    @property
    def remote(self) -> str:
        """The address of who asked, as far as it is known."""
        return self.call.remote if self.call else self.connection.remote

    @property
    def old(self) -> bool:
        """True for a client of HTTP/1.0, which has to be told that its connection is kept."""
        return isinstance(self.request, S3Error) or self.request.version < HttpVersion11

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes in, asking for it first where the client waits to be asked.

        Raises: IncompleteBody, RequestTimeout, BadRequest.
        """
        if self._waits():
            self.connection.send(CONTINUE)
            self.continued = True
        limits, clock, waited, before = self.connection.limits, self.connection.clock, 0.0, 0
        while not self.payload.at_eof():
            began = clock()
            chunk = await self.connection.receive(self.payload)
            if not chunk:
                return
            waited += clock() - began
            if waited > limits.stall_timeout:
                if self.payload.total_bytes - before < limits.body_rate * waited:
                    raise RequestTimeout
                waited, before = 0.0, self.payload.total_bytes  # what came fast is no excuse for what follows
            yield chunk
            if self.meter:
                await self.meter.passed(len(chunk))
            del chunk  # else it is held while the next one is waited for

    def fail(self, code: str) -> None:
        """Break the connection: there is no way left to tell the client."""
        self.error = code
        self.closing = True
        self.connection.abort()

    def decide_closing(self) -> bool:
        """Decide, and remember, whether the answer about to be written is the last of its connection."""
        connection, request = self.connection, self.request
        if isinstance(request, S3Error) or request.should_close or connection.is_over:
            self.closing = True
        elif not self.closing:
            self.closing = self._waits() or (not self.payload.is_eof() and self._missing(request) > self.skippable)
        return self.closing

    def _waits(self) -> bool:
        """Say whether the client waits for 100 Continue: HTTP/1.1 only, and not if it began to send.

        It waits with an empty body too: botocore before 1.36 takes the next answer for the 100 that did not come.
        """
        if isinstance(self.request, S3Error) or self.continued or self.payload.total_bytes:
            return False
        expects = self.request.headers.get("Expect", "").lower()
        return expects == "100-continue" and self.request.version >= HttpVersion11

    def _missing(self, request: RawRequestMessage) -> float:
        """Return how many bytes of the body have not come in; infinity where the client did not say."""
        declared = request.headers.get("Content-Length")
        return float("inf") if declared is None else int(declared) - self.payload.total_bytes
