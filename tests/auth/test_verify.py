import hashlib
import time
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import sigv4
from gateway.auth import sigv2
from gateway.auth.moment import from_timestamp
from gateway.auth.verify import Verifier
from gateway.errors import S3Error, SignatureDoesNotMatch
from gateway.message import ANONYMOUS_ID
from gateway.sigv4 import EMPTY_SHA256, Credentials, Request, signing_key
from tests.auth.calls import ACCESS, KEYS, SECRET, call
from tests.auth.frames import SCOPE, TIMESTAMP, chain, signed, unsigned

NOW = from_timestamp(TIMESTAMP)
WHO = Credentials(ACCESS, SECRET)
HOST = ("host", "s3.example.com")
DATE = ("x-amz-date", TIMESTAMP)
EMPTY = ("x-amz-content-sha256", EMPTY_SHA256)
BASE = [HOST, DATE, EMPTY]
NO_KEY = "The AWS Access Key Id you provided does not exist in our records."
CRC = "x-amz-checksum-crc32c"


def verifier(now: float = NOW, **more) -> Verifier:
    return Verifier(KEYS, "us-east-1", clock=lambda: now, **more)


def header(pairs=BASE, method="GET", target="/b/k", timestamp=TIMESTAMP, who=WHO) -> tuple[str, str]:
    """Sign all of `pairs`."""
    path, _, query = target.partition("?")
    folded = sigv4.fold(pairs)
    payload = folded.get("x-amz-content-sha256", "")
    return "authorization", sigv4.authorization(Request(method, path, query, folded), who, timestamp, payload)


def signed_call(pairs=BASE, extra=(), method="GET", target="/b/k", body=b"", **more):
    return call(method, target, [*pairs, *extra, header(pairs, method, target)], body, **more)


def presigned(target="/b/k", expires=3600, timestamp=TIMESTAMP, headers=(HOST,), method="GET") -> str:
    path, _, query = target.partition("?")
    made = sigv4.presigned_query(Request(method, path, query, dict(headers)), WHO, timestamp, expires)
    return f"{path}?{made}"


def refusal(sent, **more) -> S3Error:
    with pytest.raises(S3Error) as caught:
        verifier(**more).verify(sent)
    return caught.value


def told(error: S3Error) -> tuple[str, str]:
    return error.code, str(error)


def test_signed_call_is_its_keys_owner():
    caller = verifier().verify(signed_call())
    assert (caller.access_key, caller.owner, caller.anonymous) == (ACCESS, KEYS[ACCESS].owner, False)


def test_slash_may_be_sent_escaped_that_was_signed_as_such():
    signed = header(target="/b/a//k")
    assert verifier().verify(call("GET", "/b/a/%2Fk", [*BASE, signed])).access_key == ACCESS
    assert verifier().verify(call("GET", presigned("/b/a//k").replace("//", "/%2F"), [HOST])).access_key == ACCESS


def test_unsigned_call_is_nobodys_and_without_rights():
    for pairs in ([HOST], [HOST, ("authorization", "")]):
        caller = verifier().verify(call("GET", "/b/k", pairs))
        assert caller.anonymous
        assert caller.owner.id == ANONYMOUS_ID
        assert not caller.rights.allows("read", "b", "k")


def test_preflight_to_a_presigned_url_is_nobodys():
    assert verifier().verify(call("OPTIONS", presigned(), [HOST])).anonymous


def test_host_that_the_bucket_was_read_from_is_the_one_that_must_be_signed():
    """A request line may name another host than the header: RFC 9112 §3.2.2."""
    for sent in (signed_call(), call("GET", presigned(), [HOST])):
        sent.host = "other-bucket.s3.example.com"
        assert refusal(sent).code == "SignatureDoesNotMatch"
    sent = call("GET", "/b/k", [DATE, EMPTY, header()])
    sent.host = HOST[1]
    assert verifier().verify(sent).access_key == ACCESS


@pytest.mark.parametrize("blank", ["", " ", "  "])
def test_components_may_come_in_any_order_with_or_without_blanks(blank):
    name, value = header()
    scheme, _, rest = value.partition(" ")
    parts = f",{blank}".join(reversed(rest.split(", ")))
    assert verifier().verify(call("GET", "/b/k", [*BASE, (name, f"{scheme} {parts}")])).access_key == ACCESS


