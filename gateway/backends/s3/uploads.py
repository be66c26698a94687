"""Multipart uploads. https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from hashlib import md5
from itertools import pairwise
from typing import Any, Final

from gateway.backends.dialects import Dialect
from gateway.backends.s3 import documents
from gateway.backends.s3.client import Ask, Client
from gateway.backends.s3.described import (
    checksum_of,
    completion_conditions,
    headers_of,
    lacking,
    modified,
    part_count,
    told,
)
from gateway.backends.s3.hashed import check_stored, plan_part
from gateway.backends.s3.listing import Lister
from gateway.backends.s3.reading import Reader, explained
from gateway.backends.s3.spool import spooled
from gateway.checksums import ALGORITHMS, MD5, Checksum, combine, composite
from gateway.conditions import Conditions
from gateway.errors import (
    BadDigest,
    InternalError,
    InvalidPart,
    InvalidPartOrder,
    InvalidRequest,
    MalformedXML,
    NoSuchKey,
    NoSuchUpload,
    NotImplementedByGateway,
    PreconditionFailed,
    S3Error,
)
from gateway.storage import (
    SMALL,
    Address,
    Body,
    Completion,
    ObjectInfo,
    Part,
    PartPage,
    ReadOptions,
    Upload,
    UploadInfo,
    WriteOptions,
)

MOST_PARTS: Final = 10_000
REMEMBERED: Final = 4096  # uploads
_ID: Final = re.compile(r"[A-Za-z0-9._~=+/-]{1,1024}")
_PAGE: Final = 1000


@dataclass(slots=True)
class Begun:
    """What is remembered of an open upload: its checksum, and the sizes of its parts where they must be equal."""

    algorithm: str
    composite: bool = False
    sizes: dict[int, int] = field(default_factory=dict)


class Uploads:
    """Multipart uploads of one account. What is remembered of them can be found again by asking."""

    def __init__(self, name: str, client: Client, dialect: Dialect, reader: Reader) -> None:
        self._name, self._client, self._dialect, self._reader = name, client, dialect, reader
        self._lister = Lister(client)
        self._known: OrderedDict[Upload, Begun] = OrderedDict()

    async def create(self, at: Address, options: WriteOptions, more: Mapping[str, str] | None = None) -> Upload:
        """As `Backend.create_upload`, with `more` headers."""
        headers = headers_of(options, self._dialect) | dict(more or {})
        if options.checksum in self._dialect.checksums:
            headers |= {"x-amz-checksum-algorithm": options.checksum, "x-amz-checksum-type": _type(options)}
        document = await self._client.document(Ask("POST", at.bucket, at.key, {"uploads": ""}, headers))
        upload = Upload(at, documents.text(document, "UploadId"))
        self._remember(upload, Begun(options.checksum, options.composite))
        return upload

    async def put_part(self, upload: Upload, number: int, body: Body) -> Part:
        """As `Backend.put_part`."""
        begun = await self.begun(upload)
        if begun.algorithm in self._dialect.checksums:
            body.kept = begun.algorithm
        if body.size is None:
            async with spooled(body) as sized:
                return await self._put_part(upload, number, sized, begun)
        return await self._put_part(upload, number, body, begun)

    async def _put_part(self, upload: Upload, number: int, body: Body, begun: Begun) -> Part:
        size = body.size or 0
        self.check_size(begun, number, size)
        body.digest.want(MD5)
        if begun.algorithm in self._dialect.checksums:
            body.digest.want(begun.algorithm)
        data = await body.read() if size <= SMALL else None
        plan = plan_part(body, data, begun.algorithm, self._dialect)
        query = {"partNumber": str(number), "uploadId": upload.id}
        ask = Ask("PUT", upload.at.bucket, upload.at.key, query, plan.headers, plan.body)
        answer, _ = await self._client.fetch(ask)
        etag = check_stored(body, answer, self._dialect, self._name)
        begun.sizes[number] = size
        checksum = body.digest.checksum(begun.algorithm) if plan.keeps else checksum_of(answer)
        return Part(number, etag, size, modified(answer, "date"), checksum)

    def check_size(self, begun: Begun, number: int, size: int) -> None:
        """Refuse a part that makes the upload one that cannot be completed. Raises InvalidPart."""
        if not self._dialect.equal_parts:
            return
        sizes = {**begun.sizes, number: size}
        last = sizes.pop(max(sizes))
        if len(set(sizes.values())) > 1 or any(last > other for other in sizes.values()):
            raise InvalidPart(
                f"The storage behind this bucket ({self._dialect.name}) wants all parts of an upload but the last to "
                f"be of one size, and the last not to be larger: part {number} has {size} bytes.",
                PartNumber=str(number),
            )

    async def list_parts(self, upload: Upload, after: int, limit: int) -> PartPage:
        """As `Backend.list_parts`. What was said beside the bytes is not told: S3 keeps that to itself."""
        _check_id(upload)
        document = await self._page(upload, after, max(1, min(limit, _PAGE)))
        begun = _begun(document)
        parts = [documents.part_of(entry) for entry in documents.children(document, "Part")][:limit]
        more = documents.text(document, "IsTruncated") == "true" and bool(parts)
        options = WriteOptions(checksum=begun.algorithm, composite=begun.composite)
        info = UploadInfo(upload, await self._lister.initiated(upload), options)
        return PartPage(info, parts, parts[-1].number if more else 0)

    async def complete(self, upload: Upload, parts: Sequence[Part], completion: Completion) -> ObjectInfo:
        """As `Backend.complete_upload`. S3 gives nobody the bytes of a part, so none of them can be looked at."""
        if completion.check:
            raise NotImplementedByGateway
        _check_id(upload)
        _check_order(upload, parts)
        headers = completion_conditions(completion.conditions, self._dialect)
        headers |= await self._expected(upload, parts, completion)
        entries = [self._claim(part) for part in parts]
        data = await documents.written("CompleteMultipartUpload", {"Part": entries})
        at, query = upload.at, {"uploadId": upload.id}
        ask = Ask("POST", at.bucket, at.key, query, headers | {"content-type": "application/xml"}, data, long=True)
        try:
            document = await self._client.document(ask)
        except PreconditionFailed as error:
            raise await explained(self._client, at, error, completion.conditions) from error
        except InternalError as error:
            raise await self._ended(upload, error) from error
        self._known.pop(upload, None)
        etag = documents.etag(document) or _etag(parts)
        return await self.made(at, etag, sum(part.size for part in parts))

    async def _ended(self, upload: Upload, error: InternalError) -> S3Error:
        """Return NoSuchUpload where a failed completion is of an upload that is no more, or has done its work yet."""
        try:
            await self._page(upload, 0, 1)
        except NoSuchUpload as gone:
            return gone
        except S3Error:
            return error
        return error

    async def abort(self, upload: Upload) -> None:
        """As `Backend.abort_upload`."""
        _check_id(upload)
        await self._client.fetch(Ask("DELETE", upload.at.bucket, upload.at.key, {"uploadId": upload.id}))
        self._known.pop(upload, None)

    @asynccontextmanager
    async def abandoned(self, upload: Upload) -> AsyncIterator[None]:
        """Abort the upload if what is done in the context fails or is cancelled."""
        done = False
        try:
            yield
            done = True
        finally:
            if not done:
                with suppress(S3Error):  # it expires then, like any that nobody completes
                    await asyncio.shield(self.abort(upload))

    async def made(self, at: Address, etag: str, size: int, options: WriteOptions | None = None) -> ObjectInfo:
        """Return what is known of an object that was just made, though another may have replaced it meanwhile."""
        try:
            return await self._reader.head(at, ReadOptions(conditions=Conditions(if_match=(etag,))))
        except S3Error:
            said = options or WriteOptions()
            return ObjectInfo(
                at.key,
                size,
                etag,
                modified({}, "date"),
                headers=told(said.headers),
                metadata=said.metadata,
                labels=said.labels,
                part_count=part_count(etag),
            )

    async def begun(self, upload: Upload) -> Begun:
        """Return what is known of an upload; one that another process began is asked for. Raises NoSuchUpload."""
        _check_id(upload)
        if upload in self._known:
            self._known.move_to_end(upload)
            return self._known[upload]
        if not self._dialect.checksums and not self._dialect.equal_parts:
            return Begun(WriteOptions().checksum)
        document = await self._page(upload, 0, _PAGE)
        begun = _begun(document)
        begun.sizes = {part.number: part.size for part in map(documents.part_of, documents.children(document, "Part"))}
        self._remember(upload, begun)
        return begun

    def _remember(self, upload: Upload, begun: Begun) -> None:
        self._known[upload] = begun
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    async def _page(self, upload: Upload, after: int, limit: int) -> documents.Document:
        query = {"uploadId": upload.id, "max-parts": str(limit)}
        if after:
            query["part-number-marker"] = str(after)
        try:
            return await self._client.document(Ask("GET", upload.at.bucket, upload.at.key, query), ("Part",))
        except NoSuchKey as error:  # as Ceph says it
            raise NoSuchUpload(UploadId=upload.id) from error

    async def _expected(self, upload: Upload, parts: Sequence[Part], completion: Completion) -> dict[str, str]:
        """Return the headers for what the object is expected to be, compared here where the server cannot."""
        headers = {}
        checksum = completion.checksum
        if checksum and checksum.algorithm in self._dialect.checksums:
            headers = {checksum.header: checksum.value}
        elif checksum:
            await self._compare(upload, parts, checksum)
        if completion.size is None:
            return headers
        if self._dialect.completion_size:
            return headers | {"x-amz-mp-object-size": str(completion.size)}
        stored = await self._stored(upload)
        size = sum(stored[part.number].size for part in parts if part.number in stored)
        if size != completion.size:
            raise InvalidRequest(f"The parts are {size} bytes together, not {completion.size}.")
        return headers

    async def _compare(self, upload: Upload, parts: Sequence[Part], declared: Checksum) -> None:
        """Compare the checksum of the whole with those of its parts, which were compared with their bytes before.

        Raises: BadDigest; NotImplementedByGateway where they are not told again.
        """
        claims = [part.checksum for part in parts if part.checksum and part.checksum.algorithm == declared.algorithm]
        if len(claims) != len(parts):
            raise lacking(self._dialect, declared.header)
        whole = composite(claims)
        if declared.value in {whole.value, whole.value.partition("-")[0]}:
            return
        stored = await self._stored(upload)
        sizes = [stored[part.number].size if part.number in stored else 0 for part in parts]
        if not ALGORITHMS[declared.algorithm].combine or combine(list(zip(claims, sizes, strict=True))) != declared:
            raise BadDigest(f"The {declared.algorithm} you specified did not match the calculated checksum.")

    async def _stored(self, upload: Upload) -> dict[int, Part]:
        """Return all parts by number. What is told of one with a certain ETag cannot change."""
        found: dict[int, Part] = {}
        after = 0
        while True:
            document = await self._page(upload, after, _PAGE)
            parts = [documents.part_of(entry) for entry in documents.children(document, "Part")]
            found |= {part.number: part for part in parts}
            if not parts or documents.text(document, "IsTruncated") != "true":
                return found
            after = parts[-1].number

    def _claim(self, part: Part) -> dict[str, Any]:
        claim = {"PartNumber": str(part.number), "ETag": f'"{part.etag}"'}
        if part.checksum and part.checksum.algorithm in self._dialect.checksums:
            claim[ALGORITHMS[part.checksum.algorithm].element] = part.checksum.value
        return claim


def _type(options: WriteOptions) -> str:
    """Return the type of checksum: that of a whole cannot be told from its parts for every algorithm."""
    algorithm = ALGORITHMS[options.checksum]
    composite = (options.composite and algorithm.composite) or algorithm.combine is None
    return "COMPOSITE" if composite else "FULL_OBJECT"


def _begun(document: documents.Document) -> Begun:
    algorithm = documents.text(document, "ChecksumAlgorithm", WriteOptions().checksum)
    return Begun(algorithm, documents.text(document, "ChecksumType") == "COMPOSITE")


def _etag(parts: Sequence[Part]) -> str:
    """Return the ETag of what is made of parts, which Ceph does not tell."""
    whole = md5(b"".join(bytes.fromhex(part.etag) for part in parts), usedforsecurity=False)
    return f"{whole.hexdigest()}-{len(parts)}"


def _check_order(upload: Upload, parts: Sequence[Part]) -> None:
    """Refuse a list that no server may take; some take a part that is listed twice. Raises InvalidPartOrder."""
    if not parts:
        raise MalformedXML
    if any(part.number >= following.number for part, following in pairwise(parts)):
        raise InvalidPartOrder(UploadId=upload.id)


def _check_id(upload: Upload) -> None:
    """Refuse what cannot be an id before it becomes part of a request. Raises NoSuchUpload."""
    if not _ID.fullmatch(upload.id):
        raise NoSuchUpload(UploadId=upload.id)
