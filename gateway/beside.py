"""What is done beside all else, for as long as something else goes on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog

Work = Callable[[], Coroutine[Any, Any, None]]
PAUSE: Final = 5.0  # seconds, before a work is begun again that has failed

log = structlog.get_logger()


@asynccontextmanager
async def beside(*works: Work, pause: float = PAUSE) -> AsyncIterator[None]:
    """Do works meanwhile; in the end they are cancelled, and waited for.

    One that fails is told of in the log, and begun again: none is missing unnoticed while a gateway runs for months.
    """
    tasks = [asyncio.create_task(_keep_at(work, pause)) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_at(work: Work, pause: float) -> None:
    while True:
        try:
            await work()
        except Exception:
            log.exception("background_failed")
        else:
            return
        await asyncio.sleep(pause)
