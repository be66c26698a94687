"""Open the storage: a pool of connections, and tokens to show where they are asked for."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import ClientSession, DummyCookieJar, TCPConnector

from gateway.backends.gcs.backend import Gcs
from gateway.backends.gcs.buckets import Account
from gateway.backends.gcs.client import PATIENT, Client, Patience
from gateway.backends.gcs.credentials import Credentials, find_token
from gateway.storage import Backend

ENDPOINT: Final = "https://storage.googleapis.com"
EMULATOR: Final = "STORAGE_EMULATOR_HOST"  # as Google's own libraries have it
BUFFER: Final = 256 * 1024


@asynccontextmanager
async def open_gcs(  # noqa: PLR0913 - one for each setting
    name: str,
    *,
    project: str | None = None,
    credentials: Path | None = None,
    endpoint: str | None = None,
    location: str | None = None,
    storage_class: str | None = None,
    patience: Patience = PATIENT,
) -> AsyncIterator[Backend]:
    """Open a project. With an endpoint and no credentials none are shown. Raises OSError for credentials unreadable."""
    endpoint = endpoint or _emulator()
    timeout, connector = patience.timeout, TCPConnector(limit=0)
    async with ClientSession(
        connector=connector,
        timeout=timeout,
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        read_bufsize=BUFFER,
    ) as session:
        shown = await _credentials(name, credentials, session) if credentials or not endpoint else None
        try:
            client = Client(name, session, (endpoint or ENDPOINT).rstrip("/"), shown, patience)
            yield Gcs(client, Account(project or "", location or "", storage_class or ""))
        finally:
            if shown:
                await shown.close()


async def _credentials(name: str, file: Path | None, session: ClientSession) -> Credentials:
    return Credentials(name, await asyncio.to_thread(find_token, file, session))


def _emulator() -> str | None:
    host = os.environ.get(EMULATOR)
    return host if not host or "://" in host else f"http://{host}"