def test_date_header_serves_where_there_is_no_x_amz_date():
    pairs = [HOST, ("date", "Fri, 24 May 2013 00:00:00 GMT"), EMPTY]
    assert verifier().verify(signed_call(pairs)).access_key == ACCESS


MALFORMED = "The authorization header is malformed; "
THREE = f"{MALFORMED}the authorization header requires three components: Credential, SignedHeaders, and Signature."
INCORRECT_DATE = (
    f'{MALFORMED}incorrect date format "2013-05-24". This date in the credential must be in the format "yyyyMMdd".'
)
SCOPED = f'{MALFORMED}the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ("AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256", "InvalidArgument", None),
        ("AWS4-HMAC-SHA256 ", "Bearer ", "InvalidArgument", "Unsupported Authorization Type"),
        ("AWS4-HMAC-SHA256 ", "AWS4-ECDSA-P256-SHA256 ", "NotImplemented", "SigV4A is not implemented."),
        ("Credential=", "Credentials=", "AuthorizationHeaderMalformed", THREE),
        (", Signature=", ", Sig=", "AuthorizationHeaderMalformed", THREE),
        ("SignedHeaders=", "", "AuthorizationHeaderMalformed", THREE),
        (", Signature=", ", A=b, Signature=", "AuthorizationHeaderMalformed", THREE),
        (f"{ACCESS}/", "", "AuthorizationHeaderMalformed", SCOPED),
        (f"{ACCESS}/", "/", "AuthorizationHeaderMalformed", SCOPED),
        (
            "/20130524/",
            "/2013-05-24/",
            "AuthorizationHeaderMalformed",
            INCORRECT_DATE,
        ),
        (
            "/20130524/",
            "/20130525/",
            "AuthorizationHeaderMalformed",
            f"{MALFORMED}Invalid credential date. Date is not the same as X-Amz-Date.",
        ),
        (
            "/us-east-1/",
            "/eu-west-1/",
            "AuthorizationHeaderMalformed",
            f"{MALFORMED}the region 'eu-west-1' is wrong; expecting 'us-east-1'",
        ),
        (
            "/s3/",
            "/sqs/",
            "AuthorizationHeaderMalformed",
            f'{MALFORMED}incorrect service "sqs". This endpoint belongs to "s3".',
        ),
        (
            "/aws4_request",
            "/aws4",
            "AuthorizationHeaderMalformed",
            f'{MALFORMED}incorrect terminal "aws4". This endpoint uses "aws4_request".',
        ),
        (ACCESS, "AKIAUNKNOWN", "InvalidAccessKeyId", NO_KEY),
        ("Signature=", "Signature=0", "SignatureDoesNotMatch", None),
        ("x-amz-date", "x-amz-date;x-amz-meta-gone", "SignatureDoesNotMatch", None),
        ("SignedHeaders=host;", "SignedHeaders=", "AccessDenied", None),
    ],
)
def test_header_that_is_not_right_is_refused_as_s3_does(old, new, code, message):
    name, value = header()
    assert old in value
    error = refusal(call("GET", "/b/k", [*BASE, (name, value.replace(old, new))]))
    assert error.code == code
    assert message in {None, str(error)}


def test_wrong_region_is_told_with_the_right_one():
    who = Credentials(ACCESS, SECRET, "eu-west-1")
    error = refusal(call("GET", "/b/k", [*BASE, header(who=who)]))
    assert error.fields == {"Region": "us-east-1"}
    made = presigned().replace("us-east-1", "eu-west-1")
    error = refusal(call("GET", made, [HOST]))
    message = "Error parsing the X-Amz-Credential parameter; the region 'eu-west-1' is wrong; expecting 'us-east-1'"
    assert told(error) == ("AuthorizationQueryParametersError", message)
    assert error.fields == {"Region": "us-east-1"}


