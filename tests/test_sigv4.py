import hashlib
from urllib.parse import quote

import pytest

from gateway import sigv4
from gateway.auth.moment import from_timestamp
from gateway.auth.verify import Verifier
from gateway.sigv4 import Credentials, Request, Scope
from tests.auth.calls import ACCESS, KEYS, SECRET, call

# https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
HOST = ("Host", "examplebucket.s3.amazonaws.com")
DATE = ("x-amz-date", "20130524T000000Z")
EMPTY = ("x-amz-content-sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
WELCOME = b"Welcome to Amazon S3."
PUBLISHED = {
    "GET object": (
        ("GET", "/test.txt", [HOST, DATE, EMPTY, ("Range", "bytes=0-9")], b""),
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    "PUT object": (
        (
            "PUT",
            "/test$file.text",
            [
                HOST,
                DATE,
                ("Date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
                ("x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"),
            ],
            WELCOME,
        ),
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
    "GET bucket lifecycle": (
        ("GET", "/?lifecycle", [HOST, DATE, EMPTY], b""),
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    "list objects": (
        ("GET", "/?max-keys=2&prefix=J", [HOST, DATE, EMPTY], b""),
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
}
CREDENTIALS = Credentials(ACCESS, SECRET)
# https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
PRESIGNED = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
    "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
    "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_examples_are_signed_as_published(name):
    (method, target, headers, body), signature = PUBLISHED[name]
    path, _, query = target.partition("?")
    folded = sigv4.fold(headers)
    payload = hashlib.sha256(body).hexdigest()
    header = sigv4.authorization(Request(method, path, query, folded), CREDENTIALS, DATE[1], payload)
    assert header.endswith(f", Signature={signature}")


@pytest.mark.parametrize("name", PUBLISHED)
async def test_published_examples_are_verified(name):
    (method, target, headers, body), signature = PUBLISHED[name]
    signed = ";".join(sorted(header.lower() for header, _ in headers))
    scope = f"{ACCESS}/20130524/us-east-1/s3/aws4_request"
    value = f"AWS4-HMAC-SHA256 Credential={scope},SignedHeaders={signed},Signature={signature}"
    sent = call(method, target, [*headers, ("Authorization", value)], body, bucket="examplebucket")
    caller = Verifier(KEYS, "us-east-1", clock=lambda: from_timestamp(DATE[1])).verify(sent)
    assert caller.access_key == ACCESS
    assert await sent.body.read() == body


def test_published_presigned_url_is_made_and_verified():
    request = Request("GET", "/test.txt", "", {"host": HOST[1]})
    assert sigv4.presigned_query(request, CREDENTIALS, DATE[1], 86400) == PRESIGNED
    verifier = Verifier(KEYS, "us-east-1", clock=lambda: from_timestamp(DATE[1]) + 86400)
    assert verifier.verify(call("GET", f"/test.txt?{PRESIGNED}", [HOST], bucket="examplebucket")).access_key == ACCESS


@pytest.mark.parametrize(
    ("sent", "canonical"),
    [
        ("", "/"),
        ("/", "/"),
        ("/b/k", "/b/k"),
        ("/b//k/../.", "/b//k/../."),
        ("/b/a+b", "/b/a%20b"),
        ("/b/a%2Bb", "/b/a%2Bb"),
        ("/b/a%2bb", "/b/a%2Bb"),
        ("/b/%7E~%41%5a%30%39%2D%2E%5F", "/b/~~AZ09-._"),
        ("/b/a%20b", "/b/a%20b"),
        ("/b/a%2520b", "/b/a%2520b"),
        ("/b/a%2Fb", "/b/a/b"),
        ("/b/%2fa/%2F", "/b//a//"),
        ("/b/(a)'!*", "/b/%28a%29%27%21%2A"),
        ("/b/100%", "/b/100%25"),
        ("/b/ü", "/b/%C3%BC"),
        ("/b/%c3%bc", "/b/%C3%BC"),
        ("/b/\udcff", "/b/%FF"),
    ],
)
def test_path_is_encoded_once_whatever_the_client_sent(sent, canonical):
    assert sigv4.canonical_uri(sent) == canonical


def test_every_byte_is_encoded_as_botocore_would():
    for byte in range(256):
        encoded = quote(bytes([byte]), safe="/~")
        assert sigv4.canonical_uri(f"/{encoded}") == f"/{encoded}"
        assert sigv4.canonical_uri(f"/%{byte:02X}") == f"/{encoded}"


@pytest.mark.parametrize(
    ("sent", "canonical"),
    [
        ("", ""),
        ("acl", "acl="),
        ("acl=", "acl="),
        ("b=1&a=2", "a=2&b=1"),
        ("a=2&a=1", "a=1&a=2"),
        ("a-b=1&a=2", "a=2&a-b=1"),
        ("a=b=c", "a=b%3Dc"),
        ("a+a=b+c&d=%2B", "a%20a=b%20c&d=%2B"),
        ("a&&b", "a=&b="),
        ("a=%7e%2f/", "a=~%2F%2F"),
        ("X-Amz-Signature=x&a=1", "a=1"),
    ],
)
def test_query_is_encoded_anew_and_sorted(sent, canonical):
    assert sigv4.canonical_query(sent) == canonical


def test_headers_are_trimmed_collapsed_and_joined():
    folded = sigv4.fold([("A", "  x   y\t z "), ("b", "1"), ("a", "2"), ("B", "")])
    assert folded == {"a": "x y z,2", "b": "1,"}


def test_signing_keys_are_cached_within_bounds():
    info = sigv4.signing_key.cache_info()
    assert info.maxsize == 1024
    sigv4.signing_key(SECRET, Scope("20130524", "us-east-1"))
    before = sigv4.signing_key.cache_info().hits
    sigv4.signing_key(SECRET, Scope("20130524", "us-east-1"))
    assert sigv4.signing_key.cache_info().hits == before + 1


def test_secrets_are_not_shown():
    assert SECRET not in repr(CREDENTIALS) + repr(KEYS)
