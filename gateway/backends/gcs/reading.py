"""Reads: look at the object, then ask for the bytes of just that generation."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from aiohttp import ClientResponse

from gateway.backends.assembly import span
from gateway.backends.gcs import tables
from gateway.backends.gcs.client import API, Client, Request
from gateway.backends.gcs.names import check_read, object_path
from gateway.backends.gcs.resources import FIELDS, Found, found
from gateway.errors import NoSuchKey, NoSuchVersion, ServiceUnavailable
from gateway.storage import Address, Body, Download, ObjectInfo, ReadOptions

ATTEMPTS: Final = 10  # how often an object is looked for anew that changes just before it is read or written


async def look(client: Client, at: Address) -> Found:
    """Return an object as it is found. Raises: NoSuchKey, NoSuchVersion, AccessDenied."""
    check_read(at)
    if at.version not in {None, "null"}:
        raise NoSuchVersion(Key=at.key, VersionId=str(at.version))
    return await look_inside(client, at)


async def look_inside(client: Client, at: Address) -> Found:
    """Return an object, also one of our own."""
    return found(await client.ask(Request("GET", API + object_path(at), at, {"fields": FIELDS})))


async def head(client: Client, at: Address, options: ReadOptions) -> ObjectInfo:
    """Return what is known of an object."""
    there = await look(client, at)
    return (await _wanted(client, at, there, replace(options, range=None)))[0]


@asynccontextmanager
async def open_object(client: Client, at: Address, options: ReadOptions) -> AsyncIterator[Download]:
    """Open an object, all of one generation."""
    for _ in range(ATTEMPTS):
        there = await look(client, at)
        info, start, stop = await _wanted(client, at, there, options)
        if start == stop:
            yield Download(info, start, stop, b"")
            return
        request = _media(at, there, start, stop)
        try:
            response = await client.respond(request)
        except NoSuchKey:
            continue  # replaced since it was looked at
        async with response:
            if response.headers.get("Content-Length", str(stop - start)) != str(stop - start):
                raise ServiceUnavailable
            yield Download(info, start, stop, _chunks(client, request, response))
            return
    raise ServiceUnavailable


async def chunks_of(client: Client, bucket: str, there: Found) -> AsyncIterator[bytes]:
    """Give all bytes of one generation, also of one of our own. Raises: NoSuchKey, if it is not there any more."""
    size = there.info.size
    if not size:
        return
    request = _media(Address(bucket, there.info.key), there, 0, size)
    async with await client.respond(request) as response:
        async for chunk in _chunks(client, request, response):
            size -= len(chunk)
            yield chunk
    if size:
        raise ServiceUnavailable


def body_of(download: Download) -> Body:
    """Return a download as an upload; it must stay open until that is through."""
    content = download.content
    if isinstance(content, bytes):
        return Body(_one(content), len(content))
    if not isinstance(content, AsyncIterator):
        raise TypeError(content)
    return Body(content, download.stop - download.start)


async def _wanted(client: Client, at: Address, there: Found, options: ReadOptions) -> tuple[ObjectInfo, int, int]:
    """Return what is to be told, and which bytes. Raises as `Backend.get` does."""
    options.conditions.check_read(there.info)
    parts = await tables.parts_of(client, at, there) if options.parts or options.part is not None else ()
    start, stop = span(there.info.size, parts, options)
    return replace(there.info, parts=parts) if options.parts else there.info, start, stop


def _media(at: Address, there: Found, start: int, stop: int) -> Request:
    headers = {"Accept-Encoding": "gzip"}  # else what is stored as gzip comes unpacked
    if (start, stop) != (0, there.info.size):
        headers["Range"] = f"bytes={start}-{stop - 1}"
    return Request("GET", API + object_path(at), at, {"alt": "media", "generation": there.generation}, headers=headers)


async def _chunks(client: Client, request: Request, response: ClientResponse) -> AsyncIterator[bytes]:
    chunks = response.content.iter_any()
    while True:
        with client.translated(request):
            try:
                chunk = await anext(chunks)
            except StopAsyncIteration:
                return
        yield chunk


async def _one(content: bytes) -> AsyncIterator[bytes]:
    yield content
