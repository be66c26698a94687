"""Requests to Google Cloud Storage: with a token, within their time, failures told in S3's words.

https://cloud.google.com/storage/docs/json_api/v1
"""

import asyncio
import json
import random
from collections.abc import AsyncIterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
)
from yarl import URL

from gateway.backends.gcs.credentials import Credentials
from gateway.backends.gcs.failures import Refusal, translate
from gateway.backends.gcs.names import object_path
from gateway.errors import CredentialsRefused, InternalError, ServiceUnavailable, SlowDown
from gateway.storage import Address
from gateway.tracing import TRACING

API: Final = "/storage/v1"
UPLOAD: Final = "/upload/storage/v1"
REFUSED: Final = 400
UNAUTHORIZED: Final = 401
SLOW: Final = 600.0  # seconds for copies and compositions
AT_ONCE: Final = 32
PAUSES: Final = (0.1, 0.4)  # seconds, about: before what can be repeated is repeated
THROTTLED: Final = 5  # times as long if it was too often: a name, and its metadata, are written about once a second
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class Patience(NamedTuple):
    """How many seconds each phase of a request may take; none bounds the whole of it."""

    connect: float
    answer: float  # from the last byte sent to the first received, and from one received to the next
    stall: float  # until the storage takes the next piece of a body

    def timeout(self, *, slow: bool = False) -> ClientTimeout:
        """Return the same as aiohttp takes it. It watches no sending, see `sending`."""
        return ClientTimeout(total=None, sock_connect=self.connect, sock_read=SLOW if slow else self.answer)


class Request(NamedTuple):
    """What is asked, about what is `at`.

    `again`: doing it twice is as doing it once. `slow`: the storage has much to do before it answers.
    """

    method: str
    url: str  # what follows the endpoint, or all of it
    at: Address
    query: Mapping[str, str] = _NOTHING
    content: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = _NOTHING
    again: bool = False
    slow: bool = False

    @property
    def repeatable(self) -> bool:
        """Whether it may be repeated where nobody knows if it was carried out."""
        return self.again or self.method == "GET"


class Client:
    """A connection pool to one endpoint; without credentials it shows none, as emulators want it."""

    def __init__(
        self, name: str, session: ClientSession, endpoint: str, credentials: Credentials | None, patience: Patience
    ) -> None:
        self.name, self.patience = name, patience
        self.turns = asyncio.Semaphore(AT_ONCE)  # for calls that make many requests at once
        self.knows_batches = True  # until it is told otherwise, as some emulators do
        self._session, self._endpoint, self._credentials = session, endpoint, credentials

    async def ask(self, request: Request) -> dict[str, Any]:
        """Return the document that answers; what is repeatable is repeated a few times."""
        for pause in PAUSES:
            try:
                return await self._ask(request)
            except CredentialsRefused:
                raise
            except ServiceUnavailable as error:
                if not request.repeatable:
                    raise
                seconds = pause * THROTTLED if isinstance(error, SlowDown) else pause
            await asyncio.sleep(seconds * random.uniform(0.5, 1.5))  # noqa: S311 - no secret, only spread
        return await self._ask(request)

    async def read(self, at: Address, generation: str = "") -> bytes:
        """Return a small object of our own, at once, of that generation if one is given. Raises: NoSuchKey."""
        query = {"alt": "media"} | ({"generation": generation} if generation else {})
        request = Request("GET", API + object_path(at), at, query)
        async with await self.respond(request) as response:
            with self.translated(request):
                return await response.read()

    async def respond(self, request: Request, data: bytes | AsyncIterable[bytes] | None = None) -> ClientResponse:
        """Return the open answer, which the caller closes. `data` is sent as it is."""
        if request.content is not None:
            data = json.dumps(request.content, ensure_ascii=False).encode()
        bearer = await self._credentials.bearer() if self._credentials else ""
        response = await self._send(request, data, bearer)
        if response.status == UNAUTHORIZED and self._credentials and not isinstance(data, AsyncIterable):
            self._credentials.forget(bearer)
            response.close()
            response = await self._send(request, data, await self._credentials.bearer())
        if response.status < REFUSED:
            return response
        async with response:
            with self.translated(request):
                content = await response.read()
        raise translate(Refusal(response.status, content, request.at, self.name, request.repeatable))

    async def document(self, request: Request, response: ClientResponse) -> dict[str, Any]:
        """Return what an answer says."""
        with self.translated(request):
            content = await response.read()
        try:
            found = json.loads(content) if content else {}
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ServiceUnavailable if request.repeatable else InternalError
        return found

    @contextmanager
    def translated(self, request: Request) -> Iterator[None]:
        """Say in S3's words that no answer came."""
        try:
            yield
        except (ClientConnectorError, ConnectionTimeoutError) as error:
            raise ServiceUnavailable from error
        except (ClientError, OSError, TimeoutError) as error:
            raise (ServiceUnavailable if request.repeatable else InternalError) from error

    async def project(self) -> str:
        """Return the project that the credentials belong to, "" if there is none."""
        return await self._credentials.project() if self._credentials else ""

    async def _ask(self, request: Request) -> dict[str, Any]:
        async with await self.respond(request) as response:
            return await self.document(request, response)

    async def _send(self, request: Request, data: bytes | AsyncIterable[bytes] | None, bearer: str) -> ClientResponse:
        url = request.url if "://" in request.url else self._endpoint + request.url
        query = f"?{urlencode(request.query)}" if request.query else ""
        headers = {"Accept-Encoding": "identity"}
        if request.content is not None:
            headers["Content-Type"] = "application/json; charset=UTF-8"
        if bearer:
            headers["Authorization"] = bearer
        with self.translated(request):
            return await self._session.request(
                request.method,
                URL(url + query, encoded=True),
                data=data,
                headers={**headers, **request.headers, **TRACING.carried()},
                timeout=self.patience.timeout(slow=request.slow),
                allow_redirects=False,  # 308 is no redirect here, and nothing else is to be followed with a token
            )
