"""Where things are tried: a corner of a bucket that nobody else looks at, and that is empty again afterwards."""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from gateway.errors import S3Error
from gateway.storage import (
    PRIVATE,
    Address,
    Backend,
    Body,
    File,
    ListQuery,
    ObjectInfo,
    ReadOptions,
    Upload,
    UploadQuery,
    WriteOptions,
)

CORNER: Final = f"{PRIVATE}doctor/"
CLEANING: Final = 60.0  # seconds
FORGOTTEN: Final = 86400.0  # seconds after which what a doctor that was killed left behind is cleared away
_DIGITS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM: Final = 80  # bits
_LENGTH: Final = 26


@dataclass(slots=True)
class Ground:
    """The keys that begin with `prefix` in a bucket of a backend, of which `below` is what the gateway has."""

    backend: Backend
    bucket: str
    below: str = ""
    name: str = field(default_factory=lambda: _ulid())  # noqa: PLW0108  it stands below
    uploads: list[Upload] = field(default_factory=list)

    @property
    def corner(self) -> str:
        """What the keys of all doctors begin with."""
        return self.below + CORNER

    @property
    def prefix(self) -> str:
        """What the keys of this one begin with."""
        return f"{self.corner}{self.name}/"

    def at(self, name: str) -> Address:
        """Return where an object of that name lies."""
        return Address(self.bucket, self.prefix + name)

    async def put(self, name: str, data: bytes, options: WriteOptions = WriteOptions()) -> ObjectInfo:
        """Store a small object."""
        return await self.backend.put(self.at(name), body_of(data), options)

    async def read(self, name: str, options: ReadOptions = ReadOptions()) -> bytes:
        """Return a small object."""
        async with self.backend.get(self.at(name), options) as download:
            content = download.content
            if isinstance(content, bytes):
                return content
            if isinstance(content, File):
                size = download.stop - download.start
                return await asyncio.to_thread(os.pread, content.descriptor, size, content.offset)
            return b"".join([piece async for piece in content])

    async def upload(self, name: str, options: WriteOptions = WriteOptions()) -> Upload:
        """Begin an upload; it is aborted in the end if nobody completed it."""
        upload = await self.backend.create_upload(self.at(name), options)
        self.uploads.append(upload)
        return upload


def body_of(data: bytes) -> Body:
    """Return bytes as a body of that size."""

    async def chunks() -> AsyncIterator[bytes]:
        yield data

    return Body(chunks(), len(data))


@asynccontextmanager
async def cleared(ground: Ground) -> AsyncIterator[None]:
    """Remove everything that is done on the ground, whatever happens. Raises: S3Error, TimeoutError if it stays."""
    try:
        yield
    finally:
        cleaning = asyncio.ensure_future(_clean(ground))
        try:
            await asyncio.shield(cleaning)
        except asyncio.CancelledError:
            await cleaning
            raise


async def _clean(ground: Ground) -> None:
    async with asyncio.timeout(CLEANING):
        for upload in ground.uploads:
            with suppress(S3Error):  # completed, most of them
                await ground.backend.abort_upload(upload)
        with suppress(S3Error):  # not every server lists uploads by prefix
            for info in (await ground.backend.list_uploads(ground.bucket, UploadQuery(ground.prefix))).uploads:
                await ground.backend.abort_upload(info.upload)
        await _remove(ground, ground.prefix)
        for prefix in (await ground.backend.list_objects(ground.bucket, ListQuery(ground.corner, "/"))).prefixes:
            if _age(prefix.removeprefix(ground.corner).rstrip("/")) > FORGOTTEN:
                await _remove(ground, prefix)


async def _remove(ground: Ground, prefix: str) -> None:
    while objects := (await ground.backend.list_objects(ground.bucket, ListQuery(prefix))).objects:
        for info in objects:
            await ground.backend.delete(Address(ground.bucket, info.key))


def _ulid() -> str:
    """Return a name that nobody else has and that tells its time. https://github.com/ulid/spec."""
    number = (int(time.time() * 1000) << _RANDOM) | secrets.randbits(_RANDOM)
    return "".join(_DIGITS[number >> 5 * place & 31] for place in reversed(range(_LENGTH)))


def _age(name: str) -> float:
    """Return the seconds since a name was made; 0 for a name that is none of ours."""
    if len(name) != _LENGTH or not set(name) <= set(_DIGITS):
        return 0.0
    number = 0
    for digit in name:
        number = number << 5 | _DIGITS.index(digit)
    return time.time() - (number >> _RANDOM) / 1000
