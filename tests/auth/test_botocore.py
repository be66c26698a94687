"""What botocore signs is taken, whatever is asked for; what is changed on the way is not."""

import calendar
import time
from contextlib import suppress
from email.utils import formatdate
from urllib.parse import quote, urlsplit

import boto3
import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.config import Config
from botocore.credentials import Credentials
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gateway import sigv4
from gateway.auth import sigv2
from gateway.auth.verify import Verifier
from gateway.errors import S3Error
from gateway.message import Call
from gateway.sigv4 import Request
from gateway.storage import Body
from tests.auth.calls import ACCESS, KEYS, SECRET, call, chunks

VERIFIER = Verifier(KEYS, "eu-central-1")
SIGNER = Credentials(ACCESS, SECRET)
HOST = "s3.example.com:9000"
KEYS_OF_OBJECTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), min_size=1, max_size=40)
VALUES = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=30)
PARAMETERS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
QUERIES = st.lists(st.tuples(PARAMETERS.filter(lambda name: name not in {"Signature", "Expires"}), VALUES))
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=12)
HEADERS = st.dictionaries(NAMES.map("x-amz-meta-{}".format), VALUES, max_size=4)
METHODS = st.sampled_from(["GET", "PUT", "HEAD", "DELETE", "POST"])
CASES = {"method": METHODS, "key": KEYS_OF_OBJECTS, "query": QUERIES, "headers": HEADERS}
MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def request(method, key, query, headers, body=b"") -> AWSRequest:
    parameters = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)
    url = f"http://{HOST}/bucket/{quote(key, safe='/~')}" + (f"?{parameters}" if parameters else "")
    return AWSRequest(method=method, url=url, headers=headers, data=body)


def received(signed: AWSRequest, body: bytes = b"") -> Call:
    parts = urlsplit(signed.url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    return call(signed.method, target, [("host", HOST), *signed.headers.items()], body)


@MANY
@given(**CASES, body=st.binary(max_size=50))
async def test_signed_headers_of_version_4_are_verified(method, key, query, headers, body):
    signed = request(method, key, query, headers, body)
    botocore.auth.S3SigV4Auth(SIGNER, "s3", "eu-central-1").add_auth(signed)
    sent = received(signed, body)
    assert VERIFIER.verify(sent).access_key == ACCESS
    assert await sent.body.read() == body


@MANY
@given(**CASES)
def test_urls_presigned_with_version_4_are_verified(method, key, query, headers):
    signed = request(method, key, [], headers)
    signed.params = dict(query)
    botocore.auth.S3SigV4QueryAuth(SIGNER, "s3", "eu-central-1", expires=60).add_auth(signed)
    assert VERIFIER.verify(received(signed)).access_key == ACCESS


@MANY
@given(**CASES)
def test_signed_headers_of_version_2_are_verified(method, key, query, headers):
    signed = request(method, key, [*query, ("uploadId", "a b+c/d"), ("acl", "")], headers)
    botocore.auth.HmacV1Auth(SIGNER).add_auth(signed)
    assert VERIFIER.verify(received(signed)).access_key == ACCESS


@MANY
@given(method=METHODS, key=KEYS_OF_OBJECTS, headers=HEADERS)
def test_urls_presigned_with_version_2_are_verified(method, key, headers):
    query = [("response-content-disposition", 'attachment; filename="a+b ü.txt"'), ("versionId", "x/y=")]
    signed = request(method, key, query, headers)
    botocore.auth.HmacV1QueryAuth(SIGNER, expires=60).add_auth(signed)
    parts = urlsplit(signed.url)
    assert VERIFIER.verify(call(method, f"{parts.path}?{parts.query}", [("host", HOST)])).access_key == ACCESS


@MANY
@given(**CASES)
def test_our_signatures_are_those_of_botocore(method, key, query, headers):
    theirs = request(method, key, query, headers)
    botocore.auth.S3SigV4Auth(SIGNER, "s3", "eu-central-1").add_auth(theirs)
    parts, timestamp = urlsplit(theirs.url), theirs.headers["X-Amz-Date"]
    pairs = [("host", HOST), *((name, value) for name, value in theirs.headers.items() if name != "Authorization")]
    ours = Request(method, parts.path, parts.query, sigv4.fold(pairs))
    who = sigv4.Credentials(ACCESS, SECRET, "eu-central-1")
    made = sigv4.authorization(ours, who, timestamp, theirs.headers["X-Amz-Content-SHA256"])
    assert made == theirs.headers["Authorization"]


@MANY
@given(method=METHODS, key=KEYS_OF_OBJECTS, query=QUERIES)
def test_what_we_presign_is_verified(method, key, query):
    parts = urlsplit(request(method, key, query, {}).url)
    who = sigv4.Credentials(ACCESS, SECRET, "eu-central-1")
    ours = Request(method, parts.path, parts.query, {"host": HOST})
    made = sigv4.presigned_query(ours, who, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), 60)
    assert VERIFIER.verify(call(method, f"{parts.path}?{made}", [("host", HOST)])).access_key == ACCESS
    made = sigv2.presigned_query(ours, who, calendar.timegm(time.gmtime()) + 60)
    assert VERIFIER.verify(call(method, f"{parts.path}?{made}", [("host", HOST)])).access_key == ACCESS
    dated = ours._replace(headers={"date": formatdate(usegmt=True)})
    pairs = [*dated.headers.items(), ("Authorization", sigv2.authorization(dated, who))]
    assert VERIFIER.verify(call(method, f"{parts.path}?{parts.query}", pairs)).access_key == ACCESS


