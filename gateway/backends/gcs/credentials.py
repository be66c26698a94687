"""Tokens of Google, renewed before they end.

https://cloud.google.com/docs/authentication/application-default-credentials
"""

import asyncio
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog
from aiohttp import ClientError, ClientResponseError, ClientSession
from gcloud.aio.auth import Token

from gateway.backends.gcs.failures import credentials_refused
from gateway.errors import ServiceUnavailable

log = structlog.get_logger()

SCOPE: Final = "https://www.googleapis.com/auth/devstorage.read_write"
PATIENCE: Final = 10  # seconds for a token to come
RENEWED_AFTER: Final = 0.5  # of its life; in the background
ENDED_AFTER: Final = 0.95
_CLIENT_ERRORS: Final = range(400, 500)


def find_token(file: Path | None, session: ClientSession) -> Token:
    """Return where tokens come from: a file, else what the environment has, as Google's own libraries look for it.

    Blocks while it reads. Raises: OSError for a file that is none of credentials.
    """
    shared: Any = session  # the library's own name for this type means another one to type checkers
    if file is None:
        return Token(session=shared, scopes=[SCOPE])
    text = file.read_text(encoding="utf-8")
    try:
        json.loads(text)["type"]  # the library takes what is none for "ask the metadata server"
        return Token(service_file=io.StringIO(text), session=shared, scopes=[SCOPE])
    except (ValueError, KeyError, TypeError):
        raise OSError(f"no credentials of Google in {file}") from None


class Credentials:
    """The token of the moment. One request at most fetches the next, and no waiter takes it from the others."""

    def __init__(self, backend: str, token: Token, clock: Callable[[], float] = time.monotonic) -> None:
        self._backend, self._token, self._clock = backend, token, clock
        self._value = ""
        self._renew_at = self._end_at = 0.0
        self._renewing: asyncio.Task[None] | None = None

    async def bearer(self) -> str:
        """Return the value of the Authorization header. Raises: ServiceUnavailable."""
        now = self._clock()
        if not self._value or now >= self._end_at:
            await asyncio.shield(self._renewal())
        elif now >= self._renew_at:
            self._renewal()
        return f"Bearer {self._value}"

    async def project(self) -> str:
        """Return the project that the credentials belong to, "" if they do not say. Raises: ServiceUnavailable."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._token.get_project() or ""
        except (ClientError, OSError, TimeoutError) as error:
            raise self._missing(type(error).__name__) from None

    def forget(self, bearer: str) -> None:
        """Forget a token that was refused before its time."""
        if bearer == f"Bearer {self._value}":
            self._value = ""

    async def close(self) -> None:
        """Give up what is under way."""
        if self._renewing:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)

    def _renewal(self) -> asyncio.Task[None]:
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._renew())
            self._renewing.add_done_callback(_look_at_failure)
        return self._renewing

    async def _renew(self) -> None:
        try:
            answer = await self._token.refresh(timeout=PATIENCE)
        except ClientResponseError as error:
            if error.status in _CLIENT_ERRORS:
                raise credentials_refused(self._backend, f"no token: {error.status}") from None
            raise self._missing(str(error.status)) from None
        except (ClientError, OSError, TimeoutError) as error:
            raise self._missing(type(error).__name__) from None
        except (KeyError, ValueError, TypeError) as error:
            raise credentials_refused(self._backend, f"no token: {type(error).__name__}") from None
        now = self._clock()
        self._value = answer.value
        self._renew_at = now + answer.expires_in * RENEWED_AFTER
        self._end_at = now + answer.expires_in * ENDED_AFTER

    def _missing(self, reason: str) -> ServiceUnavailable:
        setting = f"backends.{self._backend}.credentials"
        log.warning("backend_credentials_missing", backend=self._backend, setting=setting, reason=reason)
        return ServiceUnavailable()


def _look_at_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()  # nobody may be waiting for it; the log has it
