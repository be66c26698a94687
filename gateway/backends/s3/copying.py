"""CopyObject and UploadPartCopy, on one server."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from gateway.backends.assembly import span
from gateway.backends.dialects import COPY_PIN, Dialect
from gateway.backends.s3 import documents
from gateway.backends.s3.client import Ask, Client
from gateway.backends.s3.described import (
    headers_of,
    own_checksum,
    write_conditions,
)
from gateway.backends.s3.reading import Reader, explained
from gateway.backends.s3.uploads import Uploads
from gateway.backends.s3.writing import Writer
from gateway.checksums import ALGORITHMS
from gateway.conditions import Conditions
from gateway.errors import PreconditionFailed
from gateway.storage import (
    Address,
    Body,
    Completion,
    Download,
    File,
    ObjectInfo,
    Part,
    ReadOptions,
    Upload,
    WriteOptions,
)
from gateway.transfer import room_for

LARGEST_COPY: Final = 5 * 1024**3  # bytes of one CopyObject, and of one part
PART: Final = 1024**3  # bytes of the parts of larger copies


class Copier:
    """Copies objects of one account."""

    def __init__(self, client: Client, dialect: Dialect, reader: Reader, writer: Writer, uploads: Uploads) -> None:
        self._client, self._dialect = client, dialect
        self._reader, self._writer, self._uploads = reader, writer, uploads

    async def copy(self, source: Address, to: Address, options: WriteOptions, etag: str) -> ObjectInfo:
        """As `Backend.copy`. A server that cannot be held to one version of the source has it read and written."""
        there = await self._reader.head(source, pinned(etag))
        if not self._dialect.copy_pins or (options.conditions and self._dialect.copy_conditions is None):
            return await self._streamed(source, to, options, etag)
        if there.size > LARGEST_COPY:
            spans = [slice(start, min(start + PART, there.size)) for start in range(0, there.size, PART)]
            options = replace(options, composite=ALGORITHMS[options.checksum].combine is None)
            return await self.in_parts(source, to, options, (etag, spans, {}))
        more = {}
        if options.checksum in self._dialect.checksums:
            more["x-amz-checksum-algorithm"] = options.checksum
        elif there.checksum and there.checksum.algorithm == options.checksum and not there.checksum.composite:
            more = own_checksum(there.checksum)
        return await self.at_once(source, to, options, there, more)

    async def copy_part(self, upload: Upload, number: int, source: Address, wanted: slice | None, etag: str) -> Part:
        """As `Backend.copy_part`."""
        there = await self._reader.head(source, pinned(etag))
        start, stop = span(there.size, (), ReadOptions(range=wanted))
        if not self._dialect.pins_part_copies:
            ranged = replace(pinned(etag), range=wanted)
            async with self._reader.get(source, ranged) as download, room_for(download):
                return await self._uploads.put_part(upload, number, body_of(download))
        begun = await self._uploads.begun(upload)
        self._uploads.check_size(begun, number, stop - start)
        headers = self._source(source, etag)
        if wanted is not None:
            headers["x-amz-copy-source-range"] = f"bytes={start}-{stop - 1}"
        query = {"partNumber": str(number), "uploadId": upload.id}
        ask = Ask("PUT", upload.at.bucket, upload.at.key, query, headers, long=True)
        document = await self._client.document(ask)
        begun.sizes[number] = stop - start
        moment, checksum = documents.moment(document, "LastModified"), documents.checksum(document)
        return Part(number, documents.etag(document), stop - start, moment, checksum)

    async def at_once(
        self, source: Address, to: Address, options: WriteOptions, there: ObjectInfo, more: Mapping[str, str]
    ) -> ObjectInfo:
        """Copy with one request what is `there`, with `more` headers."""
        headers = {
            **headers_of(options, self._dialect),
            **more,
            **self._source(source, there.etag),
            **self._conditions(options.conditions),
            "x-amz-metadata-directive": "REPLACE",
        }
        try:
            document = await self._client.document(Ask("PUT", to.bucket, to.key, headers=headers, long=True))
        except PreconditionFailed as error:
            raise await explained(self._client, to, error, options.conditions) from error
        return await self._uploads.made(to, documents.etag(document), there.size, options)

    def _conditions(self, conditions: Conditions) -> dict[str, str]:
        prefix = self._dialect.copy_conditions or ""
        return {prefix + name: value for name, value in write_conditions(conditions, self._dialect).items()}

    def _source(self, at: Address, etag: str) -> dict[str, str]:
        named = {"x-amz-copy-source": f"/{at.bucket}/{quote(at.key, safe='/-_.~')}"}
        return named | dict.fromkeys(self._dialect.copy_pins or (COPY_PIN,), f'"{etag}"')

    async def in_parts(
        self,
        source: Address,
        to: Address,
        options: WriteOptions,
        what: tuple[str, Sequence[slice], Mapping[str, str]],
    ) -> ObjectInfo:
        """Copy the spans of a source that has this ETag, and store some more beside them."""
        etag, spans, more = what
        upload = await self._uploads.create(to, options, more)
        async with self._uploads.abandoned(upload):
            parts = [
                await self.copy_part(upload, number, source, wanted, etag)
                for number, wanted in enumerate(spans, start=1)
            ]
            return await self._uploads.complete(upload, parts, Completion(options.conditions))

    async def _streamed(self, source: Address, to: Address, options: WriteOptions, etag: str) -> ObjectInfo:
        async with self._reader.get(source, pinned(etag)) as download, room_for(download):
            stored = await self._writer.put(to, body_of(download), options)
        return await self._uploads.made(to, stored.etag, stored.size, options)  # the answer to a PUT tells no time


def pinned(etag: str) -> ReadOptions:
    """Return how to read the version that has this ETag and no other."""
    return ReadOptions(conditions=Conditions(if_match=(etag,)))


def body_of(download: Download) -> Body:
    """Return a download as an upload; it must stay open until that is through."""
    return Body(_chunks(download), download.stop - download.start)


async def _chunks(download: Download) -> AsyncIterator[bytes]:
    content = download.content
    if isinstance(content, bytes):
        yield content
    elif not isinstance(content, File):
        async for piece in content:
            yield piece