@settings(max_examples=400, deadline=None)
@given(where=st.sampled_from(["method", "path", "query", "header", "authorization"]), data=st.data())
def test_one_flipped_bit_is_refused(where, data):
    signed = request("GET", "designs/42/preview.png", [("versionId", "abc")], {"x-amz-meta-a": "value"})
    botocore.auth.S3SigV4Auth(SIGNER, "s3", "eu-central-1").add_auth(signed)
    parts, headers = urlsplit(signed.url), dict(signed.headers.items())
    name = "x-amz-meta-a" if where == "header" else "Authorization"
    texts = {"method": "GET", "path": parts.path, "query": parts.query, "header": headers[name]}
    text = texts.get(where, headers[name])
    spot, bit = data.draw(st.integers(0, len(text) - 1)), data.draw(st.integers(0, 6))
    flipped = text[:spot] + chr(ord(text[spot]) ^ 1 << bit) + text[spot + 1 :]
    assume("\n" not in flipped and "\r" not in flipped)
    sent = {"method": "GET", "path": parts.path, "query": parts.query, where: flipped}
    headers[name] = flipped if where in {"header", "authorization"} else headers[name]
    target = f"{sent['path']}?{sent['query']}"
    changed = call(sent["method"], target, [("host", HOST), *headers.items()])
    assume(where != "authorization" or not _same(text, flipped))
    with pytest.raises(S3Error):
        VERIFIER.verify(changed)


def _same(text: str, flipped: str) -> bool:
    """Blanks around the components of the header say nothing."""
    return [part.strip() for part in text.split(",")] == [part.strip() for part in flipped.split(",")]


def capture(operation: str, arguments: dict, **config) -> Call:
    """Return the call that a client of boto3 makes; `secure` says over what."""
    scheme = "https" if config.pop("secure", False) else "http"
    style = config.pop("style", "path")
    client = boto3.client(
        "s3",
        region_name="eu-central-1",
        endpoint_url=f"{scheme}://{HOST}",
        aws_access_key_id=ACCESS,
        aws_secret_access_key=SECRET,
        config=Config(s3={"addressing_style": style}, **config),
    )
    found = []

    def keep(request, **_):
        found.append(request)
        return AWSResponse(request.url, 200, {}, None)

    client.meta.events.register("before-send.s3", keep)
    with suppress(AttributeError):  # the answer has no body to parse: what was sent is all we want
        getattr(client, operation)(**arguments)
    return as_call(found[0])