@pytest.mark.parametrize(
    ("pairs", "code", "message"),
    [
        ([HOST, DATE], "InvalidRequest", "Missing required header for this request: x-amz-content-sha256"),
        ([HOST, EMPTY], "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header"),
        ([HOST, EMPTY, ("x-amz-date", "")], "AccessDenied", None),
        ([HOST, EMPTY, ("x-amz-date", "Bad Date")], "AccessDenied", None),
        ([HOST, EMPTY, ("x-amz-date", "20131345T000000Z")], "AccessDenied", None),
        ([HOST, EMPTY, ("x-amz-date", "Tue, 07 Jul 1950 21:53:04 GMT")], "AccessDenied", None),
        ([HOST, EMPTY, DATE, DATE], "AccessDenied", None),
        ([HOST, EMPTY, ("x-amz-date", "Tue, 07 Jul 9999 21:53:04 GMT")], "RequestTimeTooSkewed", None),
        ([HOST, EMPTY, ("x-amz-date", "Tue, 07 Jul 2010 21:53:04 GMT")], "RequestTimeTooSkewed", None),
        ([HOST, DATE, ("x-amz-content-sha256", "abc")], "InvalidArgument", None),
        ([HOST, DATE, ("x-amz-content-sha256", "unsigned-payload")], "InvalidArgument", None),
        ([HOST, DATE, EMPTY, EMPTY], "InvalidArgument", None),
        ([HOST, DATE, ("x-amz-content-sha256", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD")], "NotImplemented", None),
        ([*BASE, ("x-amz-security-token", "token")], "InvalidToken", None),
    ],
)
def test_required_headers_are_asked_for_as_s3_does(pairs, code, message):
    error = refusal(signed_call(pairs))
    assert error.code == code
    assert message in {None, str(error)}


@pytest.mark.parametrize("off", [-901, 901])
def test_clock_that_is_off_by_more_than_a_quarter_of_an_hour_is_refused(off):
    error = refusal(signed_call(), now=NOW - off)
    assert error.code == "RequestTimeTooSkewed"
    server = "2013-05-24T00:15:01Z" if off < 0 else "2013-05-23T23:44:59Z"
    times = {"RequestTime": TIMESTAMP, "ServerTime": server, "MaxAllowedSkewMilliseconds": "900000"}
    assert error.fields == times
    assert verifier(NOW - off + (1 if off > 0 else -1)).verify(signed_call()).access_key == ACCESS


def test_signature_that_is_wrong_is_told_with_what_was_signed_and_no_secret():
    name, value = header()
    wrong = value[:-64] + "0" * 64
    error = refusal(call("GET", "/b/k", [*BASE, (name, wrong)]))
    right = value[-64:]
    assert error.fields["AWSAccessKeyId"] == ACCESS
    assert error.fields["SignatureProvided"] == "0" * 64
    canonical = error.fields["CanonicalRequest"]
    assert canonical.startswith("GET\n/b/k\n\nhost:s3.example.com\n")
    assert error.fields["StringToSign"].endswith(hashlib.sha256(canonical.encode()).hexdigest())
    assert bytes.fromhex(error.fields["CanonicalRequestBytes"]).decode() == canonical
    assert all(right not in text and SECRET not in text for text in [str(error), *error.fields.values()])


@pytest.mark.parametrize("extra", [("x-amz-acl", "public-read"), ("content-md5", "x"), ("x-amz-copy-source", "/b/k")])
def test_headers_that_matter_must_be_signed(extra):
    message = "There were headers present in the request which were not signed"
    for sent in (signed_call(extra=[extra]), call("GET", presigned(), [HOST, extra])):
        error = refusal(sent)
        assert told(error) == ("AccessDenied", message)
        assert error.fields == {"HeadersNotSigned": extra[0]}


@pytest.mark.parametrize("extra", [("range", "bytes=0-1"), ("content-type", "a/b"), ("x-amzn-trace-id", "1")])
def test_other_headers_need_not_be_signed(extra):
    assert verifier().verify(signed_call(extra=[extra])).access_key == ACCESS


def test_content_hash_may_stand_unsigned_and_still_counts():
    name, value = (
        "authorization",
        sigv4.authorization(Request("GET", "/b/k", "", dict([HOST, DATE])), WHO, TIMESTAMP, EMPTY_SHA256),
    )
    assert verifier().verify(call("GET", "/b/k", [*BASE, (name, value)])).access_key == ACCESS
    other = ("x-amz-content-sha256", "0" * 64)
    assert refusal(call("GET", "/b/k", [HOST, DATE, other, (name, value)])).code == "SignatureDoesNotMatch"


def test_more_than_one_mechanism_is_refused():
    message = (
        "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter "
        "or the Authorization header should be specified"
    )
    v2 = "/b/k?AWSAccessKeyId=a&Expires=1&Signature=s"
    for sent in [
        call("GET", presigned(), [*BASE, header()]),
        call("GET", v2, [*BASE, header()]),
        call("GET", f"{presigned()}&Signature=s", [HOST]),
        call("GET", "/b/k", [*BASE, header(), header()]),
    ]:
        assert told(refusal(sent)) == ("InvalidArgument", message)


# --- presigned ---


def test_presigned_url_lives_as_long_as_it_says():
    sent = call("GET", presigned(expires=60), [HOST])
    assert verifier(NOW + 60).verify(sent).access_key == ACCESS
    error = refusal(sent, now=NOW + 61)
    assert told(error) == ("AccessDenied", "Request has expired")
    times = {"X-Amz-Expires": "60", "Expires": "2013-05-24T00:01:00Z", "ServerTime": "2013-05-24T00:01:01Z"}
    assert error.fields == times


def test_presigned_url_of_the_future_is_not_yet_valid():
    sent = call("GET", presigned(), [HOST])
    assert verifier(NOW - 900).verify(sent).access_key == ACCESS
    assert told(refusal(sent, now=NOW - 901)) == ("AccessDenied", "Request is not yet valid")


@pytest.mark.parametrize(
    ("expires", "code", "message"),
    [
        (0, "AccessDenied", "Request has expired"),
        (-7, "AccessDenied", "X-Amz-Expires must be non-negative"),
        (604801, "AccessDenied", None),
        ("x", "AuthorizationQueryParametersError", "X-Amz-Expires should be a number"),
        ("9" * 30, "AuthorizationQueryParametersError", "X-Amz-Expires should be a number"),
        ("", "AuthorizationQueryParametersError", "X-Amz-Expires should be a number"),
    ],
)
def test_lifetime_out_of_bounds_is_refused(expires, code, message):
    error = refusal(call("GET", presigned(expires=expires), [HOST]))
    assert error.code == code
    assert message in {None, str(error)}


@pytest.mark.parametrize("expires", [1, 604800])
def test_lifetime_of_a_second_and_of_a_week_are_taken(expires):
    assert verifier().verify(call("GET", presigned(expires=expires), [HOST])).access_key == ACCESS


REQUIRED = (
    "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
    "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
)
PARSING = "Error parsing the X-Amz-Credential parameter; "


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ("X-Amz-Date=", "X-Amz-Dated=", "AuthorizationQueryParametersError", REQUIRED),
        ("X-Amz-Signature=", "X-Amz-Sig=", "AuthorizationQueryParametersError", REQUIRED),
        ("HMAC-SHA256", "HMAC-SHA512", "AuthorizationQueryParametersError", None),
        ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256", "NotImplemented", None),
        (
            TIMESTAMP,
            "2013-05-24",
            "AuthorizationQueryParametersError",
            "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"",
        ),
        (
            "%2F20130524%2F",
            "%2F20130525%2F",
            "AuthorizationQueryParametersError",
            'Invalid credential date "20130525". This date is not the same as X-Amz-Date: "20130524".',
        ),
        ("%2Fs3%2F", "%2Fiam%2F", "AuthorizationQueryParametersError", None),
        ("%2Fs3%2F", "%2F", "AuthorizationQueryParametersError", SCOPED.replace(MALFORMED, PARSING)),
        (ACCESS, "AKIAUNKNOWN", "InvalidAccessKeyId", None),
        ("X-Amz-Signature=", "X-Amz-Signature=0", "SignatureDoesNotMatch", None),
        ("X-Amz-Expires=3600", "X-Amz-Expires=3601", "SignatureDoesNotMatch", None),
        ("/b/k?", "/b/k?versionId=1&", "SignatureDoesNotMatch", None),
        ("/b/k?", "/b/k2?", "SignatureDoesNotMatch", None),
        ("SignedHeaders=host", "SignedHeaders=", "AccessDenied", None),
        ("&X-Amz-Expires=3600", "&X-Amz-Expires=3600" * 2, "AuthorizationQueryParametersError", None),
        ("&X-Amz-Date", "&X-Amz-Security-Token=t&X-Amz-Date", "InvalidToken", None),
    ],
)
def test_presigned_url_that_is_not_right_is_refused_as_s3_does(old, new, code, message):
    made = presigned()
    assert old in made
    error = refusal(call("GET", made.replace(old, new), [HOST]))
    assert error.code == code
    assert message in {None, str(error)}


async def test_presigned_upload_is_not_hashed_unless_its_hash_is_signed():
    sent = call("PUT", presigned(method="PUT"), [HOST], b"body")
    verifier().verify(sent)
    assert not sent.body.digest.algorithms
    assert await sent.body.read() == b"body"


async def test_presigned_upload_with_a_hash_in_header_or_query_is_held_to_it():
    digest = hashlib.sha256(b"body").hexdigest()
    path, query = "/b/k", f"X-Amz-Content-Sha256={digest}"
    made = sigv4.canonical_request  # the hash stands in the canonical request too
    text = f"{query}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={quote(f'{ACCESS}/{SCOPE}', safe='')}"
    text += f"&X-Amz-Date={TIMESTAMP}&X-Amz-Expires=60&X-Amz-SignedHeaders=host"
    canonical = made(Request("PUT", path, text, dict([HOST])), ["host"], digest)
    to_sign = sigv4.string_to_sign(TIMESTAMP, SCOPE, canonical)
    text += f"&X-Amz-Signature={sigv4.signature(signing_key(SECRET, SCOPE), to_sign)}"
    for body, right in [(b"body", True), (b"b0dy", False)]:
        sent = call("PUT", f"{path}?{text}", [HOST], body)
        verifier().verify(sent)
        if right:
            assert await sent.body.read() == body
        else:
            with pytest.raises(S3Error, match="x-amz-content-sha256"):
                await sent.body.read()


# --- version 2 ---


def v2_call(target="/b/k", pairs=(), date="Fri, 24 May 2013 00:00:00 GMT", who=WHO, method="GET"):
    path, _, query = target.partition("?")
    pairs = [*pairs, *([("date", date)] if date else [])]
    request = Request(method, path, query, sigv4.fold(pairs, collapse=False))
    return call(method, target, [*pairs, ("authorization", sigv2.authorization(request, who))])


@pytest.mark.parametrize(
    ("sent", "signed"),
    [
        ("/b/k?uploads=", "/b/k?uploads"),  # minio-go
        ("/b/?policy=", "/b/?policy"),
        ("/b?location=&x=1", "/b/?location&x=1"),
        ("/b/k?uploads=", "/b/k?uploads="),
        ("/b?acl", "/b/?acl"),  # botocore
    ],
)
def test_a_request_of_version_2_may_be_sent_otherwise_than_it_is_signed(sent, signed):
    pairs = list(v2_call(signed).headers.pairs)
    assert verifier().verify(call("GET", sent, pairs)).access_key == WHO.access_key
    assert isinstance(refusal(call("GET", f"{sent}&versionId=1", pairs)), SignatureDoesNotMatch)


def test_version_2_is_taken_unless_it_is_switched_off():
    message = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
    query = sigv2.presigned_query(Request("GET", "/b/k", "", {}), WHO, int(NOW) + 1)
    for sent in (v2_call(), call("GET", f"/b/k?{query}")):
        assert verifier().verify(sent).access_key == ACCESS
        assert told(refusal(sent, sigv2=False)) == ("InvalidRequest", message)


@pytest.mark.parametrize("credentials", ["HAHAHA", f"{ACCESS}:", f"{ACCESS}: x", ""])
def test_credentials_of_version_2_that_are_none_are_refused(credentials):
    error = refusal(call("GET", "/b/k", [("date", TIMESTAMP), ("authorization", f"AWS {credentials}")]))
    assert error.code == "InvalidArgument"
    assert "ArgumentValue" not in error.fields


@pytest.mark.parametrize(
    ("date", "pairs", "code"),
    [
        ("", [], "AccessDenied"),
        ("Bad Date", [], "AccessDenied"),
        ("Fri, 24 May 2013 00:00:00 GMT", [("x-amz-date", "Bad Date")], "AccessDenied"),
        ("Fri, 24 May 2013 00:00:00 GMT", [("x-amz-date", "")], "AccessDenied"),
        ("Tue, 07 Jul 1950 21:53:04 GMT", [], "AccessDenied"),
        ("Fri, 24 May 2013 01:00:00 GMT", [], "RequestTimeTooSkewed"),
    ],
)
def test_date_of_version_2_must_be_there_and_near(date, pairs, code):
    assert refusal(v2_call(date=date, pairs=pairs)).code == code


def test_key_or_signature_of_version_2_that_is_wrong_is_refused():
    assert refusal(v2_call(who=Credentials("unknown", SECRET))).code == "InvalidAccessKeyId"
    error = refusal(v2_call(who=Credentials(ACCESS, "wrong")))
    assert error.code == "SignatureDoesNotMatch"
    assert error.fields["StringToSign"] == "GET\n\n\nFri, 24 May 2013 00:00:00 GMT\n/b/k"
    assert refusal(v2_call(pairs=[("x-amz-security-token", "t")])).code == "InvalidToken"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            "Signature=s",
            "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters",
        ),
        ("Signature=s&AWSAccessKeyId=a&Expires=x", "Invalid date (should be seconds since epoch): x"),
        ("Signature=s&AWSAccessKeyId=a&Expires=-1", "Invalid date (should be seconds since epoch): -1"),
        ("Signature=s&AWSAccessKeyId=a&Expires=2147483648", None),
        ("Signature=s&AWSAccessKeyId=a&Expires=%C2%B2", None),
        (f"Signature=s&AWSAccessKeyId=a&Expires={'9' * 5000}", None),
        (f"Signature=s&AWSAccessKeyId=a&Expires={int(NOW) - 1}", "Request has expired"),
    ],
)
def test_url_of_version_2_that_is_not_right_is_refused(parameters, message):
    error = refusal(call("GET", f"/b/k?{parameters}"))
    assert error.code == "AccessDenied"
    assert message in {None, str(error)}


