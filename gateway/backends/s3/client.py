"""A thin signed client: one request, one answer, or one of our errors."""

import asyncio
import random
import ssl
import time
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from aiohttp import ClientResponse, ClientSession, ClientTimeout, TCPConnector
from yarl import URL

from gateway import sigv4
from gateway.backends.s3.credentials import Frozen, Keychain
from gateway.backends.s3.documents import Document, parsed, text
from gateway.backends.s3.endpoint import Endpoint
from gateway.backends.s3.errors import FAILURES, Broken, Refusal, Unreached, refused, unanswered
from gateway.backends.s3.feed import TRAILER_PAYLOAD, Feed
from gateway.backends.s3.settings import Settings
from gateway.errors import InternalError, InvalidArgument, NoSuchBucket, NoSuchKey, NotModified, S3Error
from gateway.storage import PIECE, SMALL

ATTEMPTS: Final = 3
PAUSE: Final = 0.05  # seconds before the second attempt, twice that before the third
LONG: Final = 600.0  # seconds: completing an upload or copying an object of many gigabytes may take minutes
DOCUMENT_LIMIT: Final = 32 * 1024 * 1024  # bytes: a thousand keys, each character of them encoded
ERROR_LIMIT: Final = 64 * 1024
REMEMBERED: Final = 60.0  # seconds for which a bucket that answered is taken to be there
IDLE: Final = 8.0  # seconds: shorter than servers wait themselves, so that few connections end under a request
_REFUSED: Final = 300
_SIGNED_LATE: Final = frozenset({"accept-encoding", "content-length", "user-agent"})  # proxies change them
_READS: Final = frozenset({"GET", "HEAD"})
_HEAD_CODES: Final[Mapping[int, str]] = {
    304: "NotModified",
    409: "ConditionalRequestConflict",
    412: "PreconditionFailed",
    416: "InvalidRange",
    501: "NotImplemented",
}
_EMPTY: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Ask:
    """A request. `long` lets the server take its time to answer."""

    method: str
    bucket: str = ""
    key: str = ""
    query: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    headers: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    body: bytes | Feed = b""
    long: bool = False

    @property
    def reads(self) -> bool:
        """Whether it changes nothing, and may be asked again."""
        return self.method in _READS


