"""What the promises of a backend are tried with."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from hashlib import md5
from random import Random
from typing import Final

from gateway.checksums import Checksum
from gateway.storage import (
    PIECE,
    SMALL,
    Address,
    Backend,
    Body,
    Completion,
    File,
    ListQuery,
    ObjectInfo,
    Part,
    ReadOptions,
    Upload,
    UploadInfo,
    UploadQuery,
    WriteOptions,
)

MIB: Final = 1024 * 1024
SIZES: Final = (0, 1, SMALL - 1, SMALL, SMALL + 1, PIECE, MIB, 5 * MIB + 1)
NOBODY: Final = "there-is-no-such-bucket"
_RANDOM: Final = Random(3).randbytes(5 * MIB + 1)

NASTY: Final = (
    *("a", "a/", "a/b", "a/b/", "a/b/c", "a//b", "a//", "a-b", "a.b", "a0", "A", "A/b", "a b", "a ", " a", "a.", "a:"),
    *(".", "..", "../", "../x", "../../x", "./x", "x/.", "x/..", "x/../y", "x/./y", ".hidden", "...", ".a/b"),
    *("/", "//", "///", "/a", "//a", "/a/", "-", "--", "~", "~/x", "$HOME", "*", "?", "#", "'\"<>&", "\\", "a\\b"),
    *("%", "%%", "%2F", "%2f", "a%2Fb", "%00", "%2E%2E", "a+b", "+", "=", "con", "CON", "nul.txt", "!", "@", "_"),
    *("\0", "a\0b", "\x01", "\n", "a\r\nb", "\t", "\x7f", "\u0085", "\u00a0", "\u200b", "\u202e", "\u2028", "\ufeff"),
    *("é", "e\u0301", "ß", "ü/ö", "日本/語", "\ud7ff", "\ue000", "\uffff", "😀", "a/😀", "\U00010000", "\U0010ffff"),
    *("k" * 254, "k" * 255, "k" * 256, "k" * 300 + "/x", "k" * 1024, "d/" * 512, "/" * 1024, "😀" * 64, "😀" * 256),
    *("%" * 1024, "." * 1024, ("k" * 255 + "/") * 4, "é" * 512, "e/" + "." * 255, "e/.." + "x" * 255),
)


def some(size: int, seed: int = 0) -> bytes:
    """Return `size` bytes, others for another seed."""
    return _RANDOM[seed : seed + size].ljust(size, bytes([seed % 251 + 1]))


def body(data: bytes, *, size: int | None = -1, pieces: int = 100_000) -> Body:
    """Return `data` as an upload that comes in pieces, with its length declared unless another is given."""
    return Body(_chunks(data, pieces), len(data) if size == -1 else size)


async def _chunks(data: bytes, pieces: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), pieces):
        yield data[start : start + pieces]


class BrokenOffError(Exception):
    """A sender that breaks off."""


async def breaking(data: bytes) -> AsyncIterator[bytes]:
    """Send `data` and break off."""
    yield data
    raise BrokenOffError


class Slow:
    """A sender that stops after `data` until it is told to go on; `closed` tells that nobody waits for it any more."""

    def __init__(self, data: bytes, rest: bytes = b"") -> None:
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()
        self.closed = False
        self.body = Body(self._chunks(data, rest), len(data) + len(rest))

    async def _chunks(self, data: bytes, rest: bytes) -> AsyncIterator[bytes]:
        try:
            yield data
            self.reached.set()
            await self.go_on.wait()
            yield rest
        finally:
            self.closed = True


async def put(storage: Backend, at: Address, data: bytes = b"", options: WriteOptions = WriteOptions()) -> ObjectInfo:
    """Store an object."""
    return await storage.put(at, body(data), options)


async def read(storage: Backend, at: Address, options: ReadOptions = ReadOptions()) -> bytes:
    """Return the bytes of an object."""
    async with storage.get(at, options) as download:
        return await drained(download.content, download.stop - download.start)


async def drained(content: bytes | File | AsyncIterator[bytes], size: int) -> bytes:
    """Return the `size` bytes of a download, in whatever form they come, and refuse any other number of them."""
    if isinstance(content, File):
        data = await asyncio.to_thread(os.pread, content.descriptor, size, content.offset)
    elif isinstance(content, bytes):
        data = content
    else:
        data = b"".join([chunk async for chunk in content])
    assert len(data) == size
    return data


def etag(data: bytes) -> str:
    """Return the ETag of an object that was stored at once."""
    return md5(data).hexdigest()


def in_order(items: Iterable[str]) -> list[str]:
    """Return items as a listing has them."""
    return sorted(items, key=str.encode)


async def keys(storage: Backend, bucket: str, query: ListQuery = ListQuery()) -> list[str]:
    """Return all items of a listing, keys and prefixes alike, gathered page by page."""
    found: list[str] = []
    while True:
        page = await storage.list_objects(bucket, query)
        listed = [info.key for info in page.objects]
        assert listed == in_order(listed)
        assert list(page.prefixes) == in_order(page.prefixes)
        items = in_order([*listed, *page.prefixes])
        assert len(items) <= query.limit
        found += items
        if not page.last:
            return found
        assert page.last == items[-1]
        assert page.last != query.after, "a listing must get on"
        query = query._replace(after=page.last)


def folded(names: Iterable[str], query: ListQuery) -> list[str]:
    """Return what a listing must tell of `names`, found in the plainest way."""
    items = set()
    for name in names:
        at = name.find(query.delimiter, len(query.prefix)) if query.delimiter else -1
        item = name if at < 0 else name[: at + len(query.delimiter)]
        inside = at >= 0 and query.after != item
        if name.startswith(query.prefix) and name.encode() > query.after.encode() and (at < 0 or inside):
            items.add(item)
    return in_order(items)


async def uploads(storage: Backend, bucket: str, query: UploadQuery = UploadQuery()) -> list[UploadInfo | str]:
    """Return all uploads and prefixes of a listing, page by page; the prefixes of a page behind its uploads."""
    found: list[UploadInfo | str] = []
    while True:
        page = await storage.list_uploads(bucket, query)
        assert len(page.uploads) + len(page.prefixes) <= query.limit
        found += [*page.uploads, *page.prefixes]
        if not page.last:
            return found
        query = query._replace(after=page.last, after_id=page.last_id)


async def uploaded(storage: Backend, upload: Upload, parts: Iterable[tuple[int, bytes]]) -> list[Part]:
    """Store parts."""
    return [await storage.put_part(upload, number, body(data, pieces=MIB)) for number, data in parts]


def told(parts: Iterable[Part]) -> list[tuple[int, str, int, Checksum | None]]:
    """Return what is to be compared of parts."""
    return [(part.number, part.etag, part.size, part.checksum) for part in parts]


async def completed(
    storage: Backend,
    at: Address,
    parts: Iterable[tuple[int, bytes]],
    options: WriteOptions = WriteOptions(),
) -> ObjectInfo:
    """Make an object of parts."""
    upload = await storage.create_upload(at, options)
    return await storage.complete_upload(upload, await uploaded(storage, upload, parts), Completion())