def test_changed_subresource_of_version_2_is_refused_and_other_parameters_are_free():
    query = sigv2.presigned_query(Request("GET", "/b/k", "", {}), WHO, int(NOW) + 1)
    assert verifier().verify(call("GET", f"/b/k?{query}&utm=1")).access_key == ACCESS
    for added in ("acl", "uploadId=1", "response-content-type=text/html", "x-amz-acl=public-read"):
        assert refusal(call("GET", f"/b/k?{query}&{added}")).code == "SignatureDoesNotMatch"


# --- bodies ---


def upload(declared: str, body: bytes, pairs=(), **more):
    return signed_call([HOST, DATE, ("x-amz-content-sha256", declared), *pairs], method="PUT", body=body, **more)


async def test_body_is_held_to_its_hash():
    digest = hashlib.sha256(b"body").hexdigest()
    for declared in (digest, digest.upper()):
        sent = upload(declared, b"body")
        verifier().verify(sent)
        assert await sent.body.read() == b"body"
    sent = upload(digest, b"b0dy")
    verifier().verify(sent)
    with pytest.raises(S3Error) as caught:
        await sent.body.read()
    computed = hashlib.sha256(b"b0dy").hexdigest()
    assert caught.value.code == "XAmzContentSHA256Mismatch"
    fields = {"ClientComputedContentSHA256": digest, "S3ComputedContentSHA256": computed}
    assert caught.value.fields == fields