class Client:
    """Sends requests of one account, over connections that are kept."""

    def __init__(self, name: str, endpoint: Endpoint, settings: Settings, region: str) -> None:
        self._name, self._endpoint, self._region = name, endpoint, region
        self._keychain = Keychain(name, settings)
        self._stall = settings.stall_timeout
        self._session = _session(settings)
        self._seen: dict[str, float] = {}
        answer = settings.answer_timeout
        self._usual = ClientTimeout(total=None, sock_connect=settings.connect_timeout, sock_read=answer)
        self._patient = ClientTimeout(total=None, sock_connect=settings.connect_timeout, sock_read=max(LONG, answer))

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def send(self, ask: Ask) -> ClientResponse:
        """Return the answer, its body unread; who asks leaves it by `async with`.

        Reads are repeated when connection or server fail, writes only where nothing can have been sent.
        Raises: what the server refuses with, ServiceUnavailable, InternalError (nobody knows what became of a write).
        """
        for attempt in range(1, ATTEMPTS):
            try:
                return await self._attempt(ask)
            except (Broken, Unreached) as error:
                used = isinstance(ask.body, Feed) and ask.body.body.started
                if used or (isinstance(error, Broken) and not ask.reads):
                    raise
                await asyncio.sleep(PAUSE * attempt * random.uniform(0.5, 1.5))  # noqa: S311  no secret
        return await self._attempt(ask)

    async def fetch(self, ask: Ask, limit: int = DOCUMENT_LIMIT) -> tuple[Mapping[str, str], bytes]:
        """Return headers and body of an answer that is small."""
        response = await self.send(ask)
        async with response:
            return response.headers, await self.read(response, limit)

    async def document(self, ask: Ask, lists: Collection[str] = ()) -> Document:
        """Return the XML of an answer. One that began as 200 may hold an error yet.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html#API_CopyObject_ResponseSyntax
        """
        headers, data = await self.fetch(ask)
        root, content = await parsed(data.lstrip(), lists)
        if root == "Error":
            raise refused(self._name, _refusal(500, content, headers), writes=not ask.reads)
        return content

    async def read(self, response: ClientResponse, limit: int) -> bytes:
        """Return a whole body. Raises InternalError where it is larger than `limit`."""
        pieces, size = [], 0
        try:
            async for piece in response.content.iter_any():
                size += len(piece)
                if size > limit:
                    raise InternalError
                pieces.append(piece)
        except FAILURES as error:
            raise unanswered(self._name, error, safe=response.method in _READS) from error
        return b"".join(pieces)

    def cut_off(self, error: BaseException) -> S3Error:
        """Return the error for a body that ended early."""
        return unanswered(self._name, error, safe=True)

    def forget(self, bucket: str) -> None:
        """Know no longer that a bucket is there."""
        self._seen.pop(bucket, None)

    async def _attempt(self, ask: Ask) -> ClientResponse:
        credentials = await self._keychain.current()
        feed = ask.body if isinstance(ask.body, Feed) else None
        try:
            async with asyncio.timeout(None) as deadline:
                if feed:
                    feed.watch(deadline, self._stall)
                response = await self._request(ask, credentials)
        except FAILURES as error:
            await _settled(feed)
            if feed and feed.error:
                raise feed.error from error
            raise unanswered(self._name, error, safe=ask.reads or bool(feed and not feed.ended)) from error
        except asyncio.CancelledError:
            await _settled(feed)
            raise
        return await self._accepted(ask, feed, response)

    async def _request(self, ask: Ask, credentials: Frozen) -> ClientResponse:
        host, path = self._endpoint.locate(ask.bucket, ask.key)
        query = "&".join([f"{quote(name, safe='-_.~')}={quote(ask.query[name], safe='-_.~')}" for name in ask.query])
        headers = self._signed(ask, credentials, (host, path, query))
        url = f"{self._endpoint.scheme}://{host}{path}{'?' if query else ''}{query}"
        return await self._session.request(
            ask.method,
            URL(url, encoded=True),
            headers=headers,
            data=_sent(ask.body),
            timeout=self._patient if ask.long else self._usual,
            allow_redirects=False,
        )

    def _signed(self, ask: Ask, credentials: Frozen, target: tuple[str, str, str]) -> dict[str, str]:
        host, path, query = target
        timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        payload = sigv4.UNSIGNED if ask.body else sigv4.EMPTY_SHA256
        if "x-amz-trailer" in ask.headers:
            payload = TRAILER_PAYLOAD
        headers = {"host": host, "x-amz-date": timestamp, "x-amz-content-sha256": payload, **ask.headers}
        if credentials.token:
            headers["x-amz-security-token"] = credentials.token
        signed = sigv4.fold((name, value) for name, value in headers.items() if name not in _SIGNED_LATE)
        _check_wire(headers)
        headers["authorization"] = sigv4.authorization(
            sigv4.Request(ask.method, path, query, signed),
            sigv4.Credentials(credentials.access_key, credentials.secret_key, self._region),
            timestamp,
            payload,
        )
        return headers

    async def _accepted(self, ask: Ask, feed: Feed | None, response: ClientResponse) -> ClientResponse:
        """Return the answer if it is none that refuses. One that came before all was sent is refused as well."""
        whole = feed is None or feed.ended
        if response.status < _REFUSED and whole:
            if ask.bucket:
                self._seen[ask.bucket] = time.monotonic()
            return response
        try:
            if response.status < _REFUSED:
                raise InternalError
            refusal = await self._refusal(ask, response)
        finally:
            response.close()
            await _settled(feed)
        if feed and feed.error:
            raise feed.error
        raise await self._error(ask, refusal)

    async def _refusal(self, ask: Ask, response: ClientResponse) -> Refusal:
        if ask.method == "HEAD" or response.status == 304:  # noqa: PLR2004  neither has a body
            code = _HEAD_CODES.get(response.status, "")
            return Refusal(response.status, code, "", {}, response.headers)
        data = await self.read(response, ERROR_LIMIT)
        try:
            _, content = await parsed(data)
        except InternalError:  # a proxy's page
            content = {}
        return _refusal(response.status, content, response.headers)

    async def _error(self, ask: Ask, refusal: Refusal) -> S3Error:
        if refusal.code == "NotModified":
            error: S3Error = NotModified()
            error.headers = {
                name: refusal.headers[name] for name in ("ETag", "Last-Modified") if name in refusal.headers
            }
            return error
        if ask.method == "HEAD" and refusal.status == 404:  # noqa: PLR2004  of others it says what is missing
            return await self._absent(ask)
        error = refused(self._name, refusal, writes=not ask.reads)
        if isinstance(error, NoSuchBucket):
            self.forget(ask.bucket)
        if "Content-Range" in refusal.headers:
            error.headers["Content-Range"] = refusal.headers["Content-Range"]
        return error

    async def _absent(self, ask: Ask) -> S3Error:
        """Say what a 404 without a body is about: HEAD does not tell whether the bucket is missing too."""
        if not ask.key:
            self.forget(ask.bucket)
            return NoSuchBucket(BucketName=ask.bucket)
        if time.monotonic() - self._seen.get(ask.bucket, -REMEMBERED) >= REMEMBERED:
            try:
                (await self.send(Ask("HEAD", ask.bucket))).close()
            except NoSuchBucket as error:
                return error
        return NoSuchKey(Key=ask.key)


def _session(settings: Settings) -> ClientSession:
    context = ssl.create_default_context(cafile=settings.ca) if settings.ca else True
    connector = TCPConnector(
        limit=settings.connections, ttl_dns_cache=30, keepalive_timeout=IDLE, ssl=context, enable_cleanup_closed=False
    )
    session = ClientSession(
        connector=connector,
        auto_decompress=False,
        skip_auto_headers=("Content-Type", "Accept", "Accept-Encoding"),
        headers={"User-Agent": "s3-gateway", "Accept-Encoding": "identity"},
    )
    session._retry_connection = False  # noqa: SLF001  it would repeat a PUT or a DELETE that may have been carried out
    return session


def _sent(body: bytes | Feed) -> bytes | AsyncIterator[bytes] | None:
    """Return a body as aiohttp takes it without holding up the loop."""
    if isinstance(body, Feed):
        return body
    return body or None if len(body) <= SMALL else _pieces(body)


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]


async def _settled(feed: Feed | None) -> None:
    """Wait until nobody waits for the sender any more: its body belongs to it again."""
    if feed:
        await feed.idle.wait()


def _check_wire(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not value.isprintable() and any(character < " " or "\ud800" <= character <= "\udfff" for character in value):
            raise InvalidArgument("A header cannot be passed on.", ArgumentName=name)


def _refusal(status: int, content: Document, headers: Mapping[str, str]) -> Refusal:
    fields = {name: value for name, value in content.items() if isinstance(value, str)}
    return Refusal(status, text(content, "Code"), text(content, "Message"), fields, headers)
