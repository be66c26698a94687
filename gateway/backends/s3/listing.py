"""ListObjectsV2 and ListMultipartUploads, without tokens of the server: each page begins after an item that we name."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import unquote_plus

from gateway.backends.s3 import hidden
from gateway.backends.s3.client import Ask, Client
from gateway.backends.s3.described import UNKNOWN, part_count
from gateway.backends.s3.documents import Document, children, etag, moment, text
from gateway.errors import InternalError
from gateway.storage import (
    Address,
    ListPage,
    ListQuery,
    ObjectInfo,
    Upload,
    UploadInfo,
    UploadPage,
    UploadQuery,
    WriteOptions,
)

MOST: Final = 1000  # items of a page
KEY_LIMIT: Final = 1024  # bytes of a key
_LAST: Final = "\U0010ffff"
_LAST_SIZE: Final = 4


@dataclass(slots=True)
class _Found:
    """What is gathered of a page, across several answers where keys of our own stood between."""

    objects: list[ObjectInfo] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.objects) + len(self.prefixes)

    def page(self, limit: int, *, more: bool) -> ListPage:
        """Return the first `limit` items."""
        names = sorted([*(info.key for info in self.objects), *self.prefixes])
        more = more or len(names) > limit
        if not more:
            return ListPage(self.objects, self.prefixes)
        last = names[:limit][-1]
        return ListPage(
            [info for info in self.objects if info.key <= last],
            [prefix for prefix in self.prefixes if prefix <= last],
            last,
        )


class Lister:
    """Lists the buckets of one account."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def list_objects(self, bucket: str, query: ListQuery) -> ListPage:
        """As `Backend.list_objects`. https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html."""
        if not query.limit:
            (await self._client.send(Ask("HEAD", bucket))).close()
            return ListPage((), ())
        found, after = _Found(), query.after
        while True:
            own_ahead = hidden.may_follow(query.prefix, after)
            wanted = min(query.limit - len(found) + own_ahead, MOST)
            document = await self._objects(bucket, query, after, wanted)
            after = await self._gather(bucket, document, query, found)
            truncated = text(document, "IsTruncated") == "true" and bool(after)
            if not truncated:
                return found.page(query.limit, more=False)
            if len(found) > query.limit:
                return found.page(query.limit, more=True)
            if len(found) == query.limit and not hidden.may_follow(query.prefix, after):
                return found.page(query.limit, more=True)

    async def _objects(self, bucket: str, query: ListQuery, after: str, limit: int) -> Document:
        parameters = {"list-type": "2", "encoding-type": "url", "max-keys": str(limit)}
        if query.prefix:
            parameters["prefix"] = query.prefix
        if query.delimiter:
            parameters["delimiter"] = query.delimiter
        if after:
            parameters["start-after"] = _behind(after, query)
        return await self._client.document(Ask("GET", bucket, query=parameters), ("Contents", "CommonPrefixes"))

    async def _gather(self, bucket: str, document: Document, query: ListQuery, found: _Found) -> str:
        """Add the items of an answer that may be shown, and return the last of all."""
        encoded = text(document, "EncodingType") == "url"
        objects = [_object(entry, encoded=encoded) for entry in children(document, "Contents")]
        prefixes = [_name(entry, "Prefix", encoded=encoded) for entry in children(document, "CommonPrefixes")]
        found.objects += [info for info in objects if not info.key.startswith(hidden.OWN)]
        for prefix in prefixes:
            if prefix != query.after and await self._is_shown(bucket, prefix):
                found.prefixes.append(prefix)
        return max([*(info.key for info in objects), *prefixes], default="")

    async def _is_shown(self, bucket: str, prefix: str) -> bool:
        """Say whether a common prefix holds any key that is not our own."""
        if not hidden.OWN.startswith(prefix):
            return not prefix.startswith(hidden.OWN)
        if prefix == hidden.OWN:
            return False
        page = await self.list_objects(bucket, ListQuery(prefix, limit=1))
        return bool(page.objects)

    async def list_uploads(self, bucket: str, query: UploadQuery) -> UploadPage:
        """As `Backend.list_uploads`. https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html."""
        if not query.limit:
            (await self._client.send(Ask("HEAD", bucket))).close()
            return UploadPage((), ())
        parameters = {"uploads": "", "encoding-type": "url", "max-uploads": str(min(query.limit, MOST))}
        if query.prefix:
            parameters["prefix"] = query.prefix
        if query.delimiter:
            parameters["delimiter"] = query.delimiter
        if query.after:
            parameters["key-marker"] = query.after if query.after_id else _behind(query.after, query)
        if query.after_id:
            parameters["upload-id-marker"] = query.after_id
        document = await self._client.document(Ask("GET", bucket, query=parameters), ("Upload", "CommonPrefixes"))
        return _upload_page(bucket, document)

    async def initiated(self, upload: Upload) -> datetime:
        """Return when an upload began, which only the listing tells."""
        query = UploadQuery(upload.at.key)
        while True:
            page = await self.list_uploads(upload.at.bucket, query)
            for info in page.uploads:
                if info.upload == upload:
                    return info.initiated
            if not page.last or page.last != upload.at.key:
                return UNKNOWN
            query = query._replace(after=page.last, after_id=page.last_id)


def _behind(after: str, query: ListQuery | UploadQuery) -> str:
    """Return what to list after: a common prefix is through only after the last key that it can hold."""
    at = after.find(query.delimiter, len(query.prefix)) if query.delimiter else -1
    if at < 0 or not after.startswith(query.prefix) or after[: at + len(query.delimiter)] != after:
        return after
    return after + _LAST * ((KEY_LIMIT - len(after.encode())) // _LAST_SIZE)


def _name(entry: Document, element: str, *, encoded: bool) -> str:
    try:
        return unquote_plus(text(entry, element), errors="strict") if encoded else text(entry, element)
    except UnicodeDecodeError as error:
        raise InternalError from error


def _object(entry: Document, *, encoded: bool) -> ObjectInfo:
    tag = etag(entry)
    return ObjectInfo(
        _name(entry, "Key", encoded=encoded),
        int(text(entry, "Size", "0")),
        tag,
        moment(entry, "LastModified"),
        part_count=part_count(tag),
    )


def _upload_page(bucket: str, document: Document) -> UploadPage:
    encoded = text(document, "EncodingType") == "url"
    uploads = [_upload(bucket, entry, encoded=encoded) for entry in children(document, "Upload")]
    prefixes = [_name(entry, "Prefix", encoded=encoded) for entry in children(document, "CommonPrefixes")]
    if text(document, "IsTruncated") != "true":
        return UploadPage(_shown(uploads), prefixes)
    last, last_id = _name(document, "NextKeyMarker", encoded=encoded), text(document, "NextUploadIdMarker")
    return UploadPage(_shown(uploads), prefixes, last, "" if last in prefixes else last_id)


def _shown(uploads: list[UploadInfo]) -> list[UploadInfo]:
    return [info for info in uploads if not info.upload.at.key.startswith(hidden.OWN)]


def _upload(bucket: str, entry: Document, *, encoded: bool) -> UploadInfo:
    upload = Upload(Address(bucket, _name(entry, "Key", encoded=encoded)), text(entry, "UploadId"))
    options = WriteOptions(
        checksum=text(entry, "ChecksumAlgorithm", WriteOptions().checksum),
        composite=text(entry, "ChecksumType") == "COMPOSITE",
    )
    return UploadInfo(upload, moment(entry, "Initiated"), options)
