"""Who asks: a signed header, a presigned URL, a signed form, or nobody in particular.

Checks come in the order in which S3 makes them, so that a client with two mistakes is told the same one first.
https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
"""

import hmac
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway import sigv4
from gateway.auth import claim as claims
from gateway.auth import moment, payload, sigv2
from gateway.auth.chunked import Chain
from gateway.auth.claim import Claim
from gateway.auth.form_policy import FormPolicy
from gateway.auth.keys import NO_RIGHTS, Key
from gateway.errors import (
    AccessDenied,
    InvalidAccessKeyId,
    InvalidArgument,
    InvalidRequest,
    InvalidToken,
    NotImplementedByGateway,
    SignatureDoesNotMatch,
)
from gateway.message import ANONYMOUS_ID, Call, Caller, Owner
from gateway.sigv4 import Request, octets

NOBODY: Final = Caller(Owner(ANONYMOUS_ID), NO_RIGHTS)

_UNKNOWN: Final = Key("", "no key has this secret", Owner(ANONYMOUS_ID), NO_RIGHTS)
_TOKEN: Final = "x-amz-security-token"  # noqa: S105 - the name of a header
_EMPTY_VALUE: Final = re.compile("=(?=&|$)")
_LATEST: Final = 2**31  # where the Expires of a presigned URL of Version 2 ends


