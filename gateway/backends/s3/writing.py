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
from gateway.errors import NoSuchKey, PreconditionFailed
from gateway.storage import SMALL, Address, Body, Completion, ObjectInfo, WriteOptions

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
PART: Final = 8 * 1024 * 1024  # bytes; more only where the parts of an object would be too many


class Writer:
    """Writes objects of one account."""

    def __init__(self, name: str, client: Client, dialect: Dialect, uploads: Uploads) -> None:
        self._name, self._client, self._dialect, self._uploads = name, client, dialect, uploads

    async def put(
        self, at: Address, body: Body, options: WriteOptions, more: Mapping[str, str] = NOTHING
    ) -> ObjectInfo:
        """As `Backend.put`, with `more` headers; `modified` is when the server answered, which may be a second off."""
        headers = headers_of(options, self._dialect) | write_conditions(options.conditions, self._dialect) | dict(more)
        _want(body, options.checksum)
        if body.size is not None and SMALL < body.size <= self._dialect.largest_put:
            return await self._send(at, body, None, headers, options)
        if body.size is not None and body.size <= SMALL:
            return await self._send(at, body, await body.read(), headers, options)
        return await self._in_parts(at, body, headers, options)

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
            modified(answer, "Date"),
            headers=told(options.headers),
            metadata=options.metadata,
            labels=options.labels,
            checksum=body.digest.checksum(options.checksum) if plan.keeps else None,
        )

    async def _in_parts(self, at: Address, body: Body, headers: Mapping[str, str], options: WriteOptions) -> ObjectInfo:
        """Store a body whose length nobody knows, or one too large for a single request.

        Whether it is written in parts is known at its second portion: conditions that do not hold for parts are
        refused then, before anything is sent.
        """
        size = PART if body.size is None else max(PART, -(-body.size // MOST_PARTS))
        pieces = _portions(body, size)
        portion, is_last = await anext(pieces)
        if is_last:
            return await self._send(at, body, portion, headers, options)
        completion_conditions(options.conditions, self._dialect)
        algorithm = ALGORITHMS[options.checksum]
        upload = await self._uploads.create(at, replace(options, composite=algorithm.combine is None))
        async with self._uploads.abandoned(upload):
            parts = [await self._uploads.put_part(upload, 1, _body_of(portion))]
            async for portion, _ in pieces:
                parts.append(await self._uploads.put_part(upload, len(parts) + 1, _body_of(portion)))
            return await self._uploads.complete(upload, parts, Completion(options.conditions))


async def _portions(body: Body, size: int) -> AsyncIterator[tuple[bytes, bool]]:
    """Yield the bytes in portions of just `size`, and with the last one, which may be shorter, that it is the last."""
    held: list[bytes] = []
    length = 0
    async for piece in body:
        held.append(piece)
        length += len(piece)
        while length > size:
            joined = b"".join(held)
            held, length = [joined[size:]], length - size
            yield joined[:size], False
    yield b"".join(held), True


def _want(body: Body, algorithm: str) -> None:
    body.digest.want(MD5)
    body.digest.want(algorithm)


def _body_of(data: bytes) -> Body:
    async def chunks() -> AsyncIterator[bytes]:
        yield data

    return Body(chunks(), len(data))
