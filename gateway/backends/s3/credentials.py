"""Whose credentials requests are signed with: given ones, or whatever the AWS default chain finds."""

from typing import NamedTuple, Protocol

from gateway.backends.s3.settings import Settings


class Frozen(NamedTuple):
    """The credentials of one request."""

    access_key: str
    secret_key: str
    token: str | None


class Keychain(Protocol):
    """Where the credentials of a request come from."""

    async def current(self) -> Frozen:
        """Return what to sign with now. Raises ServiceUnavailable where there is nothing."""


class Given:
    """Credentials that stay what they are."""

    def __init__(self, settings: Settings) -> None:
        self._frozen = given(settings)

    async def current(self) -> Frozen:
        """Return what to sign with."""
        return self._frozen


def keychain_of(name: str, settings: Settings) -> Keychain:
    """Return where the credentials for a backend come from."""
    if settings.access_key and not settings.role:
        return Given(settings)
    from gateway.backends.s3.chain import Chain  # noqa: PLC0415  an SDK takes memory: only where it is to find any

    return Chain(name, settings)


def given(settings: Settings) -> Frozen:
    """Return the credentials that the configuration says."""
    return Frozen(settings.access_key or "", settings.secret_key or "", settings.session_token)