@pytest.mark.parametrize("size", [0, None])
async def test_empty_body_is_not_hashed_and_must_be_empty(size):
    sent = signed_call(size=size)
    verifier().verify(sent)
    assert not sent.body.digest.algorithms
    assert await sent.body.read() == b""


@pytest.mark.parametrize("size", [4, None])
async def test_body_that_was_said_to_be_empty_is_refused(size):
    sent = signed_call(body=b"body", size=size)
    verifier().verify(sent)
    with pytest.raises(S3Error) as caught:
        await sent.body.read()
    assert caught.value.code == "XAmzContentSHA256Mismatch"


def test_wrong_hash_of_no_body_is_refused_at_once():
    assert refusal(upload("0" * 64, b"")).code == "XAmzContentSHA256Mismatch"


async def test_unsigned_payload_is_passed_on_as_it_comes():
    sent = upload("UNSIGNED-PAYLOAD", b"body")
    verifier().verify(sent)
    assert not sent.body.digest.algorithms
    assert await sent.body.read() == b"body"


def seed(sent) -> str:
    return sent.headers["authorization"][-64:]


async def framed(declared: str, trailers=None, *, size: str | None = "9004", announced: str = "", encode=signed):
    pairs = [("x-amz-decoded-content-length", size)] if size is not None else []
    pairs += [("x-amz-trailer", announced)] if announced else []
    pieces = [b"a" * 9000, b"body"]
    first = upload(declared, b"", pairs)
    body = encode(pieces, trailers, chain(seed(first))) if encode is signed else encode(pieces, trailers)
    sent = upload(declared, body, pairs)
    verifier().verify(sent)
    return await sent.body.read(), sent.body


