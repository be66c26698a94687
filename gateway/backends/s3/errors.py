"""What goes wrong on the way to a server, and what it refuses, as errors of our own."""

import ssl
from collections.abc import Mapping
from typing import Final, NamedTuple

import structlog
from aiohttp import ClientConnectorError, ClientError, ConnectionTimeoutError, InvalidURL
from aiohttp.client_exceptions import ClientConnectorCertificateError, ClientConnectorSSLError

from gateway.errors import (
    ERRORS,
    BucketAlreadyExists,
    CredentialsRefused,
    InternalError,
    NotImplementedByGateway,
    S3Error,
    ServiceUnavailable,
    SlowDown,
)

log = structlog.get_logger()


class Unreached(ServiceUnavailable):
    """No connection: nothing was sent, so anything may be sent again."""

    code = "ServiceUnavailable"


class Broken(ServiceUnavailable):
    """The connection or the server failed while it answered: what only reads may be asked again."""

    code = "ServiceUnavailable"


class Refusal(NamedTuple):
    """What a server says no with."""

    status: int
    code: str
    message: str
    fields: Mapping[str, str]
    headers: Mapping[str, str]


# Which setting is to be looked at, by the code of the refusal.
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList
# https://developers.cloudflare.com/r2/api/error-codes/
_OURS: Final[Mapping[str, str]] = {
    "AccessDenied": "rights of the access key",
    "AccountProblem": "account",
    "AllAccessDisabled": "account",
    "AuthorizationHeaderMalformed": "region",
    "ExpiredToken": "session_token",
    "InvalidAccessKeyId": "access_key",
    "InvalidSecurity": "access_key",
    "InvalidToken": "session_token",
    "KMS.DisabledException": "key of KMS",
    "NotSignedUp": "account",
    "PermanentRedirect": "region or endpoint",
    "RequestExpired": "clock",
    "RequestTimeTooSkewed": "clock",
    "SignatureDoesNotMatch": "secret_key",
    "TemporaryRedirect": "region or endpoint",
    "TokenRefreshRequired": "session_token",
    "Unauthorized": "access_key or secret_key",
    "UnauthorizedAccess": "account",
}
_REDIRECTS: Final = range(300, 400)
_FORBIDDEN: Final = frozenset({401, 403})
_BUSY: Final = frozenset(
    {"Busy", "RequestLimitExceeded", "ServiceBusy", "SlowDown", "Throttling", "TooManyRequests", "TooManyBuckets"}
)
_TOO_MANY: Final = 429
_FAILED: Final = 500
_RENAMED: Final[Mapping[str, type[S3Error]]] = {
    "BucketAlreadyOwnedByYou": BucketAlreadyExists,
    "NotImplemented": NotImplementedByGateway,
    "NotSupported": NotImplementedByGateway,
    "InvalidPartNumber": ERRORS["InvalidPartNumber"],
    "ConditionalRequestConflict": ERRORS["ConditionalRequestConflict"],
}
_TOLD: Final = frozenset({"BucketName", "Key", "UploadId", "PartNumber", "ETag", "Condition", "Header", "ArgumentName"})


def refused(name: str, refusal: Refusal, *, writes: bool) -> S3Error:
    """Return what a refusal of backend `name` is to us; what is wrong with our own credentials is logged.

    The notes of the error tell operators what was answered; clients are never told them.
    """
    error = _refused(name, refusal, writes=writes)
    error.add_note(f"{refusal.status} {refusal.code or 'without a code'}: {refusal.message[:200]}".rstrip(": "))
    return error


def _refused(name: str, refusal: Refusal, *, writes: bool) -> S3Error:
    code = refusal.code
    if code in _BUSY or refusal.status == _TOO_MANY:
        return SlowDown()
    if refusal.status in _REDIRECTS:
        code = "PermanentRedirect"
    if code in _OURS or (refusal.status in _FORBIDDEN and code not in ERRORS):
        setting = _OURS.get(code, "access_key or its rights")
        log.warning("backend_credentials_refused", backend=name, code=code or refusal.status, setting=setting)
        error = CredentialsRefused()
        error.add_note(f"look at {setting}: the server answers {refusal.status} {code}".rstrip())
        return error
    if refusal.status >= _FAILED and code not in _RENAMED:
        return _failed(name, refusal, writes=writes)
    kind = _RENAMED.get(code) or ERRORS.get(code)
    if kind is None:
        log.warning("backend_answer_unknown", backend=name, status=refusal.status, code=code)
        return InternalError()
    fields = {key: value for key, value in refusal.fields.items() if key in _TOLD}
    return kind(refusal.message or None, **fields)


def _failed(name: str, refusal: Refusal, *, writes: bool) -> S3Error:
    log.warning("backend_failed", backend=name, status=refusal.status, code=refusal.code)
    if refusal.code == "ServiceUnavailable" or refusal.status == 503:  # noqa: PLR2004  it did nothing, it says
        return ServiceUnavailable() if writes else Broken()
    return InternalError() if writes else Broken()


def unanswered(name: str, error: BaseException, *, safe: bool) -> S3Error:
    """Return what a failure on the way is; `safe`: nothing can have been written by it."""
    log.warning("backend_unreachable", backend=name, error=type(error).__name__)
    if isinstance(error, InvalidURL):
        return InternalError()
    if isinstance(error, (ClientConnectorError, ClientConnectorCertificateError, ClientConnectorSSLError)):
        return Unreached()
    if isinstance(error, ConnectionTimeoutError):
        return ServiceUnavailable()
    if not safe:
        return InternalError()
    return ServiceUnavailable() if isinstance(error, TimeoutError) else Broken()


FAILURES: Final = (ClientError, TimeoutError, ssl.SSLError, OSError)
