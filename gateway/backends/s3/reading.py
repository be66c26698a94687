"""GetObject and HeadObject."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from types import TracebackType
from typing import Final

from gateway.backends.assembly import span
from gateway.backends.dialects import Dialect
from gateway.backends.s3.client import Ask, Client
from gateway.backends.s3.described import CHECKSUM_TYPE, COMPOSITE, checksum_of, condition_headers, info_of, lacking
from gateway.backends.s3.documents import children, part_of, text
from gateway.backends.s3.errors import FAILURES
from gateway.backends.s3.wire import Answer
from gateway.checksums import ALGORITHMS, Checksum, combine, composite
from gateway.conditions import Conditions
from gateway.errors import (
    InternalError,
    InvalidPartNumber,
    InvalidRange,
    NoSuchKey,
    NotModified,
    PreconditionFailed,
    S3Error,
    ServiceUnavailable,
)
from gateway.storage import SMALL, Address, Download, ObjectInfo, Part, ReadOptions

AT_ONCE: Final = 16  # parts looked at at the same time
PARTIAL: Final = 206
_PAGE: Final = 1000
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]+)-(-1|[0-9]+)/([0-9]+)")  # MinIO has "0--1/0" of an empty object


class Reader:
    """Reads objects of one account."""

    def __init__(self, client: Client, dialect: Dialect) -> None:
        self._client, self._dialect = client, dialect

    async def head(self, at: Address, options: ReadOptions) -> ObjectInfo:
        """As `Backend.head`."""
        options = replace(options, range=None)
        async with await self._ask("HEAD", at, options) as answer:
            info, _, _ = _described(at.key, answer, options)
        return await self._with_parts(at, info, options, answer.headers.get(CHECKSUM_TYPE, ""))

    def get(self, at: Address, options: ReadOptions) -> AbstractAsyncContextManager[Download]:
        """As `Backend.get`."""
        return _Opening(self, at, options)

    async def open(self, at: Address, options: ReadOptions) -> tuple[Answer, Download]:
        """Return an object and the answer that it comes with, which is to be closed."""
        if options.range and options.range.stop == 0:  # a range that no header can name
            raise InvalidRange.of((await self.head(at, options)).size)
        answer = await self._answer(at, options)
        try:
            info, start, stop = _described(at.key, answer, options)
            _check_span(info, options, (start, stop))
            info = await self._with_parts(at, info, options, answer.headers.get(CHECKSUM_TYPE, ""))
            content = await self._small(answer) if stop - start <= SMALL else self._stream(answer, stop - start)
        except BaseException:
            answer.close()
            raise
        return answer, Download(info, start, stop, content)

    async def _answer(self, at: Address, options: ReadOptions) -> Answer:
        """Ask for the bytes of an object; some servers have to be asked for all of an empty one, not for its last."""
        try:
            return await self._ask("GET", at, options)
        except InvalidRange as error:
            # That raises it again, unless the last bytes of none are asked for.
            options.span(int(error.fields["ActualObjectSize"]))
            return await self._ask("GET", at, replace(options, range=None))

    async def _ask(self, method: str, at: Address, options: ReadOptions) -> Answer:
        headers = condition_headers(await self._sendable(at, options.conditions))
        query: dict[str, str] = {}
        if self._dialect.checksums:
            headers["x-amz-checksum-mode"] = "ENABLED"
        if options.range is not None:
            headers["range"] = _range(options.range)
        if options.part is not None and await self._knows_part(at, options):
            query["partNumber"] = str(options.part)
        try:
            return await self._client.send(Ask(method, at.bucket, at.key, query, headers))
        except InvalidRange as error:
            raise await self._out_of_range(at, options, error) from error
        except NotModified as error:
            if "ETag" not in error.headers:  # Ceph tells nothing of the object then
                info = await self.head(at, ReadOptions())
                raise NotModified.of(info.etag, info.modified) from error
            raise

    async def _sendable(self, at: Address, conditions: Conditions) -> Conditions:
        """Return conditions that the server understands: those it does not are decided here, for one version.

        Raises: PreconditionFailed, NotModified, NoSuchKey.
        """
        tags = (conditions.if_match, conditions.if_none_match)
        if self._dialect.etag_lists or not any(len(each) > 1 or "*" in each for each in tags):
            return conditions
        info = await self.head(at, ReadOptions())
        conditions.check_read(info)
        return Conditions(if_match=(info.etag,))

    async def _knows_part(self, at: Address, options: ReadOptions) -> bool:
        """Say whether the part is to be asked for; where the server cannot, whether it is one is decided here."""
        if self._dialect.part_reads:
            return True
        info = await self.head(at, ReadOptions(conditions=options.conditions))
        if info.part_count:
            raise lacking(self._dialect, "partNumber")
        span(info.size, (), options)
        return False

    async def _out_of_range(self, at: Address, options: ReadOptions, error: InvalidRange) -> S3Error:
        """Return the refusal of a range with the size of the object, of a part with their number."""
        if options.part is not None:
            count = (await self.head(at, ReadOptions())).part_count or 1
            return InvalidPartNumber(PartNumberRequested=str(options.part), ActualPartCount=str(count))
        told = error.headers.get("Content-Range", "").rpartition("/")[2]
        return InvalidRange.of(int(told) if told.isdigit() else (await self.head(at, ReadOptions())).size)

    async def _small(self, answer: Answer) -> bytes:
        return await self._client.read(answer, SMALL)

    async def _stream(self, answer: Answer, size: int) -> AsyncIterator[bytes]:
        """Yield the bytes as they come. Raises ServiceUnavailable where fewer come than were promised."""
        left = size
        try:
            async for piece in answer:
                left -= len(piece)
                yield piece
                del piece  # else it is held while the next one is waited for
        except FAILURES as error:
            raise self._client.cut_off(error) from error
        if left:
            raise ServiceUnavailable

    # --- parts ---

    async def _with_parts(self, at: Address, info: ObjectInfo, options: ReadOptions, kind: str) -> ObjectInfo:
        """Add the parts, where they are asked for, and the checksum of that `kind` of the whole, if one was read."""
        if not options.parts or not info.part_count:
            return info
        parts = await self.parts(at, info)
        return replace(info, parts=parts, checksum=info.checksum or _whole(parts, kind))

    async def parts(self, at: Address, info: ObjectInfo) -> Sequence[Part]:
        """Return the parts of an object. Raises PreconditionFailed if it was replaced meanwhile."""
        found = await self._listed_parts(at, info) if self._dialect.attributes else ()
        if found:
            return found
        if not self._dialect.part_reads:
            raise lacking(self._dialect, "partNumber")
        slots = asyncio.Semaphore(AT_ONCE)
        try:
            async with asyncio.TaskGroup() as looks:
                tasks = [looks.create_task(self._part(at, info, n, slots)) for n in range(1, info.part_count + 1)]
        except ExceptionGroup as group:
            raise group.exceptions[0] from group
        return [task.result() for task in tasks]

    async def _part(self, at: Address, info: ObjectInfo, number: int, slots: asyncio.Semaphore) -> Part:
        async with slots:
            options = ReadOptions(part=number, conditions=Conditions(if_match=(info.etag,)))
            async with await self._ask("HEAD", at, options) as answer:
                _, start, stop = _described(at.key, answer, options)
                return Part(number, "", stop - start, checksum=checksum_of(answer.headers))

    async def _listed_parts(self, at: Address, info: ObjectInfo) -> Sequence[Part]:
        """Return the parts that GetObjectAttributes tells: those of objects whose checksum is one of checksums.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html
        """
        found: list[Part] = []
        while True:
            headers = {
                "x-amz-object-attributes": "ETag,ObjectParts",
                "x-amz-max-parts": str(_PAGE),
                "x-amz-part-number-marker": str(found[-1].number if found else 0),
            }
            ask = Ask("GET", at.bucket, at.key, {"attributes": ""}, headers)
            document = await self._client.document(ask, ("Part",))
            if text(document, "ETag").strip('"') != info.etag:
                raise PreconditionFailed
            page = document.get("ObjectParts") or {}
            parts = [part_of(entry) for entry in children(page, "Part")]
            found += parts
            if not parts or text(page, "IsTruncated") != "true":
                return found


class _Opening:
    """The context of a download: a class, because a generator costs several times as much."""

    __slots__ = ("_answer", "_at", "_options", "_reader")

    def __init__(self, reader: Reader, at: Address, options: ReadOptions) -> None:
        self._reader, self._at, self._options = reader, at, options

    async def __aenter__(self) -> Download:
        self._answer, download = await self._reader.open(self._at, self._options)
        return download

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._answer.close()


async def explained(client: Client, at: Address, error: PreconditionFailed, conditions: Conditions) -> S3Error:
    """Return why a condition failed: If-Match where nothing is says NoSuchKey, which not every server does."""
    if not conditions.if_match:
        return error
    try:
        (await client.send(Ask("HEAD", at.bucket, at.key))).close()
    except NoSuchKey as absent:
        return absent
    return error


def _whole(parts: Sequence[Part], kind: str) -> Checksum | None:
    """Return the checksum of a whole, which S3 does not tell with a part, from those of its parts."""
    checksums = [(part.checksum, part.size) for part in parts if part.checksum]
    if not kind or len(checksums) != len(parts):
        return None
    if kind == COMPOSITE:
        return composite([checksum for checksum, _ in checksums])
    return combine(checksums) if ALGORITHMS[checksums[0][0].algorithm].combine else None


def _described(key: str, answer: Answer, options: ReadOptions) -> tuple[ObjectInfo, int, int]:
    """Return what an answer tells of an object, and which bytes of it it holds."""
    headers = answer.headers
    length = headers.get("content-length", "")
    if answer.status == PARTIAL:
        told = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        if not told:
            raise InternalError
        start, stop, size = int(told[1]), int(told[2]) + 1, int(told[3])
    elif length.isdigit():
        start, stop, size = 0, int(length), int(length)
    else:
        raise InternalError
    whole = options.part is None and (start, stop) == (0, size)
    return info_of(key, headers, size, whole=whole), start, stop


def _check_span(info: ObjectInfo, options: ReadOptions, got: tuple[int, int]) -> None:
    """Refuse an answer with other bytes than were asked for. Raises InvalidRange, InternalError."""
    if options.range is not None and span(info.size, (), replace(options, part=None)) != got:
        raise InternalError


def _range(wanted: slice) -> str:
    if wanted.start is not None and wanted.start < 0:
        return f"bytes={wanted.start}"
    return f"bytes={wanted.start or 0}-{'' if wanted.stop is None else wanted.stop - 1}"
