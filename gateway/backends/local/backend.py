"""A folder on a local disk as a storage."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from gateway.backends.local import buckets, completing, copying, listing, parts, reading, uploads, writing
from gateway.backends.local.folders import Folders
from gateway.backends.local.root import Root
from gateway.backends.local.scratch import Temp
from gateway.backends.local.threads import Threads
from gateway.checksums import MD5
from gateway.conditions import ANY_STATE, Conditions
from gateway.storage import (
    SMALL,
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

THREADS: Final = 16
LISTING_THREADS: Final = 4  # a long look at a large folder must not keep others from their bytes
REMEMBERED: Final = 64 * 1024 * 1024  # bytes of names of large folders

_END: Final = object()

T = TypeVar("T")


@asynccontextmanager
async def open_local(name: str, root: Path, *, fsync: bool = True) -> AsyncIterator[Backend]:
    """Open a folder as a storage, making it if it is missing; what dead processes left half done is cleaned.

    Several processes may have one root open. Without `fsync` an acknowledged write may be lost in a power cut.
    """
    opened = await asyncio.to_thread(_open, root, fsync=fsync)
    backend = Local(name, opened)
    try:
        yield backend
    finally:
        await backend.close()


def _open(path: Path, *, fsync: bool) -> Root:
    root = Root(path, fsync=fsync)
    try:
        completing.clean(root)
    except BaseException:
        root.close()
        raise
    return root


class Local:
    """Objects as files. What blocks is done in threads, in the modules beside this one."""

    def __init__(self, name: str, root: Root) -> None:
        self.name = name
        self._root = root
        self._folders = Folders(root, REMEMBERED)
        self._threads = Threads(name, THREADS)
        self._listing = Threads(f"{name}-listing", LISTING_THREADS)

    async def close(self) -> None:
        """Wait for what is under way and free everything."""
        await self._threads.close()
        await self._listing.close()
        self._folders.close()
        await asyncio.to_thread(self._root.close)

    # --- buckets ---

    async def list_buckets(self) -> Sequence[BucketInfo]:
        return await self._threads.run(buckets.all_buckets, self._root)

    async def head_bucket(self, bucket: str) -> BucketInfo:
        return await self._threads.run(buckets.head, self._root, bucket)

    async def create_bucket(self, bucket: str, labels: Mapping[str, str]) -> None:
        await self._threads.run(buckets.create, self._root, bucket, labels)

    async def delete_bucket(self, bucket: str) -> None:
        await self._threads.run(buckets.delete, self._root, bucket)

    # --- objects ---

    def get(self, at: Address, options: ReadOptions = ReadOptions()) -> AbstractAsyncContextManager[Download]:
        return reading.Reading(self._root, self._threads, at, options)

    async def head(self, at: Address, options: ReadOptions = ReadOptions()) -> ObjectInfo:
        info = reading.head_at_once(self._root, at, options)
        if info is None:
            info = await self._threads.run(reading.head, self._root, at, options)
        return info

    async def put(self, at: Address, body: Body, options: WriteOptions = WriteOptions()) -> ObjectInfo:
        temp = Temp(self._root.scratch)

        def store() -> ObjectInfo:
            etag, checksum = body.digest[MD5].hex(), body.digest.checksum(options.checksum)
            draft = writing.Draft(temp, writing.describe(at.key, body.received, options, etag, checksum))
            return writing.store(self._root, at, draft, options.conditions)

        body.digest.want(options.checksum)
        return await self._receive(body, temp, partial(writing.check, self._root, at, options.conditions), store)

    async def copy(self, source: Address, to: Address, options: WriteOptions, etag: str) -> ObjectInfo:
        def store() -> ObjectInfo:
            made = writing.describe(to.key, copy.size, options, copy.etag, copy.checksum)
            return writing.store(self._root, to, writing.Draft(copy.temp, made), options.conditions)

        async with self._copied(copying.Copy(self._root, options.checksum)) as copy:
            await self._threads.run(writing.check, self._root, to, options.conditions)
            await self._threads.run(copy.begin, source, ReadOptions(), etag)
            await self._steps(copy.steps())
            return await self._threads.run(store)

    async def annotate(self, at: Address, labels: Mapping[str, str], was: Mapping[str, str] | None = None) -> None:
        if at.key:
            await self._threads.run(writing.annotate, self._root, at, labels, was)
        else:
            await self._threads.run(buckets.annotate, self._root, at.bucket, labels, was)

    async def delete(self, at: Address, conditions: Conditions = ANY_STATE) -> None:
        await self._threads.run(writing.delete, self._root, at, conditions)

    async def list_objects(self, bucket: str, query: ListQuery) -> ListPage:
        return await self._listing.run(listing.list_objects, self._root, self._folders, bucket, query)

    # --- uploads ---

    async def create_upload(self, at: Address, options: WriteOptions = WriteOptions()) -> Upload:
        return await self._threads.run(uploads.create, self._root, at, options)

    async def put_part(self, upload: Upload, number: int, body: Body) -> Part:
        temp = Temp(self._root.scratch)
        algorithm = (await self._threads.run(uploads.look, self._root, upload)).options.checksum

        def store() -> Part:
            checksum = body.digest.checksum(algorithm)
            part = Part(number, body.digest[MD5].hex(), body.received, checksum=checksum)
            return parts.store(self._root, upload, temp, part)

        body.kept = algorithm
        body.digest.want(algorithm)
        return await self._receive(body, temp, lambda: None, store)

    async def copy_part(self, upload: Upload, number: int, source: Address, options: ReadOptions, etag: str) -> Part:
        def store() -> Part:
            part = Part(number, copy.etag, copy.size, checksum=copy.checksum)
            return parts.store(self._root, upload, copy.temp, part)

        algorithm = (await self._threads.run(uploads.look, self._root, upload)).options.checksum
        async with self._copied(copying.Copy(self._root, algorithm)) as copy:
            await self._threads.run(copy.begin, source, options, etag)
            await self._steps(copy.steps())
            return await self._threads.run(store)

    async def list_parts(self, upload: Upload, after: int = 0, limit: int = 1000) -> PartPage:
        return await self._listing.run(parts.page, self._root, upload, after, limit)

    async def list_uploads(self, bucket: str, query: UploadQuery) -> UploadPage:
        return await self._listing.run(uploads.list_uploads, self._root, bucket, query)

    async def complete_upload(self, upload: Upload, parts: Sequence[Part], completion: Completion) -> ObjectInfo:
        assembly = completing.Assembly(self._root, upload)
        try:
            await self._threads.run(assembly.plan, parts, completion)
            await self._steps(assembly.steps())
            if completion.check:
                await completion.check(assembly.download())
            return await self._threads.run(assembly.finish, completion.conditions)
        finally:
            await self._threads.surely(assembly.discard)

    async def abort_upload(self, upload: Upload) -> None:
        await self._threads.run(uploads.abort, self._root, upload)

    # --- work in threads ---

    async def _receive(self, body: Body, temp: Temp, check: Callable[[], None], store: Callable[[], T]) -> T:
        """Write a body into a temporary file and store that; a small one in a single thread's turn."""

        def begin() -> None:
            check()
            temp.open()

        def at_once(data: bytes) -> T:
            begin()
            temp.write(data)
            return finish()

        def finish() -> T:
            try:
                return store()
            finally:
                temp.discard()

        body.digest.want(MD5)
        try:
            if body.size is not None and body.size <= SMALL:
                return await self._threads.run(at_once, await body.read())
            await self._threads.run(begin)
            await body.pour(temp.write, self._threads.run)
            return await self._threads.run(finish)
        finally:
            if temp.is_open:
                await self._threads.surely(temp.discard)

    async def _steps(self, steps: Generator[None, None, None]) -> None:
        """Take the steps of a long piece of work one by one, so that it can be cancelled in between."""
        try:
            while await self._threads.run(next, steps, _END) is not _END:
                pass
        finally:
            await self._threads.surely(steps.close)

    @asynccontextmanager
    async def _copied(self, copy: copying.Copy) -> AsyncIterator[copying.Copy]:
        try:
            yield copy
        finally:
            await self._threads.surely(copy.discard)
