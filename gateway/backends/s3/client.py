"""A thin signed client: one request, one answer, or one of our errors."""

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from gateway import sigv4
from gateway.backends.s3.credentials import Frozen, keychain_of
from gateway.backends.s3.documents import Document, parsed, text
from gateway.backends.s3.endpoint import Endpoint
from gateway.backends.s3.errors import FAILURES, Broken, Refusal, Unreached, refused, unanswered
from gateway.backends.s3.feed import TRAILER_PAYLOAD, Feed
from gateway.backends.s3.pool import Pool
from gateway.backends.s3.settings import Settings
from gateway.backends.s3.wire import Answer, Source
from gateway.errors import InternalError, InvalidArgument, NoSuchBucket, NoSuchKey, NotModified, S3Error
from gateway.storage import PIECE, SMALL
from gateway.tracing import TRACING

ATTEMPTS: Final = 3
PAUSE: Final = 0.05  # seconds before the second attempt, twice that before the third
LONG: Final = 600.0  # seconds: completing an upload or copying an object of many gigabytes may take minutes
DOCUMENT_LIMIT: Final = 32 * 1024 * 1024  # bytes: a thousand keys, each character of them encoded
ERROR_LIMIT: Final = 64 * 1024
REMEMBERED: Final = 60.0  # seconds for which a bucket that answered is taken to be there
_REFUSED: Final = 300
_UNSIGNED: Final = "accept-encoding: identity\r\nuser-agent: s3-gateway\r\n"  # proxies change them
_NAMES: Final = re.compile(r"[a-zA-Z0-9!#$%&'*+.^_`|~-]*")
_READS: Final = frozenset({"GET", "HEAD"})
_BODILESS: Final = frozenset({"GET", "HEAD", "DELETE"})
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
        self._keychain = keychain_of(name, settings)
        self._pool = Pool(settings, endpoint.scheme)
        self._seen: dict[str, float] = {}
        self._usual, self._patient = settings.answer_timeout, max(LONG, settings.answer_timeout)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    async def send(self, ask: Ask) -> Answer:
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
        async with await self.send(ask) as answer:
            return answer.headers, await self.read(answer, limit)

    async def document(self, ask: Ask, lists: Collection[str] = ()) -> Document:
        """Return the XML of an answer. One that began as 200 may hold an error yet.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html#API_CopyObject_ResponseSyntax
        """
        headers, data = await self.fetch(ask)
        root, content = await parsed(data.lstrip(), lists)
        if root == "Error":
            raise refused(self._name, _refusal(500, content, headers), writes=not ask.reads)
        return content

    async def read(self, answer: Answer, limit: int) -> bytes:
        """Return a whole body. Raises InternalError where it is larger than `limit`."""
        pieces, size = [], 0
        try:
            async for piece in answer:
                size += len(piece)
                if size > limit:
                    raise InternalError
                pieces.append(piece)
        except FAILURES as error:
            raise unanswered(self._name, error, safe=answer.method in _READS) from error
        return b"".join(pieces)

    def cut_off(self, error: BaseException) -> S3Error:
        """Return the error for a body that ended early."""
        return unanswered(self._name, error, safe=True)

    def forget(self, bucket: str) -> None:
        """Know no longer that a bucket is there."""
        self._seen.pop(bucket, None)

    async def _attempt(self, ask: Ask) -> Answer:
        credentials = await self._keychain.current()
        feed = ask.body if isinstance(ask.body, Feed) else None
        try:
            answer = await self._asked(ask, credentials)
        except FAILURES as error:
            if feed and feed.error:
                raise feed.error from error
            raise unanswered(self._name, error, safe=ask.reads or bool(feed and not feed.ended)) from error
        return await self._accepted(ask, feed, answer)

    async def _asked(self, ask: Ask, credentials: Frozen) -> Answer:
        host, path = self._endpoint.locate(ask.bucket, ask.key)
        query = "&".join([f"{quote(name, safe='-_.~')}={quote(ask.query[name], safe='-_.~')}" for name in ask.query])
        head = self._head(ask, credentials, (host, path, query))
        wire = await self._pool.take(host)
        return await wire.ask(ask.method, head, _sent(ask.body), self._patient if ask.long else self._usual)

    def _head(self, ask: Ask, credentials: Frozen, target: tuple[str, str, str]) -> bytes:
        """Return a request as it stands on the wire before its body."""
        _, path, query = target
        headers = {**self._signed(ask, credentials, target), **TRACING.carried()}
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        target_line = f"{ask.method} {path}{'?' if query else ''}{query} HTTP/1.1\r\n"
        return f"{target_line}{lines}{_length(ask)}{_UNSIGNED}\r\n".encode()

    def _signed(self, ask: Ask, credentials: Frozen, target: tuple[str, str, str]) -> dict[str, str]:
        host, path, query = target
        timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        payload = sigv4.UNSIGNED if ask.body else sigv4.EMPTY_SHA256
        if "x-amz-trailer" in ask.headers:
            payload = TRAILER_PAYLOAD
        headers = {"host": host, "x-amz-date": timestamp, "x-amz-content-sha256": payload, **ask.headers}
        headers.pop("content-length", None)
        if credentials.token:
            headers["x-amz-security-token"] = credentials.token
        _check_wire(headers)
        signed = sigv4.fold(headers.items())
        headers["authorization"] = sigv4.authorization(
            sigv4.Request(ask.method, path, query, signed),
            sigv4.Credentials(credentials.access_key, credentials.secret_key, self._region),
            timestamp,
            payload,
        )
        return headers

    async def _accepted(self, ask: Ask, feed: Feed | None, answer: Answer) -> Answer:
        """Return the answer if it is none that refuses. One that came before all was sent is refused as well."""
        whole = feed is None or feed.ended
        if answer.status < _REFUSED and whole:
            if ask.bucket:
                self._seen[ask.bucket] = time.monotonic()
            return answer
        async with answer:
            if answer.status < _REFUSED:
                raise InternalError
            refusal = await self._refusal(ask, answer)
        if feed and feed.error:
            raise feed.error
        raise await self._error(ask, refusal)

    async def _refusal(self, ask: Ask, answer: Answer) -> Refusal:
        if ask.method == "HEAD" or answer.status == 304:  # noqa: PLR2004  neither has a body
            code = _HEAD_CODES.get(answer.status, "")
            return Refusal(answer.status, code, "", {}, answer.headers)
        data = await self.read(answer, ERROR_LIMIT)
        try:
            _, content = await parsed(data)
        except InternalError:  # a proxy's page
            content = {}
        return _refusal(answer.status, content, answer.headers)

    async def _error(self, ask: Ask, refusal: Refusal) -> S3Error:
        if refusal.code == "NotModified":
            error: S3Error = NotModified()
            error.headers = {
                name: refusal.headers[name.lower()]
                for name in ("ETag", "Last-Modified")
                if name.lower() in refusal.headers
            }
            return error
        if ask.method == "HEAD" and refusal.status == 404:  # noqa: PLR2004  of others it says what is missing
            return await self._absent(ask)
        error = refused(self._name, refusal, writes=not ask.reads)
        if isinstance(error, NoSuchBucket):
            self.forget(ask.bucket)
        if "content-range" in refusal.headers:
            error.headers["Content-Range"] = refusal.headers["content-range"]
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