def as_call(sent) -> Call:
    parts = urlsplit(sent.url)
    headers = [(name, value.decode() if isinstance(value, bytes) else value) for name, value in sent.headers.items()]
    body = sent.body.read() if hasattr(sent.body, "read") else sent.body or b""
    body = body.encode() if isinstance(body, str) else body
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    more = {} if parts.netloc == HOST else {"bucket": parts.netloc.partition(".")[0]}
    if "host" not in sent.headers:
        headers.append(("host", parts.netloc))
    made = call(sent.method, target, headers, b"", **more)
    chunked = "Transfer-Encoding" in sent.headers
    made.body = Body(chunks([body]), None if chunked else len(body), limit=2**40)
    return made


PUT = {"Bucket": "bucket", "Key": "a b+c/ü~*'().txt", "Body": b"hello" * 5000}
OPERATIONS = [
    ("put_object", {**PUT, "Metadata": {"a": " x  y "}, "ContentType": "text/plain", "ACL": "public-read"}),
    ("get_object", {"Bucket": "bucket", "Key": "a//b/../c", "ResponseContentDisposition": "attachment; filename=a b"}),
    ("list_objects_v2", {"Bucket": "bucket", "Prefix": "a b/+&=ü", "Delimiter": "/"}),
    ("create_bucket", {"Bucket": "bucket"}),
    ("get_bucket_acl", {"Bucket": "bucket"}),
    ("upload_part", {"Bucket": "bucket", "Key": "k", "UploadId": "a+b/c=", "PartNumber": 1, "Body": b"part"}),
    ("delete_objects", {"Bucket": "bucket", "Delete": {"Objects": [{"Key": "a"}]}}),
    ("list_buckets", {}),
]


@pytest.mark.parametrize(("operation", "arguments"), OPERATIONS)
@pytest.mark.parametrize("style", ["path", "virtual"])
@pytest.mark.parametrize("version", ["s3v4", "s3"])
@pytest.mark.parametrize("secure", [False, True])
async def test_calls_of_boto3_are_verified_and_their_bodies_arrive(operation, arguments, style, version, secure):
    sent = capture(operation, arguments, style=style, signature_version=version, secure=secure)
    assert VERIFIER.verify(sent).access_key == ACCESS
    body = await sent.body.read()
    if "Body" in arguments:
        assert body == arguments["Body"]


async def test_trailers_of_boto3_over_tls_reach_the_body():
    sent = capture("put_object", PUT, secure=True, signature_version="s3v4")
    assert sent.headers["x-amz-content-sha256"] == "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    VERIFIER.verify(sent)
    assert (sent.body.size, await sent.body.read()) == (25_000, PUT["Body"])
    assert list(sent.body.trailers) == [sent.headers["x-amz-trailer"]]


async def test_unsigned_calls_of_boto3_over_tls_are_unpacked_too():
    from botocore import UNSIGNED  # noqa: PLC0415 - a name too plain for a whole module

    sent = capture("put_object", PUT, secure=True, signature_version=UNSIGNED)
    assert VERIFIER.verify(sent).anonymous
    assert await sent.body.read() == PUT["Body"]


@pytest.mark.parametrize("style", ["path", "virtual"])
@pytest.mark.parametrize("version", ["s3v4", "s3"])
@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("get_object", {"Bucket": "bucket", "Key": "a b+c/ü", "ResponseContentType": "text/plain; charset=x"}),
        ("put_object", {"Bucket": "bucket", "Key": "k"}),
        ("list_objects_v2", {"Bucket": "bucket", "Prefix": "a b"}),
        ("upload_part", {"Bucket": "bucket", "Key": "k", "UploadId": "a+b/c=", "PartNumber": 1}),
    ],
)
def test_urls_of_boto3_are_verified(operation, arguments, version, style):
    client = boto3.client(
        "s3",
        region_name="eu-central-1",
        endpoint_url=f"http://{HOST}",
        aws_access_key_id=ACCESS,
        aws_secret_access_key=SECRET,
        config=Config(signature_version=version, s3={"addressing_style": style}),
    )
    parts = urlsplit(client.generate_presigned_url(operation, Params=arguments))
    method = {"get": "GET", "put": "PUT", "list": "GET", "upload": "PUT"}[operation.partition("_")[0]]
    more = {} if parts.netloc == HOST else {"bucket": "bucket"}
    sent = call(method, f"{parts.path}?{parts.query}", [("host", parts.netloc)], **more)
    assert VERIFIER.verify(sent).access_key == ACCESS
