"""Buckets, and the note in each that keeps what a server cannot: the gateway's labels."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple

from gateway.backends.assembly import check_labels
from gateway.backends.dialects import Dialect
from gateway.backends.s3 import hidden
from gateway.backends.s3.client import Ask, Client
from gateway.backends.s3.described import UNKNOWN, etag_of, write_conditions
from gateway.backends.s3.documents import children, moment, text, written
from gateway.backends.s3.listing import Lister
from gateway.conditions import Conditions
from gateway.errors import (
    BucketAlreadyExists,
    BucketNotEmpty,
    InternalError,
    NoSuchBucket,
    NoSuchKey,
    NotImplementedByGateway,
    PreconditionFailed,
    ServiceUnavailable,
)
from gateway.storage import BucketInfo, ListQuery

AT_ONCE: Final = 16  # notes read at the same time
NOTE_LIMIT: Final = 64 * 1024
_WITHOUT_LOCATION: Final = frozenset({"", "us-east-1", "auto"})


class _Note(NamedTuple):
    """The labels of a bucket, and the ETag of the object that keeps them; none where there are none."""

    labels: Mapping[str, str]
    etag: str


class Buckets:
    """The buckets of one account."""

    def __init__(self, client: Client, dialect: Dialect, region: str) -> None:
        self._client, self._dialect, self._region = client, dialect, region
        self._lister = Lister(client)
        self._slots = asyncio.Semaphore(AT_ONCE)  # of all listings together
        self._noting = asyncio.Lock()
        self._created: dict[str, datetime] = {}

    async def all(self) -> Sequence[BucketInfo]:
        """As `Backend.list_buckets`."""
        ages = self._created = await self._ages()
        found = await asyncio.gather(*(self._listed(name, ages[name]) for name in sorted(ages)))
        return [info for info in found if info]

    async def head(self, bucket: str) -> BucketInfo:
        """As `Backend.head_bucket`: the note tells whether the bucket is there, and its labels."""
        try:
            labels = await self.labels(bucket)
        except NoSuchBucket:
            self._created.pop(bucket, None)
            raise
        if bucket not in self._created:
            try:
                self._created |= await self._ages()
            except ServiceUnavailable:  # a key for one bucket may not be told of all
                return BucketInfo(bucket, UNKNOWN, labels)
        return BucketInfo(bucket, self._created.get(bucket, UNKNOWN), labels)

    async def create(self, bucket: str, labels: Mapping[str, str]) -> None:
        """As `Backend.create_bucket`. S3 says nothing where one's own bucket is created again: it is looked for.

        Of several who create it at once it is theirs who first note whose it is.
        """
        with suppress(NoSuchBucket, ServiceUnavailable):  # one that is somebody else's says so when it is to be created
            await self._client.fetch(Ask("HEAD", bucket))
            raise BucketAlreadyExists(BucketName=bucket)
        where = {} if self._region in _WITHOUT_LOCATION else {"LocationConstraint": self._region}
        data = await written("CreateBucketConfiguration", where) if where else b""
        await self._client.fetch(Ask("PUT", bucket, body=data))
        self._created.pop(bucket, None)
        if labels:
            try:
                await self.annotate(bucket, labels, {})
            except PreconditionFailed:
                raise BucketAlreadyExists(BucketName=bucket) from None

    async def delete(self, bucket: str) -> None:
        """As `Backend.delete_bucket`. The note goes first, and comes back if the bucket stays."""
        page = await self._lister.list_objects(bucket, ListQuery(limit=1))
        if page.objects:
            raise BucketNotEmpty(BucketName=bucket)
        note = await self._note(bucket)
        if note.etag:
            await self.annotate(bucket, {})
        try:
            await self._client.fetch(Ask("DELETE", bucket))
        except BucketNotEmpty:
            if note.labels:
                await self.annotate(bucket, note.labels)
            raise
        self._client.forget(bucket)
        self._created.pop(bucket, None)

    async def annotate(self, bucket: str, labels: Mapping[str, str], was: Mapping[str, str] | None = None) -> None:
        """As `Backend.annotate` for a bucket: what its note was is compared by the server.

        Where the server cannot, it is compared before: of two processes that label at once the later one wins.
        """
        async with self._noting:
            await self._annotate(bucket, labels, was)

    async def _annotate(self, bucket: str, labels: Mapping[str, str], was: Mapping[str, str] | None) -> None:
        headers = {}
        if was is not None:
            found = await self._note(bucket)
            check_labels(found.labels, was)
            conditions = Conditions(if_match=(found.etag,)) if found.etag else Conditions(if_none_match=("*",))
            with suppress(NotImplementedByGateway):
                headers = write_conditions(conditions, self._dialect)
        if not labels and not headers:
            await self._client.fetch(Ask("DELETE", bucket, hidden.NOTE))
            return
        data = json.dumps(dict(labels)).encode()
        headers["content-type"] = "application/json"
        await self._client.fetch(Ask("PUT", bucket, hidden.NOTE, headers=headers, body=data))

    async def labels(self, bucket: str) -> Mapping[str, str]:
        """Return the labels of a bucket. Raises NoSuchBucket."""
        return (await self._note(bucket)).labels

    async def _note(self, bucket: str) -> "_Note":
        try:
            headers, data = await self._client.fetch(Ask("GET", bucket, hidden.NOTE), NOTE_LIMIT)
        except NoSuchKey:
            return _Note({}, "")
        try:
            found = json.loads(data)
        except ValueError as error:
            raise InternalError from error  # labels tell whose the bucket is: without them nobody's
        labels = {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}
        return _Note(labels, etag_of(headers))

    async def _listed(self, name: str, created: datetime) -> BucketInfo | None:
        async with self._slots:
            try:
                return BucketInfo(name, created, await self.labels(name))
            except NoSuchBucket:  # deleted just now
                return None

    async def _ages(self) -> dict[str, datetime]:
        """Return when each bucket was created. https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html."""
        found: dict[str, datetime] = {}
        query: dict[str, str] = {}
        while True:
            document = await self._client.document(Ask("GET", query=query), ("Bucket",))
            buckets = document.get("Buckets") or {}
            for entry in children(buckets if isinstance(buckets, dict) else {}, "Bucket"):
                found[text(entry, "Name")] = moment(entry, "CreationDate")
            token = text(document, "ContinuationToken")
            if not token:
                return found
            query = {"continuation-token": token}
