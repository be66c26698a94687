"""Our own corner of a bucket: small objects that no client sees."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from gateway.backends.gcs.client import API, Client, Request
from gateway.backends.gcs.deleting import delete_together, lots
from gateway.backends.gcs.listing import MOST, Lot, ask
from gateway.backends.gcs.names import object_path
from gateway.backends.gcs.sending import CRC32C, Draft, Tracked, Whole, send_whole
from gateway.errors import NoSuchKey
from gateway.storage import Address, Body

_Thing = TypeVar("_Thing")
_Result = TypeVar("_Result")


async def write(
    client: Client, at: Address, content: bytes, resource: Mapping[str, Any] | None = None, over: str = ""
) -> None:
    """Write a small object, over a generation or whatever is there."""
    body = Body(_one(content), len(content))
    await send_whole(client, Draft(at, resource or {}, CRC32C, over), Whole(Tracked(body, CRC32C)))


async def items(client: Client, bucket: str, prefix: str, start: str = "") -> AsyncIterator[dict[str, Any]]:
    """Give the objects under a prefix, those from the name `start` on."""
    async for lot in _lots(client, bucket, {"prefix": prefix} | ({"startOffset": start} if start else {})):
        for item in lot.items:
            yield item


async def folders(client: Client, bucket: str, prefix: str) -> AsyncIterator[str]:
    """Give what the names under a prefix begin with, up to their next slash; those without one are left out."""
    async for lot in _lots(client, bucket, {"prefix": prefix, "delimiter": "/"}):
        for folder in lot.prefixes:
            yield folder


async def remove_all(client: Client, bucket: str, prefix: str) -> None:
    """Delete what lies under a prefix."""
    await remove_each(client, [Address(bucket, item["name"]) async for item in items(client, bucket, prefix)])


async def remove_each(client: Client, names: Iterable[Address]) -> None:
    """Delete objects whose names are never used again, if they are there."""

    async def remove(at: Address) -> None:
        with suppress(NoSuchKey):
            await client.ask(Request("DELETE", API + object_path(at), at, again=True))

    async def remove_lot(lot: Sequence[Address]) -> Sequence[Address]:
        outcomes = zip(lot, await delete_together(client, lot), strict=True)
        return [at for at, failure in outcomes if failure and not isinstance(failure, NoSuchKey)]

    left = list(names)
    if len(left) > 1:
        left = [at for lot in await each(client, remove_lot, lots(left)) for at in lot]
    await each(client, remove, left)


async def each(client: Client, work: Callable[[_Thing], Awaitable[_Result]], things: Iterable[_Thing]) -> list[_Result]:
    """Do something with each thing, a few at once of all callers; raise the first failure when all are through."""

    async def in_turn(thing: _Thing) -> _Result:
        async with client.turns:
            return await work(thing)

    results = await asyncio.gather(*map(in_turn, things), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


async def _lots(client: Client, bucket: str, query: dict[str, str]) -> AsyncIterator[Lot]:
    token = ""
    while True:
        place = {"pageToken": token} if token else {}
        lot = await ask(client, bucket, query | {"maxResults": str(MOST)} | place)
        yield lot
        if not lot.token:
            return
        token = lot.token


async def _one(content: bytes) -> AsyncIterator[bytes]:
    yield content