class _Pieces:
    """Bytes that are many, a few at a time."""

    def __init__(self, data: bytes) -> None:
        self._data, self.ended = data, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._data), PIECE):
            self.ended = start + PIECE >= len(self._data)
            yield self._data[start : start + PIECE]


def _sent(body: bytes | Feed) -> bytes | Source:
    return body if isinstance(body, Feed) or len(body) <= SMALL else _Pieces(body)


def _length(ask: Ask) -> str:
    """Return the header that tells how long a body is, or that nobody knows."""
    if isinstance(ask.body, bytes):
        return f"content-length: {len(ask.body)}\r\n" if ask.body or ask.method not in _BODILESS else ""
    length = ask.headers.get("content-length")
    return f"content-length: {length}\r\n" if length else "transfer-encoding: chunked\r\n"


def _check_wire(headers: Mapping[str, str]) -> None:
    """Refuse what could end its line and begin another. Raises InvalidArgument."""
    if _NAMES.fullmatch("".join(headers)) and "".join(headers.values()).isprintable():
        return
    for name, value in headers.items():
        broken = any(character < " " or "\ud800" <= character <= "\udfff" for character in value)
        if broken or not name or not _NAMES.fullmatch(name):
            raise InvalidArgument("A header cannot be passed on.", ArgumentName=name)


def _refusal(status: int, content: Document, headers: Mapping[str, str]) -> Refusal:
    fields = {name: value for name, value in content.items() if isinstance(value, str)}
    return Refusal(status, text(content, "Code"), text(content, "Message"), fields, headers)
