"""Open the storage: a pool of connections, and tokens to show where they are asked for."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Unpack

from aiohttp import ClientSession, DummyCookieJar, TCPConnector

from gateway.backends.gcs.backend import Gcs
from gateway.backends.gcs.buckets import Account
from gateway.backends.gcs.client import Client, Patience
from gateway.backends.gcs.credentials import Credentials, find_token
from gateway.backends.gcs.deleting import Deletions
from gateway.backends.gcs.settings import Options, Settings
from gateway.storage import PIECE, Backend

ENDPOINT: Final = "https://storage.googleapis.com"
EMULATOR: Final = "STORAGE_EMULATOR_HOST"  # as Google's own libraries have it


@asynccontextmanager
async def open_gcs(name: str, **settings: Unpack[Options]) -> AsyncIterator[Backend]:
    """Open a project; nothing is asked of the storage before something is asked of the backend.

    The settings are those of `Settings`. Raises OSError for a file that holds no credentials.
    """
    said = Settings(**settings)
    endpoint = said.endpoint or _emulator()
    patience = Patience(said.connect_timeout, said.answer_timeout, said.stall_timeout)
    async with _session() as session:
        credentials = None
        if said.credentials or not endpoint:
            credentials = Credentials(name, await asyncio.to_thread(find_token, said.credentials, session))
        client = Client(name, session, (endpoint or ENDPOINT).rstrip("/"), credentials, patience)
        account = Account(said.project or "", said.location or "", said.storage_class or "")
        try:
            async with Deletions(client) as deletions:
                yield Gcs(client, account, deletions)
        finally:
            if credentials:
                await credentials.close()


def _session() -> ClientSession:
    return ClientSession(
        connector=TCPConnector(limit=0),  # as many as there are requests of ours
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        read_bufsize=PIECE,
    )


def _emulator() -> str | None:
    host = os.environ.get(EMULATOR)
    return host if not host or "://" in host else f"http://{host}"
