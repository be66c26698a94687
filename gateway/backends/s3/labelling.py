"""The change of an object's labels, which are metadata: S3 changes none but by writing the object again."""

import asyncio
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from gateway.backends.assembly import check_labels
from gateway.backends.dialects import Dialect
from gateway.backends.s3.copying import Copier, body_of, pinned
from gateway.backends.s3.described import lacking, own_checksum, own_time
from gateway.backends.s3.reading import Reader
from gateway.backends.s3.writing import Writer
from gateway.conditions import Conditions
from gateway.errors import InternalError, OperationAborted, PreconditionFailed
from gateway.storage import Address, ObjectInfo, Part, ReadOptions, WriteOptions
from gateway.transfer import room_at_once

ATTEMPTS: Final = 5  # how often an object is labelled that is replaced just then

log = structlog.get_logger()


class Labeller:
    """Labels objects of one account, each in the way of its server that is least likely to undo another's write.

    With conditions of the destination it is a copy onto itself. A server that knows conditions of PutObject only has
    the object read and written back. One that knows none is asked for a copy after a look, and what is written there
    in the moment between may be undone.
    """

    def __init__(self, dialect: Dialect, reader: Reader, writer: Writer, copier: Copier) -> None:
        self._dialect, self._reader, self._writer, self._copier = dialect, reader, writer, copier
        self._lock = asyncio.Lock()

    async def annotate(self, at: Address, labels: Mapping[str, str], was: Mapping[str, str] | None) -> None:
        """As `Backend.annotate` for an object.

        S3 can hold a write to the ETag only, so of two processes that label the same bytes at once the later one wins.
        """
        async with self._lock:
            for _ in range(ATTEMPTS):
                there = await self._reader.head(at, ReadOptions())
                check_labels(there.labels, was)
                if there.labels == labels:
                    return None
                try:
                    return await self._relabel(at, there, labels)
                except PreconditionFailed:  # it was replaced just now
                    continue
        raise OperationAborted

    async def _relabel(self, at: Address, there: ObjectInfo, labels: Mapping[str, str]) -> None:
        algorithm = there.checksum.algorithm if there.checksum else WriteOptions().checksum
        composite = bool(there.checksum and there.checksum.composite)
        when = Conditions(if_match=(there.etag,))
        options = WriteOptions(there.headers, there.metadata, labels, when, algorithm, composite)
        more = own_time(there.modified)
        if there.checksum and algorithm not in self._dialect.checksums:
            more |= own_checksum(there.checksum)
        knows_if = "if-match" in self._dialect.write_conditions
        if there.part_count and not self._dialect.copies_in_place:
            if not (knows_if and self._dialect.completion_conditions):
                raise lacking(self._dialect, "if-match")
            spans = _spans(await self._reader.parts(at, there))
            await self._copier.in_parts(at, at, options, (there.etag, spans, more))
        elif self._dialect.copy_pins and self._dialect.copy_conditions is not None:
            await self._copy(at, there, options, more)
        elif knows_if and not there.part_count:
            await self._rewrite(at, there, options, more)
        else:
            await self._copy(at, there, WriteOptions(there.headers, there.metadata, labels), more)

    async def _copy(self, at: Address, there: ObjectInfo, options: WriteOptions, more: Mapping[str, str]) -> None:
        if there.checksum and there.checksum.algorithm in self._dialect.checksums:
            more = {**more, "x-amz-checksum-algorithm": there.checksum.algorithm}
        copied = await self._copier.at_once(at, at, options, there, more)
        if copied.etag != there.etag:
            log.error("backend_copied_other_bytes", key=at.key, etag=copied.etag, wanted=there.etag)
            raise InternalError("The storage has copied other bytes than those that were looked at.")

    async def _rewrite(self, at: Address, there: ObjectInfo, options: WriteOptions, more: Mapping[str, str]) -> None:
        async with self._reader.get(at, pinned(there.etag)) as download:
            body = body_of(download)
            if there.checksum:
                body.declared[there.checksum.algorithm] = b64decode(there.checksum.value)
            with room_at_once(download):
                await self._writer.put(at, body, options, more)


def _spans(parts: Sequence[Part]) -> Sequence[slice]:
    spans, start = [], 0
    for part in parts:
        spans.append(slice(start, start + part.size))
        start += part.size
    return spans
