"""Our own corner of a bucket: small objects that no client sees."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from gateway.backends.gcs.client import Client
from gateway.backends.gcs.listing import MOST, ask
from gateway.backends.gcs.sending import CRC32C, Draft, Whole, send_whole
from gateway.backends.gcs.writing import remove
from gateway.errors import NoSuchKey
from gateway.storage import Address, Body

AT_ONCE: Final = 16  # requests of one call of ours
_Thing = TypeVar("_Thing")
_Result = TypeVar("_Result")


async def write(
    client: Client, at: Address, content: bytes, resource: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Write a small object, replacing an earlier one; return its resource."""
    body = Body(_one(content), len(content))
    body.digest.want(CRC32C)
    return await send_whole(client, Draft(at, resource or {}, CRC32C), Whole(body))


async def items(client: Client, bucket: str, prefix: str, start: str = "") -> AsyncIterator[dict[str, Any]]:
    """Give the objects under a prefix, those from the name `start` on."""
    query = {"prefix": prefix, "maxResults": str(MOST)} | ({"startOffset": start} if start else {})
    token = ""
    while True:
        lot = await ask(client, bucket, query | ({"pageToken": token} if token else {}))
        for item in lot.items:
            yield item
        if not lot.token:
            return
        token = lot.token


async def remove_all(client: Client, bucket: str, prefix: str) -> None:
    """Delete what lies under a prefix."""

    async def remove_one(name: str) -> None:
        try:
            await remove(client, Address(bucket, name))
        except NoSuchKey:
            return

    await each(remove_one, [item["name"] async for item in items(client, bucket, prefix)])


async def each(work: Callable[[_Thing], Awaitable[_Result]], things: Iterable[_Thing]) -> list[_Result]:
    """Do something with each thing, a few at once; raise the first failure when all are through."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def in_turn(thing: _Thing) -> _Result:
        async with turns:
            return await work(thing)

    results = await asyncio.gather(*map(in_turn, things), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


async def _one(content: bytes) -> AsyncIterator[bytes]:
    yield content
