"""An account on a server that speaks S3 as a storage."""

import unicodedata
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Unpack

from gateway.backends.dialects import AWS, Dialect, dialect_of
from gateway.backends.s3 import hidden
from gateway.backends.s3.buckets import Buckets
from gateway.backends.s3.client import Client
from gateway.backends.s3.copying import Copier
from gateway.backends.s3.endpoint import Endpoint, aws_url, endpoint_of
from gateway.backends.s3.labelling import Labeller
from gateway.backends.s3.listing import Lister
from gateway.backends.s3.reading import Reader
from gateway.backends.s3.settings import Options, Settings
from gateway.backends.s3.uploads import Uploads
from gateway.backends.s3.writing import Writer
from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import InvalidArgument, NoSuchVersion
from gateway.storage import (
    Address,
    Backend,
    Body,
    BucketInfo,
    Completion,
    Download,
    ListPage,
    ListQuery,
    ObjectInfo,
    Part,
    PartPage,
    ReadOptions,
    Upload,
    UploadPage,
    UploadQuery,
    WriteOptions,
)

R2_URL: Final = "https://{place}.r2.cloudflarestorage.com"


@asynccontextmanager
async def open_s3(name: str, **settings: Unpack[Options]) -> AsyncIterator[Backend]:
    """Open an account; nothing is asked of the server before something is asked of the storage.

    The settings are those of `Settings`. Raises ValueError for an endpoint that is none.
    """
    said = Settings(**settings)
    known = endpoint_of(said.endpoint or aws_url(said.region or AWS.region), virtual=False)
    dialect = dialect_of(known.host, said.dialect)
    virtual = dialect.virtual_hosts if said.addressing == "auto" else said.addressing == "virtual"
    backend = S3(name, known._replace(virtual=virtual), said, dialect)
    try:
        yield backend
    finally:
        await backend.close()


def open_r2(
    name: str, account: str, jurisdiction: str | None = None, **settings: Unpack[Options]
) -> AbstractAsyncContextManager[Backend]:
    """Open an account of Cloudflare R2. https://developers.cloudflare.com/r2/reference/data-location/."""
    place = f"{account}.{jurisdiction}" if jurisdiction else account
    settings.setdefault("endpoint", R2_URL.format(place=place))
    settings["dialect"] = "r2"
    return open_s3(name, **settings)


class S3:
    """Buckets and objects of one account, under their own names. What is done about them is beside this module."""

    def __init__(self, name: str, endpoint: Endpoint, settings: Settings, dialect: Dialect) -> None:
        self.name = name
        self.url = f"{endpoint.scheme}://{endpoint.host}"
        region = settings.region or dialect.region
        self._dialect = dialect
        self._client = Client(name, endpoint, settings, region)
        self._buckets = Buckets(self._client, dialect, region)
        self._lister = Lister(self._client)
        self._reader = Reader(self._client, dialect)
        self._uploads = Uploads(name, self._client, dialect, self._reader)
        self._writer = Writer(name, self._client, dialect, self._uploads)
        self._copier = Copier(self._client, dialect, self._reader, self._writer, self._uploads)
        self._labeller = Labeller(dialect, self._reader, self._writer, self._copier)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    @property
    def spoken(self) -> tuple[Client, Dialect]:
        """How the server is asked, and what it is taken to know: for who wants to see whether it does."""
        return self._client, self._dialect

    # --- buckets ---

    async def list_buckets(self) -> Sequence[BucketInfo]:
        return await self._buckets.all()

    async def head_bucket(self, bucket: str) -> BucketInfo:
        return await self._buckets.head(bucket)

    async def create_bucket(self, bucket: str, labels: Mapping[str, str]) -> None:
        await self._buckets.create(bucket, labels)

    async def delete_bucket(self, bucket: str) -> None:
        await self._buckets.delete(bucket)

    # --- objects ---

    def get(self, at: Address, options: ReadOptions = ReadOptions()) -> AbstractAsyncContextManager[Download]:
        self._check(at)
        return self._reader.get(at, options)

    async def head(self, at: Address, options: ReadOptions = ReadOptions()) -> ObjectInfo:
        self._check(at)
        return await self._reader.head(at, options)

    async def put(self, at: Address, body: Body, options: WriteOptions = WriteOptions()) -> ObjectInfo:
        self._check(at)
        return await self._writer.put(at, body, options)

    async def copy(self, source: Address, to: Address, options: WriteOptions, etag: str) -> ObjectInfo:
        self._check(source)
        self._check(to)
        return await self._copier.copy(source, to, options, etag)

    async def annotate(self, at: Address, labels: Mapping[str, str], was: Mapping[str, str] | None = None) -> None:
        if not at.key:
            await self._buckets.annotate(at.bucket, labels, was)
            return
        self._check(at)
        await self._labeller.annotate(at, labels, was)

    async def delete(self, at: Address, conditions: Conditions = ANY_STATE) -> None:
        self._check(at)
        await self._writer.delete(at, conditions)

    async def list_objects(self, bucket: str, query: ListQuery) -> ListPage:
        return await self._lister.list_objects(bucket, query)

    # --- uploads ---

    async def create_upload(self, at: Address, options: WriteOptions = WriteOptions()) -> Upload:
        self._check(at)
        return await self._uploads.create(at, options)

    async def put_part(self, upload: Upload, number: int, body: Body) -> Part:
        self._check(upload.at)
        return await self._uploads.put_part(upload, number, body)

    async def copy_part(self, upload: Upload, number: int, source: Address, options: ReadOptions, etag: str) -> Part:
        self._check(upload.at)
        self._check(source)
        return await self._copier.copy_part(upload, number, source, options.range, etag)

    async def list_parts(self, upload: Upload, after: int = 0, limit: int = 1000) -> PartPage:
        self._check(upload.at)
        return await self._uploads.list_parts(upload, after, limit)

    async def list_uploads(self, bucket: str, query: UploadQuery) -> UploadPage:
        return await self._lister.list_uploads(bucket, query)

    async def complete_upload(self, upload: Upload, parts: Sequence[Part], completion: Completion) -> ObjectInfo:
        self._check(upload.at)
        return await self._uploads.complete(upload, parts, completion)

    async def abort_upload(self, upload: Upload) -> None:
        self._check(upload.at)
        await self._uploads.abort(upload)

    def _check(self, at: Address) -> None:
        """Refuse what is not there for clients, or could not be told apart.

        Raises: AccessDenied, NoSuchVersion, InvalidArgument.
        """
        hidden.check(at.key)
        if at.version not in {None, "null"}:
            raise NoSuchVersion(Key=at.key, VersionId=str(at.version))
        if self._dialect.normalized_keys and not unicodedata.is_normalized("NFC", at.key):
            raise InvalidArgument(
                f"The storage behind this bucket ({self._dialect.name}) takes only keys in Unicode's form NFC: "
                "others would become one object with the key in that form.",
                ArgumentName="Key",
                ArgumentValue=at.key,
            )
