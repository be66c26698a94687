"""What the storage refuses, in S3's words.

https://cloud.google.com/storage/docs/json_api/v1/status-codes
"""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import structlog

from gateway.errors import (
    AccessDenied,
    BucketAlreadyExists,
    CredentialsRefused,
    InternalError,
    InvalidArgument,
    InvalidBucketName,
    InvalidRange,
    NoSuchBucket,
    NoSuchKey,
    NotImplementedByGateway,
    PreconditionFailed,
    S3Error,
    ServiceUnavailable,
    SlowDown,
)
from gateway.storage import Address

log = structlog.get_logger()


class Refusal(NamedTuple):
    """An answer that says no: to what was asked at `at`, by which backend, and whether asking again does no harm."""

    status: int
    content: bytes
    at: Address
    backend: str
    repeatable: bool

    @property
    def error(self) -> Mapping[str, Any]:
        """What stands in the answer; nothing where it is not from the storage itself."""
        try:
            document = json.loads(self.content)
        except ValueError:
            return {}
        error = document.get("error") if isinstance(document, dict) else None
        return error if isinstance(error, dict) else {}

    @property
    def message(self) -> str:
        """What the storage says, for logs."""
        return str(self.error.get("message", ""))[:500]

    @property
    def reasons(self) -> set[str]:
        """The machine's words for it."""
        entries = self.error.get("errors")
        return {str(e.get("reason")) for e in entries if isinstance(e, dict)} if isinstance(entries, list) else set()


def translate(refusal: Refusal) -> S3Error:
    """Return the error that a client is to be told."""
    return _BY_STATUS.get(refusal.status, _other)(refusal)


def credentials_refused(backend: str, reason: str, setting: str = "credentials") -> CredentialsRefused:
    """Say in the log which setting to look at, and return what the client is told."""
    log.error("backend_credentials_refused", backend=backend, setting=f"backends.{backend}.{setting}", reason=reason)
    error = CredentialsRefused()
    error.add_note(f"look at {setting}: {reason}")  # for operators; clients are never told notes
    return error


def _forbidden(refusal: Refusal) -> S3Error:
    if refusal.reasons & _TOO_FAST:
        return SlowDown()
    if refusal.reasons & _HELD:
        return AccessDenied("The object is held or retained by a policy of its bucket.")
    if not refusal.at.key and "domain" in refusal.message:
        return InvalidBucketName("A bucket with dots in its name needs a domain that is verified.")
    return credentials_refused(refusal.backend, refusal.message or str(refusal.status))


def _missing(refusal: Refusal) -> S3Error:
    if not refusal.at.key or "bucket does not exist" in refusal.message:
        return NoSuchBucket(BucketName=refusal.at.bucket)
    return NoSuchKey(Key=refusal.at.key)


def _malformed(refusal: Refusal) -> S3Error:
    log.error("backend_refused_request", backend=refusal.backend, status=refusal.status, reason=refusal.message)
    if "match calculated" in refusal.message:
        return InternalError("What the storage received is not what was sent.")
    if not refusal.at.key and "bucket name" in refusal.message.lower():
        return InvalidBucketName(BucketName=refusal.at.bucket)
    return (
        InvalidArgument("The storage behind refuses this: " + refusal.message) if refusal.message else InternalError()
    )


def _broken(refusal: Refusal) -> S3Error:
    return ServiceUnavailable() if refusal.repeatable else InternalError()


def _other(refusal: Refusal) -> S3Error:
    log.error("backend_refused_request", backend=refusal.backend, status=refusal.status, reason=refusal.message)
    return InternalError()


_TOO_FAST: Final = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded"})
_HELD: Final = frozenset({"retentionPolicyNotMet", "objectUnderActiveHold"})
_BY_STATUS: Final[Mapping[int, Callable[[Refusal], S3Error]]] = MappingProxyType(
    {
        400: _malformed,
        401: lambda refusal: credentials_refused(refusal.backend, refusal.message or "401"),
        403: _forbidden,
        404: _missing,
        408: _broken,
        409: lambda refusal: BucketAlreadyExists(BucketName=refusal.at.bucket),
        412: lambda _: PreconditionFailed(),
        416: lambda _: InvalidRange(),
        429: lambda _: SlowDown(),
        499: lambda _: InternalError(),  # an upload that we gave up ourselves
        500: _broken,
        501: lambda _: NotImplementedByGateway(),  # an emulator
        502: _broken,
        503: lambda _: ServiceUnavailable(),
        504: _broken,
    }
)
