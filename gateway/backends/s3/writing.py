"""PutObject and DeleteObject."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from gateway.backends.dialects import Dialect
from gateway.backends.s3.client import Ask, Client
from gateway.backends.s3.described import (
    completion_conditions,
    condition_headers,
    headers_of,
    lacking,
    modified,
    told,
    write_conditions,
)
from gateway.backends.s3.hashed import Plan, check_stored, merged, plan_object
from gateway.backends.s3.reading import explained
from gateway.backends.s3.uploads import MOST_PARTS, Uploads
from gateway.checksums import ALGORITHMS, MD5
from gateway.conditions import Conditions
from gateway.errors import IncompleteBody, NoSuchKey, PreconditionFailed
from gateway.storage import PIECE, SMALL, Address, Body, Completion, ObjectInfo, Part, WriteOptions

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
PART: Final = 8 * 1024 * 1024  # bytes; more only where the parts of an object would be too many, and then not in memory


class Writer:
    """Writes objects of one account."""

    def __init__(self, name: str, client: Client, dialect: Dialect, uploads: Uploads) -> None:
        self._name, self._client, self._dialect, self._uploads = name, client, dialect, uploads

    async def put(
        self, at: Address, body: Body, options: WriteOptions, more: Mapping[str, str] = NOTHING
    ) -> ObjectInfo:
        """As `Backend.put`, with `more` headers; `modified` is when the server answered, which may be a second off."""
        headers = headers_of(options, self._dialect) | write_conditions(options.conditions, self._dialect) | dict(more)
        if body.size is not None and body.size > self._dialect.largest_put:
            size = max(PART, -(-body.size // MOST_PARTS))
            return await self._in_parts(at, _sections(body, body.size, size), options)
        _want(body, options.checksum)
        if body.size is None:
            return await self._unsized(at, body, headers, options)
        data = await body.read() if body.size <= SMALL else None
        return await self._send(at, body, data, headers, options)

    async def delete(self, at: Address, conditions: Conditions) -> None:
        """As `Backend.delete`."""
        if conditions and (not self._dialect.delete_conditions or conditions.if_none_match):
            raise lacking(self._dialect, "if-match")
        try:
            await self._client.fetch(Ask("DELETE", at.bucket, at.key, headers=condition_headers(conditions)))
        except NoSuchKey:
            if conditions:
                raise
        except PreconditionFailed as error:
            raise await explained(self._client, at, error, conditions) from error

    async def _send(
        self, at: Address, body: Body, data: bytes | None, headers: Mapping[str, str], options: WriteOptions
    ) -> ObjectInfo:
        plan = plan_object(body, data, options.checksum, self._dialect)
        ask = Ask("PUT", at.bucket, at.key, headers=merged(headers, plan), body=plan.body)
        try:
            answer, _ = await self._client.fetch(ask)
        except PreconditionFailed as error:
            raise await explained(self._client, at, error, options.conditions) from error
        return self._stored(at, body, plan, answer, options)

    def _stored(
        self, at: Address, body: Body, plan: Plan, answer: Mapping[str, str], options: WriteOptions
    ) -> ObjectInfo:
        etag = check_stored(body, answer, self._dialect, self._name)
        return ObjectInfo(
            at.key,
            body.received,
            etag,
            modified(answer, "date"),
            headers=told(options.headers),
            metadata=options.metadata,
            labels=options.labels,
            checksum=body.digest.checksum(options.checksum) if plan.keeps else None,
        )

    async def _unsized(self, at: Address, body: Body, headers: Mapping[str, str], options: WriteOptions) -> ObjectInfo:
        """Store a body whose length nobody knows: at once if it turns out to be short."""
        pieces = _portions(body, PART)
        portion, is_last = await anext(pieces)
        if is_last:
            return await self._send(at, body, portion, headers, options)
        first = _body_of(portion)
        del portion  # each is gone when it was sent, before the next is gathered
        return await self._in_parts(at, _bodies(first, pieces), options)

    async def _in_parts(self, at: Address, bodies: AsyncIterator[Body], options: WriteOptions) -> ObjectInfo:
        """Store an object of several bodies, one after another. Conditions that do not hold for parts are refused."""
        completion_conditions(options.conditions, self._dialect)
        algorithm = ALGORITHMS[options.checksum]
        upload = await self._uploads.create(at, replace(options, composite=algorithm.combine is None))
        async with self._uploads.abandoned(upload):
            parts: list[Part] = []
            async for body in bodies:
                parts.append(await self._uploads.put_part(upload, len(parts) + 1, body))
            return await self._uploads.complete(upload, parts, Completion(options.conditions))


async def _sections(body: Body, total: int, size: int) -> AsyncIterator[Body]:
    """Cut a body into bodies of just `size`, each to be read to its end before the next; nothing of them is kept."""
    pieces, held = aiter(body), b""

    async def section(left: int) -> AsyncIterator[bytes]:
        nonlocal held
        while left:
            piece = held or await anext(pieces, b"")
            if not piece:
                raise IncompleteBody
            held = piece[left:]
            left -= len(piece) - len(held)
            yield piece[: len(piece) - len(held)]

    for start in range(0, total, size):
        length = min(size, total - start)
        yield Body(section(length), length)


async def _bodies(first: Body, pieces: AsyncIterator[tuple[bytes, bool]]) -> AsyncIterator[Body]:
    yield first
    async for portion, _ in pieces:
        body = _body_of(portion)
        del portion
        yield body


async def _portions(body: Body, size: int) -> AsyncIterator[tuple[bytes, bool]]:
    """Yield the bytes in portions of just `size`, and with the last one, which may be shorter, that it is the last."""
    held: list[bytes] = []
    length = 0
    async for piece in body:
        left = piece
        while length + len(left) > size:
            held.append(left[: size - length])
            left, length = left[size - length :], 0
            yield _joined(held), False
        held.append(left)
        length += len(left)
    yield _joined(held), True


def _joined(pieces: list[bytes]) -> bytes:
    data = b"".join(pieces)
    pieces.clear()
    return data


def _want(body: Body, algorithm: str) -> None:
    body.digest.want(MD5)
    body.digest.want(algorithm)


def _body_of(data: bytes) -> Body:
    """Return a body of some data, of which nothing is kept when it was read."""
    kept = [data]

    async def chunks() -> AsyncIterator[bytes]:
        data = kept.pop()
        for start in range(0, len(data), PIECE):
            yield data[start : start + PIECE]

    return Body(chunks(), len(data))