class Verifier:
    """Tells who makes a call, or raises what S3 answers to a signature that is not right.

    `verify` replaces `call.body` where it comes in frames, and registers the check of x-amz-content-sha256, or that of
    the size that the policy of a form allows. Calls that are not signed are those of nobody, as is a CORS preflight:
    browsers send it without credentials, to the presigned URL of the request that is to follow.
    """

    def __init__(
        self, keys: Mapping[str, Key], region: str, *, sigv2: bool = True, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys, self._region, self._sigv2, self._clock = keys, region, sigv2, clock

    def verify(self, call: Call) -> Caller:
        """Return the caller. Raises: the errors of the section "who asks" of `gateway.errors`, and InvalidArgument."""
        headers = sigv4.fold(call.headers.pairs)
        headers["host"] = call.host  # not the header: what is signed must be the host that the bucket was read from
        request = Request(call.method, call.path, call.query_string, headers)
        header = headers.get("authorization", "")
        presigned, presigned_v2 = "X-Amz-Algorithm" in call.query, "Signature" in call.query
        repeated = len(call.headers.all("authorization")) > 1
        if repeated or bool(header) + presigned + presigned_v2 + (call.form is not None) > 1:
            raise InvalidArgument(
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string "
                "parameter or the Authorization header should be specified",
                ArgumentName="Authorization",
            )
        if call.method == "OPTIONS":
            return NOBODY
        if call.form is not None:
            return self._by_form(call, call.form)
        if not (header or presigned or presigned_v2):
            payload.expect(call, payload.declared(headers), headers, None)
            return NOBODY
        if _TOKEN in headers or "X-Amz-Security-Token" in call.query or _TOKEN in call.query:
            raise InvalidToken
        if header:
            return self._by_header(call, request, header)
        return self._by_query(call, request) if presigned else self._by_query_v2(call, request)

    def _by_header(self, call: Call, request: Request, header: str) -> Caller:
        scheme, space, rest = header.partition(" ")
        if not space:
            raise _invalid_header("Authorization header is invalid -- one and only one ' ' (space) required")
        if scheme == sigv2.SCHEME:
            return self._by_header_v2(call, request, rest)
        if scheme == claims.ASYMMETRIC:
            raise NotImplementedByGateway("SigV4A is not implemented.", Header="Authorization")
        if scheme != sigv4.ALGORITHM:
            raise _invalid_header("Unsupported Authorization Type")
        declared = request.headers.get(payload.HEADER)
        if declared is None:
            raise InvalidRequest(f"Missing required header for this request: {payload.HEADER}")
        payload.check(declared)
        claim = claims.from_header(header, request.headers, self._region, self._clock())
        key, chain = self._check(request, claim, declared)
        payload.expect(call, declared, request.headers, chain)
        return _caller(key)

    def _by_query(self, call: Call, request: Request) -> Caller:
        claim = claims.from_query(call.query_string, self._region, self._clock())
        sent = request.headers.get(payload.HEADER) or call.query.get("X-Amz-Content-Sha256", "")
        declared = payload.declared(request.headers, sent)
        key, chain = self._check(request, claim, sent or sigv4.UNSIGNED)
        payload.expect(call, declared, request.headers, chain)
        return _caller(key)

    def _check(self, request: Request, claim: Claim, declared: str) -> tuple[Key, Chain | None]:
        _refuse_unsigned(request.headers, claim.signed)
        known = self._keys.get(claim.access_key, _UNKNOWN)
        signing_key = sigv4.signing_key(known.secret_key, claim.scope)
        try:
            canonical = sigv4.canonical_request(request, claim.signed, declared)
        except KeyError:  # something is signed that did not come
            raise SignatureDoesNotMatch(AWSAccessKeyId=claim.access_key) from None
        text = sigv4.string_to_sign(claim.timestamp, claim.scope, canonical)
        right = sigv4.signature(signing_key, text)
        _compare(known, claim.access_key, (claim.signature, right), StringToSign=text, CanonicalRequest=canonical)
        framed = declared in payload.SIGNED
        return known, Chain(signing_key, claim.timestamp, claim.scope, right) if framed else None

    def _by_form(self, call: Call, form: Mapping[str, str]) -> Caller:
        """Judge a form by its policy; one that nobody signed must hold as well."""
        if _TOKEN in form:
            raise InvalidToken
        key = self._signer(form)
        if "policy" in form:
            policy = FormPolicy.parse(form["policy"])
            policy.check(form, call.bucket, self._clock())
            policy.hold(call.body)
        return _caller(key) if key else NOBODY

    def _signer(self, form: Mapping[str, str]) -> Key | None:
        """Return whose signature a form bears, None where it has none. What is signed is its policy, as it came."""
        claim, claim_v2 = claims.from_form(form, self._region, self._clock()), claims.from_form_v2(form)
        if claim and claim_v2:
            raise InvalidArgument("Only one auth mechanism allowed", ArgumentName="X-Amz-Algorithm")
        if claim:
            access_key, signature = claim.access_key, claim.signature
            known = self._keys.get(access_key, _UNKNOWN)
            right = sigv4.signature(sigv4.signing_key(known.secret_key, claim.scope), form["policy"])
        elif claim_v2:
            self._refuse_v2()
            access_key, signature = claim_v2
            known = self._keys.get(access_key, _UNKNOWN)
            right = sigv2.signature(known.secret_key, form["policy"])
        else:
            return None
        _compare(known, access_key, (signature, right), StringToSign=form["policy"])
        return known

    def _by_header_v2(self, call: Call, request: Request, credentials: str) -> Caller:
        access_key, colon, signature = credentials.rpartition(":")
        if not colon or not signature or " " in credentials:
            raise _invalid_header("AWS authorization header is invalid.  Expected AwsAccessKeyId:signature")
        claims.dated(request.headers, self._clock())
        return self._check_v2(call, request, (access_key, signature), sigv2.header_string)

    def _by_query_v2(self, call: Call, request: Request) -> Caller:
        query = call.query
        if "Expires" not in query or "AWSAccessKeyId" not in query:
            raise AccessDenied(
                "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"
            )
        expires, now = query["Expires"], self._clock()
        if not (
            expires.isascii() and expires.isdigit() and len(expires) <= len(str(_LATEST)) and int(expires) < _LATEST
        ):
            raise AccessDenied(f"Invalid date (should be seconds since epoch): {expires}")
        if now > int(expires):
            raise AccessDenied(
                "Request has expired", Expires=moment.to_text(int(expires)), ServerTime=moment.to_text(now)
            )
        claimed = (query["AWSAccessKeyId"], query["Signature"])
        return self._check_v2(call, request, claimed, lambda request: sigv2.query_string(request, expires))

    def _check_v2(
        self, call: Call, request: Request, claimed: tuple[str, str], text_of: Callable[[Request], str]
    ) -> Caller:
        self._refuse_v2()
        declared = payload.declared(request.headers)
        access_key, signature = claimed
        known = self._keys.get(access_key, _UNKNOWN)
        path = f"/{call.bucket}{request.path}" if call.virtual_host else request.path
        request = request._replace(path=path, headers=sigv4.fold(call.headers.pairs, collapse=False))
        texts = [text_of(form) for form in _forms_v2(request, call.bucket)]
        text = next((text for text in texts if _is_signed(known, text, signature)), texts[0])
        _compare(known, access_key, (signature, sigv2.signature(known.secret_key, text)), StringToSign=text)
        payload.expect(call, declared, request.headers, None)
        return _caller(known)

    def _refuse_v2(self) -> None:
        if not self._sigv2:
            raise InvalidRequest(
                "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
            )


def _refuse_unsigned(headers: Mapping[str, str], signed: Sequence[str]) -> None:
    """S3 lets x-amz-content-sha256 stand unsigned, whose value is signed in any case (scality/Arsenal#2590)."""
    unsigned = [
        name
        for name in headers
        if name not in signed
        and (name.startswith("x-amz-") or name in {"host", "content-md5"})
        and name != payload.HEADER
    ]
    if unsigned:
        raise AccessDenied(
            "There were headers present in the request which were not signed", HeadersNotSigned=", ".join(unsigned)
        )


def _compare(known: Key, access_key: str, signatures: tuple[str, str], **told: str) -> None:
    """Say which is wrong, key or signature, only when both have been looked at: either takes the same time."""
    provided, right = signatures
    same = hmac.compare_digest(octets(provided), octets(right))
    if known is _UNKNOWN:
        raise InvalidAccessKeyId(AWSAccessKeyId=access_key)
    if not same:
        dumps = {f"{name}Bytes": octets(text).hex(" ") for name, text in told.items()}
        raise SignatureDoesNotMatch(AWSAccessKeyId=access_key, SignatureProvided=provided, **told, **dumps)


def _forms_v2(request: Request, bucket: str) -> Sequence[Request]:
    """Return what may have been signed: the request as it came, then as clients sign it that send it otherwise.

    botocore signs a slash behind a bucket that it does not send. minio-go sends "uploads=" and signs "uploads", as S3
    does where a value is empty; botocore signs the former.
    """
    bare = _EMPTY_VALUE.sub("", request.query)
    forms = [request, request._replace(query=bare)] if bare != request.query else [request]
    if bucket and request.path == f"/{bucket}":
        forms += [form._replace(path=f"{form.path}/") for form in forms]
    return forms


def _is_signed(known: Key, text: str, signature: str) -> bool:
    return hmac.compare_digest(octets(signature), octets(sigv2.signature(known.secret_key, text)))


def _caller(key: Key) -> Caller:
    return Caller(key.owner, key.rights, key.access_key)


def _invalid_header(reason: str) -> InvalidArgument:
    return InvalidArgument(reason, ArgumentName="Authorization")
