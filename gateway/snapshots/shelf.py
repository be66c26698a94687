"""Where the snapshots of a bucket are kept: under `.gw/snapshot/` of a bucket, hidden from clients."""

import asyncio
import re
import secrets
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, BinaryIO, Final, NamedTuple

from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import InvalidRange, NoSuchKey, NoSuchVersion, NotImplementedByGateway, S3Error
from gateway.replication import corner
from gateway.replication.echo import own_name
from gateway.snapshots.manifest import MOST_HEAD, Draft, Head, Manifest, head_of, packed
from gateway.snapshots.signing import Signer, Untrusted
from gateway.storage import (
    PIECE,
    PRIVATE,
    Address,
    Backend,
    Body,
    Completion,
    Download,
    ListQuery,
    ReadOptions,
    WriteOptions,
)
from gateway.transfer import bytes_of, chunks_of, room_at_once

PART: Final = 64 * 1024 * 1024  # what is longer is stored in parts
_END: Final = ".jsonl.gz"
_ID: Final = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
_NEW: Final = WriteOptions({"content-type": "application/gzip"}, conditions=Conditions(if_none_match=("*",)))
_REPORT: Final = WriteOptions({"content-type": "application/json"}, conditions=Conditions(if_none_match=("*",)))
_MOST_REPORT: Final = 64 * 1024  # bytes


class Kept(NamedTuple):
    """A snapshot: its head, or why it is not believed; and what the last rehearsal with it has found."""

    id: str
    head: Head | None
    problem: str = ""
    drill: Mapping[str, Any] | None = None


class NoSuchSnapshot(NoSuchVersion):
    """There is none of that id."""

    message = "There is no such snapshot."


