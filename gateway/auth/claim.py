"""What a request signed with Version 4 says about its signature, read and checked as far as that needs no secret.

The checks, their order and their wording are S3's:
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-auth-using-authorization-header.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-authentication-HTTPPOST.html
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote_plus

from gateway.auth import moment
from gateway.errors import (
    AccessDenied,
    AuthorizationHeaderMalformed,
    AuthorizationQueryParametersError,
    InvalidArgument,
    NotImplementedByGateway,
    RequestTimeTooSkewed,
    S3Error,
)
from gateway.sigv4 import ALGORITHM, Scope

SKEW_S: Final = 900
LONGEST_S: Final = 604800  # a presigned URL lives a week at most
ASYMMETRIC: Final = "AWS4-ECDSA-P256-SHA256"

_PARAMETERS: Final = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-Date",
    "X-Amz-SignedHeaders",
    "X-Amz-Expires",
)
_FIELDS: Final = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Signature")
_FIELDS_V2: Final = ("AWSAccessKeyId", "Signature")
_FORMAT: Final = 'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'
_DATE: Final = re.compile(r"[0-9]{8}")
_SECONDS: Final = re.compile(r"[+-]?[0-9]{1,18}")

Refuse = Callable[..., S3Error]


class Claim(NamedTuple):
    """By whom, when and over which headers a request says that it is signed."""

    access_key: str
    scope: Scope
    timestamp: str
    signed: Sequence[str]
    signature: str


def from_header(header: str, headers: Mapping[str, str], region: str, now: float) -> Claim:
    """Read an Authorization header. Raises AccessDenied, RequestTimeTooSkewed, AuthorizationHeaderMalformed."""
    made = dated(headers, now)
    timestamp = headers.get("x-amz-date", "")
    if not moment.is_timestamp(timestamp):
        timestamp = moment.to_timestamp(made)
    parts = {}
    for part in header.partition(" ")[2].split(","):
        name, _, value = part.strip().partition("=")
        parts[name] = value
    if parts.keys() != {"Credential", "SignedHeaders", "Signature"}:
        raise _malformed_header(
            "the authorization header requires three components: Credential, SignedHeaders, and Signature."
        )
    access_key, scope = _credential(parts["Credential"], region, _malformed_header)
    if scope.date != timestamp[:8]:
        raise _malformed_header("Invalid credential date. Date is not the same as X-Amz-Date.")
    return Claim(access_key, scope, timestamp, parts["SignedHeaders"].split(";"), parts["Signature"])


def from_query(query_string: str, region: str, now: float) -> Claim:
    """Read the parameters of a presigned URL. Raises AuthorizationQueryParametersError, AccessDenied."""
    parameters = _parameters(query_string)
    timestamp = parameters["X-Amz-Date"]
    signed_at = moment.from_timestamp(timestamp)
    if signed_at is None:
        raise AuthorizationQueryParametersError(
            "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""
        )
    _check_expiry(signed_at, parameters["X-Amz-Expires"], now)
    access_key, scope = _credential(parameters["X-Amz-Credential"], region, _malformed_query)
    if scope.date != timestamp[:8]:
        raise AuthorizationQueryParametersError(
            f'Invalid credential date "{scope.date}". This date is not the same as X-Amz-Date: "{timestamp[:8]}".'
        )
    signed = parameters["X-Amz-SignedHeaders"].split(";")
    return Claim(access_key, scope, timestamp, signed, parameters["X-Amz-Signature"])


def from_form(form: Mapping[str, str], region: str, now: float) -> Claim | None:
    """Read the fields of a form, None where it has none of Version 4. No headers are signed, but its policy.

    Raises: InvalidArgument, AccessDenied. It is good for a week, as its signing key is, if its policy is.
    """
    if not _has_fields(form, _FIELDS):
        return None
    if form["x-amz-algorithm"] == ASYMMETRIC:
        raise NotImplementedByGateway("SigV4A is not implemented.")
    if form["x-amz-algorithm"] != ALGORITHM:
        raise _wrong_field(f"X-Amz-Algorithm only supports {ALGORITHM}", "X-Amz-Algorithm", form)
    timestamp = form["x-amz-date"]
    signed_at = moment.from_timestamp(timestamp)
    if signed_at is None:
        raise _wrong_field("X-Amz-Date must be formated via ISO8601 Long format", "X-Amz-Date", form)
    _check_lifetime(signed_at, LONGEST_S, now)
    access_key, scope = _credential(form["x-amz-credential"], region, _malformed_field)
    if scope.date != timestamp[:8]:
        raise _wrong_field("Invalid credential date. Date is not the same as X-Amz-Date.", "X-Amz-Credential", form)
    return Claim(access_key, scope, timestamp, (), form["x-amz-signature"])


def from_form_v2(form: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the access key and the signature of a form, None where it has none of Version 2. Raises InvalidArgument.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/HTTPPOSTForms.html
    """
    return (form["awsaccesskeyid"], form["signature"]) if _has_fields(form, _FIELDS_V2) else None