async def test_signed_chunks_are_decoded_from_the_seed():
    found, body = await framed("STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
    assert (found, body.size, body.trailers) == (b"a" * 9000 + b"body", 9004, {})


async def test_signed_trailers_are_decoded():
    trailers = {CRC: "sOO8/Q=="}
    found, body = await framed("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", trailers, announced=CRC)
    assert (found, body.trailers) == (b"a" * 9000 + b"body", trailers)


async def test_unsigned_trailers_are_decoded():
    trailers = {CRC: "sOO8/Q=="}
    declared = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    found, body = await framed(declared, trailers, announced=CRC.upper(), encode=unsigned)
    assert (found, body.trailers) == (b"a" * 9000 + b"body", trailers)


async def test_chunks_signed_from_another_seed_are_refused():
    pairs = [("x-amz-decoded-content-length", "4")]
    sent = upload("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", signed([b"body"]), pairs)
    verifier().verify(sent)
    with pytest.raises(SignatureDoesNotMatch):
        await sent.body.read()


@pytest.mark.parametrize("size", ["9003", "9005"])
async def test_decoded_length_must_be_right(size):
    with pytest.raises(S3Error) as caught:
        await framed("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", size=size)
    assert caught.value.code == "IncompleteBody"


@pytest.mark.parametrize(
    ("declared", "more", "code"),
    [
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", {"size": None}, "MissingContentLength"),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", {"size": None, "encode": unsigned}, "MissingContentLength"),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", {"size": "x"}, "InvalidArgument"),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", {"size": "-1"}, "InvalidArgument"),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", {"announced": CRC}, "InvalidRequest"),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", {"announced": "x-amz-meta-a"}, "InvalidRequest"),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", {"announced": CRC}, "MalformedTrailerError"),
    ],
)
async def test_framed_body_that_is_not_right_is_refused(declared, more, code):
    with pytest.raises(S3Error) as caught:
        await framed(declared, **more)
    assert caught.value.code == code