class Shelf:
    """The snapshots of `bucket`, kept in the bucket `place` of a storage."""

    def __init__(self, storage: Backend, place: str, bucket: str, signer: Signer) -> None:
        self._storage, self._place, self._bucket, self._signer = storage, place, bucket, signer
        self._prefix = f"{PRIVATE}snapshot/{own_name(bucket)}/"

    # --- manifests ---

    async def put(self, draft: Draft, head: Head) -> None:
        """Store a manifest, whole or not at all. Raises: S3Error."""
        try:
            await self._put(draft, head, _NEW)
        except NotImplementedByGateway:  # a storage without conditions: of two ids made at random none is the other
            await self._put(draft, head, replace(_NEW, conditions=ANY_STATE))

    async def _put(self, draft: Draft, head: Head, options: WriteOptions) -> None:
        beginning = packed(head, self._signer)
        size = len(beginning) + head.length
        draft.file.seek(0)
        source = _Stretches(beginning, draft.file)
        if size <= PART:
            await self._storage.put(self._at(head.id), Body(source.take(size), size), options)
            return
        upload = await self._storage.create_upload(self._at(head.id), options)
        try:
            parts = [
                await self._storage.put_part(upload, number, Body(source.take(length), length))
                for number, length in enumerate(_lengths(size), 1)
            ]
            await self._storage.complete_upload(upload, parts, Completion(options.conditions, size))
        except BaseException:
            with suppress(S3Error):
                await self._storage.abort_upload(upload)
            raise

    async def list(self) -> AsyncIterator[Kept]:
        """Give all, the oldest first. Raises: S3Error."""
        for identity in await self._ids():
            yield await self._kept(identity)

    async def identity_of(self, said: str) -> str:
        """Return the id that is said, or with `latest` that of the newest one that can be believed.

        Raises: NoSuchSnapshot, S3Error.
        """
        if said != "latest":
            return said
        for identity in reversed(await self._ids()):
            with suppress(NoSuchSnapshot, Untrusted):
                return (await self._head(identity))[0].id
        raise NoSuchSnapshot(f"There is no snapshot of {self._bucket}.")

    async def _kept(self, identity: str) -> Kept:
        try:
            return Kept(identity, (await self._head(identity))[0], drill=await self.last_drill(identity))
        except (Untrusted, NoSuchSnapshot) as error:
            return Kept(identity, None, str(error))

    async def _ids(self) -> Sequence[str]:
        """Return the names under which there is anything, the oldest first."""
        found: list[str] = []
        query = ListQuery(self._prefix, "/")
        while True:
            page = await self._storage.list_objects(self._place, query)
            names = [info.key.removeprefix(self._prefix) for info in page.objects]
            found += [name.removesuffix(_END) for name in names if name.endswith(_END)]
            if not page.last:
                return found
            query = query._replace(after=page.last)

    @asynccontextmanager
    async def opened(self, identity: str) -> AsyncIterator[Manifest]:
        """Open a manifest, all of it read and believed. Raises: NoSuchSnapshot, Untrusted, S3Error."""
        head, start = await self._head(identity)
        with tempfile.TemporaryFile() as file:
            if head.length:
                await self._fetch(identity, slice(start, start + head.length), file)
            yield await asyncio.to_thread(Manifest, head, file)

    async def _fetch(self, identity: str, span: slice, file: BinaryIO) -> None:
        async with self._found(identity, ReadOptions(range=span)) as download:
            with room_at_once(download):
                async for chunk in chunks_of(download):
                    await asyncio.to_thread(file.write, chunk)

    async def _head(self, identity: str) -> tuple[Head, int]:
        async with self._found(identity, ReadOptions(range=slice(0, MOST_HEAD))) as download:
            beginning = await bytes_of(download)
        head, length = head_of(beginning, self._signer)
        if (head.id, head.subject.bucket) != (identity, self._bucket):
            raise Untrusted(f"It is the snapshot {head.id} of {head.subject.bucket}, under a name that is not its own.")
        return head, length

    @asynccontextmanager
    async def _found(self, identity: str, options: ReadOptions) -> AsyncIterator[Download]:
        try:
            async with self._storage.get(self._at(identity), options) as download:
                yield download
        except NoSuchKey as error:
            raise NoSuchSnapshot from error
        except InvalidRange as error:
            raise Untrusted("It is cut off.") from error

    async def delete(self, identity: str) -> None:
        """Delete a snapshot and the reports of it, believed or not. Raises: NoSuchSnapshot, S3Error."""
        at = self._at(identity)
        try:
            await self._storage.head(at)
        except NoSuchKey as error:
            raise NoSuchSnapshot from error
        await self._storage.delete(at)
        await corner.remove(self._storage, self._place, self._reports(identity))

    # --- reports of rehearsals ---

    async def report(self, identity: str, began: datetime, document: Mapping[str, Any]) -> str:
        """Store what a rehearsal has found, signed, beside its manifest, and return its key. Raises: S3Error."""
        key = f"{self._reports(identity)}{new_id(began)}.json"
        data = self._signer.sign(document)
        await self._storage.put(Address(self._place, key), Body(_once(data), len(data)), _REPORT)
        return key

    async def last_drill(self, identity: str) -> Mapping[str, Any] | None:
        """Return the newest report of a snapshot that can be believed. Raises: S3Error."""
        page = await self._storage.list_objects(self._place, ListQuery(self._reports(identity)))
        for info in reversed(page.objects):
            with suppress(NoSuchKey, Untrusted):
                async with self._storage.get(Address(self._place, info.key), _WHOLE_REPORT) as download:
                    document = self._signer.read(await bytes_of(download))
                if document.get("snapshot") == identity:
                    return document
        return None

    def _at(self, identity: str) -> Address:
        if not _ID.fullmatch(identity):
            raise NoSuchSnapshot(f"{identity!r} is no id of a snapshot.")
        return Address(self._place, f"{self._prefix}{identity}{_END}")

    def _reports(self, identity: str) -> str:
        return f"{self._prefix}{identity}.drill/"


_WHOLE_REPORT: Final = ReadOptions(range=slice(0, _MOST_REPORT))


def new_id(now: datetime) -> str:
    """Return an id that sorts, and reads, by its time."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def _lengths(size: int) -> Sequence[int]:
    return [min(PART, size - start) for start in range(0, size, PART)]


class _Stretches:
    """What is in memory and then in a file, taken in stretches."""

    def __init__(self, beginning: bytes, file: BinaryIO) -> None:
        self._beginning, self._file = beginning, file

    async def take(self, size: int) -> AsyncIterator[bytes]:
        """Give the next `size` bytes."""
        while size:
            piece, self._beginning = self._beginning[:size], self._beginning[size:]
            piece = piece or await asyncio.to_thread(self._file.read, min(PIECE, size))
            if not piece:
                return  # refused as too short
            size -= len(piece)
            yield piece


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
