"""Credentials that are found as the AWS SDKs find them, and renewed in time."""

import asyncio
from typing import Final

import structlog
from aiobotocore.credentials import AioAssumeRoleCredentialFetcher, AioCredentials, AioDeferredRefreshableCredentials
from aiobotocore.session import AioSession
from aiohttp import ClientError
from botocore.exceptions import BotoCoreError
from botocore.exceptions import ClientError as StsError

from gateway.backends.s3.credentials import Frozen, given
from gateway.backends.s3.settings import Settings
from gateway.errors import ServiceUnavailable

SESSION_NAME: Final = "s3-gateway"

log = structlog.get_logger()


class Chain:
    """Credentials that are fetched when they are first needed and anew before they expire.

    Static ones, a profile, a role, web identity, a container's, an instance's, a process: as aiobotocore finds them.
    https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
    """

    def __init__(self, name: str, settings: Settings) -> None:
        self._name, self._settings = name, settings
        self._session = AioSession(profile=settings.profile)
        self._found: AioCredentials | None = None
        self._lock = asyncio.Lock()

    async def current(self) -> Frozen:
        """Return what to sign with now. Raises ServiceUnavailable where there is nothing."""
        try:
            found = self._found or await self._find()
            frozen = await found.get_frozen_credentials()
        except (BotoCoreError, StsError, ClientError, OSError, ValueError) as error:
            raise self._missing(type(error).__name__) from error
        if not frozen.access_key or not frozen.secret_key:
            raise self._missing("incomplete")
        return Frozen(frozen.access_key, frozen.secret_key, frozen.token)

    async def _find(self) -> AioCredentials:
        async with self._lock:
            if self._found is None:
                source = self._source() or await self._session.get_credentials()
                if source is None:
                    raise self._missing("none found")
                self._found = self._assuming(source) if self._settings.role else source
            return self._found

    def _source(self) -> AioCredentials | None:
        return AioCredentials(*given(self._settings)) if self._settings.access_key else None

    def _assuming(self, source: AioCredentials) -> AioCredentials:
        options = {"RoleSessionName": SESSION_NAME}
        if self._settings.external_id:
            options["ExternalId"] = self._settings.external_id
        fetcher = AioAssumeRoleCredentialFetcher(
            lambda service, **more: self._session.create_client(
                service, **{"region_name": self._settings.region or "us-east-1", **more}
            ),
            source,
            self._settings.role,
            extra_args=options,
        )
        return AioDeferredRefreshableCredentials(method="assume-role", refresh_using=fetcher.fetch_credentials)

    def _missing(self, reason: str) -> ServiceUnavailable:
        setting = "role" if self._settings.role else "profile" if self._settings.profile else "access_key"
        log.warning("backend_credentials_missing", backend=self._name, setting=setting, reason=reason)
        error = ServiceUnavailable()
        error.add_note(f"look at {setting}: there are no credentials ({reason})")
        return error