async def test_unsigned_frames_of_unknown_length_are_decoded():
    sent = upload("STREAMING-UNSIGNED-PAYLOAD-TRAILER", unsigned([b"body"]), size=None)
    verifier().verify(sent)
    assert sent.body.size is None
    assert await sent.body.read() == b"body"


async def test_limit_counts_the_decoded_bytes():
    sent = upload("STREAMING-UNSIGNED-PAYLOAD-TRAILER", unsigned([b"body"]), [("x-amz-decoded-content-length", "4")])
    sent.body.limit = 3
    verifier().verify(sent)
    with pytest.raises(S3Error) as caught:
        await sent.body.read()
    assert caught.value.code == "EntityTooLarge"


def test_chunks_cannot_be_signed_with_version_2():
    pairs = [("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), ("x-amz-decoded-content-length", "4")]
    assert refusal(v2_call(pairs=pairs, method="PUT")).code == "InvalidRequest"


async def test_unsigned_call_that_says_how_its_body_comes_is_held_to_it():
    frames = ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    sent = call("PUT", "/b/k", [frames, ("x-amz-decoded-content-length", "4")], unsigned([b"body"]))
    assert verifier().verify(sent).anonymous
    assert await sent.body.read() == b"body"
    assert refusal(call("PUT", "/b/k", [("x-amz-content-sha256", "0" * 64)])).code == "XAmzContentSHA256Mismatch"


async def test_presigned_upload_in_frames_is_unpacked():
    frames = ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    pairs = dict([HOST, ("x-amz-decoded-content-length", "4")])
    query = f"/b/k?X-Amz-Content-Sha256={frames[1]}"
    made = sigv4.presigned_query(Request("PUT", "/b/k", "", pairs), WHO, TIMESTAMP, 60)
    assert refusal(call("PUT", f"{query}&{made}", [*pairs.items()], b"")).code == "SignatureDoesNotMatch"
    made = sigv4.presigned_query(Request("PUT", "/b/k", "", pairs | {"x-amz-trailer": CRC}), WHO, TIMESTAMP, 60)
    body = unsigned([b"body"], {CRC: "sOO8/Q=="})
    sent = call("PUT", f"/b/k?{made}", [*pairs.items(), ("x-amz-trailer", CRC)], body)
    assert verifier().verify(sent).access_key == ACCESS
    assert await sent.body.read() == b"body"


# --- whatever comes ---

TEXT = st.binary(max_size=30).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
LIKELY = st.sampled_from(
    [
        *("authorization", "x-amz-date", "date", "x-amz-content-sha256", "host", "x-amz-trailer", "content-md5"),
        *("AWS4-HMAC-SHA256 ", "AWS ", "Credential=", "SignedHeaders=host", "Signature=", ",", "/", ":", TIMESTAMP),
        *(f"{ACCESS}/20130524/us-east-1/s3/aws4_request", EMPTY_SHA256, "UNSIGNED-PAYLOAD", "=", "&", "%", "%2", "+"),
        *(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&",
            "X-Amz-Credential=",
            "X-Amz-Date=",
            "&X-Amz-Expires=60&X-Amz-Signature=",
        ),
        *("&X-Amz-SignedHeaders=host", "Signature=", "&AWSAccessKeyId=", "&Expires=1369353600", ACCESS),
    ]
)
MIXED = st.lists(st.one_of(LIKELY, TEXT), max_size=12).map("".join)


def outcome(sent) -> str | int:
    try:
        return "nobody" if verifier().verify(sent).anonymous else "somebody"
    except S3Error as error:
        return error.status


@settings(max_examples=500, deadline=None)
@given(MIXED, MIXED, st.lists(st.tuples(st.one_of(LIKELY, TEXT), MIXED), max_size=5))
def test_whatever_comes_is_refused_or_nobodys(path, query, pairs):
    sent = call("GET", f"/{path}?{query}".replace("#", ""), pairs)
    assert outcome(sent) in {"nobody", 400, 403, 411, 501}


@settings(max_examples=300, deadline=None)
@given(MIXED.map(str.strip), st.sampled_from(["authorization", "x-amz-date", "x-amz-content-sha256", "host"]))
def test_whatever_stands_in_one_header_is_refused(text, name):
    pairs = [(key, text if key == name else value) for key, value in [*BASE, header()]]
    if dict(pairs) == dict([*BASE, header()]) or (name == "authorization" and not text):
        return
    assert refusal(call("GET", "/b/k", pairs)).status in {400, 403, 501}


def test_a_signed_get_costs_little():
    """25 µs on a machine that does nothing else; twice that is allowed for."""
    extra = [("user-agent", "Boto3/1.40"), ("accept-encoding", "identity"), ("amz-sdk-request", "attempt=1")]
    sent = signed_call(extra=extra, target="/bucket/designs/42/preview%20one.png?x-id=GetObject")
    check = verifier()
    best = min(_per_call(check, sent) for _ in range(10))
    assert best < 50e-6


def _per_call(check: Verifier, sent) -> float:
    started = time.thread_time()
    for _ in range(500):
        check.verify(sent)
    return (time.thread_time() - started) / 500


def test_signing_keys_of_unknown_callers_are_made_too():
    """Else the time would tell which access keys there are, even where the answer is held back."""
    signing_key.cache_clear()
    refusal(call("GET", "/b/k", [*BASE, header(who=Credentials("unknown", "x"))]))
    refusal(call("GET", "/b/k", [*BASE, header(who=Credentials(ACCESS, "x"))]))
    assert signing_key.cache_info().misses == 3  # the callers' own, the one of the known key, and one for the unknown
