"""Tells a program of what became of images: signed, a few at once, and at nobody's cost.

What is told may come twice, and is lost if the program is away for longer than it is tried, or the gateway ends.
"""

import asyncio
import hmac
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from gateway import metrics
from gateway.beside import beside

SIGNATURE: Final = "x-gateway-signature"
WAITING: Final = 1000  # what is to be told at most; beyond that nobody is told
AT_ONCE: Final = 4
PAUSES: Final = (1.0, 5.0, 25.0)  # seconds before it is tried again
_LAST_WORDS: Final = 5.0  # seconds for what is still to be told when the gateway ends
_GOOD: Final = range(200, 300)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who is told, and by what he knows that it was us."""

    url: str
    secret: str = field(repr=False)
    timeout: float = 5.0
    ca: Path | None = None

    @property
    def host(self) -> str:
        """What a log may tell of him: the rest of the URL may be a secret."""
        return urlsplit(self.url).netloc


class Hook:
    """What is to be told, and who tells it."""

    def __init__(self, receiver: Receiver, session: ClientSession, pauses: Sequence[float] = PAUSES) -> None:
        self._receiver, self._session, self._pauses = receiver, session, pauses
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(WAITING)

    def tell(self, event: str, told: Mapping[str, Any]) -> None:
        """Have something told soon; it neither waits nor fails."""
        try:
            self._waiting.put_nowait(json.dumps({"event": event, **told}, default=str).encode())
        except asyncio.QueueFull:
            metrics.IMAGE_HOOKS.labels("dropped").inc()

    async def run(self) -> None:
        """Tell for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._tell_each())

    async def told(self) -> None:
        """Wait until all was told, or given up."""
        await self._waiting.join()

    async def _tell_each(self) -> None:
        while True:
            body = await self._waiting.get()
            try:
                is_told = await self._tell(body)
                metrics.IMAGE_HOOKS.labels("delivered" if is_told else "failed").inc()
            finally:
                self._waiting.task_done()

    async def _tell(self, body: bytes) -> bool:
        error = ""
        for pause in (0.0, *self._pauses):
            await asyncio.sleep(pause)
            error = await self._post(body)
            if not error:
                return True
        log.warning("image_hook_failed", receiver=self._receiver.host, error=error)
        return False

    async def _post(self, body: bytes) -> str:
        """Send it once, to no other place than that, and return what was wrong, if anything was."""
        headers = {"Content-Type": "application/json", SIGNATURE: signature(self._receiver.secret, body, time.time())}
        try:
            post = self._session.post(self._receiver.url, data=body, headers=headers, allow_redirects=False)
            async with post as response:
                return "" if response.status in _GOOD else str(response.status)
        except (ClientError, OSError, TimeoutError, ValueError) as error:
            return type(error).__name__


def signature(secret: str, body: bytes, now: float) -> str:
    """Return what shows that a body is ours, and of when: who knows the secret makes it anew and compares."""
    moment = str(int(now))
    return f"t={moment},v1={hmac.digest(secret.encode(), f'{moment}.'.encode() + body, 'sha256').hex()}"


Tell = Callable[[str, Mapping[str, Any]], None]


@asynccontextmanager
async def telling_of(receiver: Receiver | None, pauses: Sequence[float] = PAUSES) -> AsyncIterator[Tell]:
    """Return what tells the receiver, if there is one. Raises: OSError, if his authorities cannot be read."""
    if receiver is None:
        yield lambda _event, _told: None
        return
    context = await asyncio.to_thread(ssl.create_default_context, cafile=receiver.ca)
    session = ClientSession(
        connector=TCPConnector(limit=AT_ONCE, ssl=context),
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=receiver.timeout),
        headers={"User-Agent": "s3-gateway"},
    )
    async with session:
        hook = Hook(receiver, session, pauses)
        async with beside(hook.run):
            yield hook.tell
            with suppress(TimeoutError):
                await asyncio.wait_for(hook.told(), _LAST_WORDS)
