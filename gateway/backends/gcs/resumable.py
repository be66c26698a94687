"""Bodies whose length nobody knows beforehand: sent in steps, of which each can be repeated.

https://cloud.google.com/storage/docs/performing-resumable-uploads#chunked-upload
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

from aiohttp import ClientResponse

from gateway.backends.gcs.client import PAUSES, Client, Request
from gateway.backends.gcs.sending import Draft, Tracked, send
from gateway.errors import InternalError, InvalidArgument, S3Error, ServiceUnavailable
from gateway.storage import PIECE, Address

STEP: Final = 8 * 256 * 1024  # the storage takes multiples of 256 KiB
INCOMPLETE: Final = 308
_RANGE: Final = re.compile(r"bytes=0-([0-9]{1,18})")


class Steps:
    """A body in steps of equal length. The last has from one byte to that many, none only if the body is empty."""

    def __init__(self, tracked: Tracked) -> None:
        self.tracked, self.ended = tracked, False
        self._source: AsyncIterator[bytes] | None = None
        self._kept = bytearray()

    async def next(self) -> bytes:
        """Return the next step; `ended` tells that it was the last."""
        self._source = self._source or aiter(self.tracked)
        while len(self._kept) <= STEP and not self.ended:
            try:
                self._kept += await anext(self._source)
            except StopAsyncIteration:
                self.ended = True
        if len(self._kept) > STEP:
            self.ended = False
        step = bytes(self._kept[:STEP])
        del self._kept[:STEP]
        return step


async def send_steps(client: Client, draft: Draft, first: bytes, steps: Steps) -> dict[str, Any]:
    """Store an object of unknown length, but for what only its end tells; return its resource."""
    session = await _Session.begin(client, draft)
    try:
        step, offset = first, 0
        while not steps.ended:
            await session.push(step, offset)
            offset += len(step)
            step = await steps.next()
        hashes = {"X-Goog-Hash": f"crc32c={steps.tracked.crc32c}"}
        return await session.finish(step, offset, hashes)
    except BaseException:
        await session.cancel()
        raise


class _Session:
    """A place at the storage where bytes gather until the last one makes them an object."""

    def __init__(self, client: Client, at: Address, url: str) -> None:
        self._client, self._at, self._url = client, at, url

    @classmethod
    async def begin(cls, client: Client, draft: Draft) -> "_Session":
        request = draft.request("resumable", {}, name=draft.at.key)._replace(content=draft.resource, again=True)
        async with await client.respond(request) as response:
            url = response.headers.get("Location", "")
        if not url:
            raise ServiceUnavailable
        return cls(client, draft.at, url)

    async def push(self, step: bytes, offset: int) -> None:
        """Send bytes after which others follow."""
        answer = await self._persist(step, offset, "*", {})
        if answer is not None:
            raise InternalError  # an object was made of less than all

    async def finish(self, step: bytes, offset: int, hashes: dict[str, str]) -> dict[str, Any]:
        """Send the last bytes; return the resource of the object."""
        answer = await self._persist(step, offset, str(offset + len(step)), hashes)
        if answer is None:
            raise ServiceUnavailable
        return answer

    async def cancel(self) -> None:
        """Give up what was sent. The storage forgets it within a week in any case."""
        with suppress(S3Error):  # success is said by status 499
            (await self._client.respond(Request("DELETE", self._url, self._at))).close()

    async def _persist(self, step: bytes, offset: int, total: str, hashes: dict[str, str]) -> dict[str, Any] | None:
        """Send until all of a step is there: the storage may keep a part of it, and answers may be lost."""
        there, stop = offset, offset + len(step)
        for pause in (*PAUSES, 0):
            try:
                answer = await self._put(step[there - offset :], there, total, hashes)
            except (ServiceUnavailable, InvalidArgument):  # a repetition beneath us may have sent it twice
                if not pause:
                    raise
                await asyncio.sleep(pause)
                answer = await self._put(b"", there, total, {})
            if isinstance(answer, dict):
                return answer
            if not offset <= answer <= stop:
                break
            there = answer
            if there == stop and total == "*":
                return None
        raise ServiceUnavailable

    async def _put(self, data: bytes, offset: int, total: str, hashes: dict[str, str]) -> dict[str, Any] | int:
        """Send bytes, or ask with none how many are there."""
        span = f"{offset}-{offset + len(data) - 1}" if data else "*"
        headers = {"Content-Range": f"bytes {span}/{total}", "Content-Length": str(len(data)), **hashes}
        request = Request("PUT", self._url, self._at, headers=headers, again=True)

        async def read(response: ClientResponse) -> dict[str, Any] | int:
            if response.status != INCOMPLETE:
                return await self._client.document(request, response)
            persisted = _RANGE.fullmatch(response.headers.get("Range", ""))
            return int(persisted[1]) + 1 if persisted else 0

        return await send(self._client, request, _pieces(data), read)


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]