def dated(headers: Mapping[str, str], now: float) -> float:
    """Return when a request says it was made: x-amz-date if it is there, else Date.

    Raises: AccessDenied without a date, RequestTimeTooSkewed with one too far from `now`.
    """
    text = headers["x-amz-date"] if "x-amz-date" in headers else headers.get("date", "")
    made = moment.from_date(text)
    if made is None:
        raise AccessDenied("AWS authentication requires a valid Date or x-amz-date header")
    if abs(made - now) > SKEW_S:
        raise RequestTimeTooSkewed(
            RequestTime=text, ServerTime=moment.to_text(now), MaxAllowedSkewMilliseconds=str(SKEW_S * 1000)
        )
    return made


def _parameters(query_string: str) -> dict[str, str]:
    """Read from the raw query: of a repeated parameter, the one checked must be the one that was signed."""
    found: dict[str, str] = {}
    for parameter in query_string.split("&"):
        name, _, value = parameter.partition("=")
        if name in _PARAMETERS:
            if name in found:
                raise AuthorizationQueryParametersError(f"{name} must be given once.")
            found[name] = unquote_plus(value)
    if found.get("X-Amz-Algorithm") == ASYMMETRIC:
        raise NotImplementedByGateway("SigV4A is not implemented.")
    if found.get("X-Amz-Algorithm", ALGORITHM) != ALGORITHM:
        raise AuthorizationQueryParametersError(
            'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256"'
        )
    if len(found) < len(_PARAMETERS):
        raise AuthorizationQueryParametersError(
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
            "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
        )
    return found


def _has_fields(form: Mapping[str, str], names: Sequence[str]) -> bool:
    """Say whether a form has the fields of a signature, all of them or none. Raises InvalidArgument."""
    if all(name.lower() not in form for name in names):
        return False
    for name in (*names, "Policy"):
        if name.lower() not in form:
            raise _wrong_field(
                f"Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the "
                "fields.",
                name,
                form,
            )
    return True


def _check_expiry(signed_at: float, expires: str, now: float) -> None:
    if not _SECONDS.fullmatch(expires):
        raise AuthorizationQueryParametersError("X-Amz-Expires should be a number")
    seconds = int(expires)
    # S3 calls a lifetime out of bounds AuthorizationQueryParametersError (400); the public conformance tests
    # (test_object_raw_get_x_amz_expires_out_max_range) hold every server to 403.
    if seconds < 0:
        raise AccessDenied("X-Amz-Expires must be non-negative")
    if seconds > LONGEST_S:
        raise AccessDenied(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than "
            f"{LONGEST_S} seconds"
        )
    _check_lifetime(signed_at, seconds, now)


def _check_lifetime(signed_at: float, seconds: int, now: float) -> None:
    times = {"Expires": moment.to_text(signed_at + seconds), "ServerTime": moment.to_text(now)}
    if signed_at - now > SKEW_S:
        raise AccessDenied("Request is not yet valid", **times)
    if seconds == 0 or now - signed_at > seconds:
        raise AccessDenied("Request has expired", **{"X-Amz-Expires": str(seconds)}, **times)


@lru_cache(maxsize=64)  # a client sends the same all day
def _credential(text: str, region: str, refuse: Refuse) -> tuple[str, Scope]:
    parts = text.rsplit("/", 4)  # an access key may hold slashes
    if len(parts) != 5 or not parts[0]:  # noqa: PLR2004 - as many as the format in the message has
        raise refuse(_FORMAT)
    access_key, date, named, service, terminal = parts
    if not _DATE.fullmatch(date):
        raise refuse(f'incorrect date format "{date}". This date in the credential must be in the format "yyyyMMdd".')
    if named != region:
        raise refuse(f"the region '{named}' is wrong; expecting '{region}'", Region=region)
    if service != "s3":
        raise refuse(f'incorrect service "{service}". This endpoint belongs to "s3".')
    if terminal != "aws4_request":
        raise refuse(f'incorrect terminal "{terminal}". This endpoint uses "aws4_request".')
    return access_key, Scope(date, region)


def _malformed_header(reason: str, **fields: str) -> S3Error:
    return AuthorizationHeaderMalformed(f"The authorization header is malformed; {reason}", **fields)


def _malformed_query(reason: str, **fields: str) -> S3Error:
    return AuthorizationQueryParametersError(f"Error parsing the X-Amz-Credential parameter; {reason}", **fields)


def _malformed_field(reason: str, **fields: str) -> S3Error:
    return InvalidArgument(reason, ArgumentName="X-Amz-Credential", **fields)


def _wrong_field(reason: str, name: str, form: Mapping[str, str]) -> S3Error:
    return InvalidArgument(reason, ArgumentName=name, ArgumentValue=form.get(name.lower(), ""))
