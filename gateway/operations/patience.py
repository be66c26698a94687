"""Answers to what may take long: white space keeps the connection alive until it is known how the work ends.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from types import MappingProxyType
from typing import Any, Final

from gateway.message import Answer, Call
from gateway.operations import xml

PATIENCE_S: Final = 10.0  # how long the work may be silent before the client is told that it is under way


async def answer_in_time(
    call: Call, work: Coroutine[Any, Any, bytes], headers: Mapping[str, str] = MappingProxyType({})
) -> Answer:
    """Return the answer whose document `work` returns, with what stands in `headers` when it begins.

    Work that is not done in time goes on while the answer is written; an error then ends its content, to stand in the
    body of an answer 200, as S3's does. Where nobody waits for the answer any more, the work is cancelled.
    """
    working = asyncio.create_task(work)
    call.keep_open.callback(_give_up, working)
    await asyncio.wait({working}, timeout=PATIENCE_S)
    content = working.result() if working.done() else _meanwhile(working)
    return Answer(headers={"Content-Type": "application/xml", **headers}, content=content)


def _give_up(working: asyncio.Task[bytes]) -> None:
    """End work that nobody waits for; how it failed was told, or can be told to nobody."""
    if not working.cancel() and not working.cancelled():
        working.exception()


async def _meanwhile(working: asyncio.Task[bytes]) -> AsyncIterator[bytes]:
    yield xml.DECLARATION.encode()
    while not working.done():
        yield b" "
        await asyncio.wait({working}, timeout=PATIENCE_S)
    yield xml.continued(working.result())
