import pytest

from gateway import sigv4
from gateway.auth import sigv2
from gateway.auth.moment import from_date
from gateway.auth.verify import Verifier
from gateway.sigv4 import Credentials, Request
from tests.auth.calls import ACCESS, KEYS, SECRET, call

# https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html#RESTAuthenticationExamples
BUCKET = "awsexamplebucket1"
HOST = ("Host", "awsexamplebucket1.us-west-1.s3.amazonaws.com")
UPLOAD = [
    ("Host", "static.example.com:8080"),
    ("Date", "Tue, 27 Mar 2007 21:06:08 +0000"),
    ("x-amz-acl", "public-read"),
    ("content-type", "application/x-download"),
    ("Content-MD5", "4gJE4saaMU4BqNR0kLY+lw=="),
    ("X-Amz-Meta-ReviewedBy", "joe@example.com"),
    ("X-Amz-Meta-ReviewedBy", "jane@example.com"),
    ("X-Amz-Meta-FileChecksum", "0x02661779"),
    ("X-Amz-Meta-ChecksumAlgorithm", "crc32"),
    ("Content-Encoding", "gzip"),
]
PUBLISHED = {
    "object GET": (
        ("GET", "/photos/puppy.jpg", [HOST, ("Date", "Tue, 27 Mar 2007 19:36:42 +0000")], BUCKET),
        "qgk2+6Sv9/oM7G3qLEjTH1a1l1g=",
    ),
    "object PUT": (
        (
            "PUT",
            "/photos/puppy.jpg",
            [HOST, ("Content-Type", "image/jpeg"), ("Date", "Tue, 27 Mar 2007 21:15:45 +0000")],
            BUCKET,
        ),
        "iqRzw+ileNPu1fhspnRs8nOjjIA=",
    ),
    "list": (
        (
            "GET",
            "/?prefix=photos&max-keys=50&marker=puppy",
            [HOST, ("Date", "Tue, 27 Mar 2007 19:42:41 +0000")],
            BUCKET,
        ),
        "m0WP8eCtspQl5Ahe6L1SozdX9YA=",
    ),
    "fetch": (
        ("GET", "/?acl", [HOST, ("Date", "Tue, 27 Mar 2007 19:44:46 +0000")], BUCKET),
        "82ZHiFIjc+WbcwFKGUVEQspPn+0=",
    ),
    "upload": (("PUT", "/db-backup.dat.gz", UPLOAD, "static.example.com"), "jtBQa0Aq+DkULFI8qrpwIjGEx0E="),
    "list all my buckets": (
        ("GET", "/", [HOST, ("Date", "Wed, 28 Mar 2007 01:29:59 +0000")], ""),
        "qGdzdERIC03wnaRNKh6OqZehG9s=",
    ),
    "unicode keys": (
        ("GET", "/dictionary/fran%C3%A7ais/pr%c3%a9f%c3%a8re", [("Date", "Wed, 28 Mar 2007 01:49:49 +0000")], ""),
        "DNEZGsoieTZ92F3bUfSPQcbGmlM=",
    ),
    "x-amz-date": (
        (
            "DELETE",
            "/johnsmith/photos/puppy.jpg",  # as the page had it until 2019; today's signs something else than it shows
            [("Date", "Tue, 27 Mar 2007 21:20:27 +0000"), ("x-amz-date", "Tue, 27 Mar 2007 21:20:26 +0000")],
            "",
        ),
        "R4dJ53KECjStyBO5iTBJZ4XVOaI=",
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_examples_are_signed_as_published(name):
    (method, target, headers, bucket), signature = PUBLISHED[name]
    path, _, query = target.partition("?")
    path = f"/{bucket}{path}" if bucket else path
    request = Request(method, path, query, sigv4.fold(headers, collapse=False))
    assert sigv2.authorization(request, Credentials(ACCESS, SECRET)) == f"AWS {ACCESS}:{signature}"


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_examples_are_verified(name):
    (method, target, headers, bucket), signature = PUBLISHED[name]
    more = {"bucket": bucket} if bucket else {}
    sent = call(method, target, [*headers, ("Authorization", f"AWS {ACCESS}:{signature}")], **more)
    now = from_date(dict(headers)["Date"])
    assert Verifier(KEYS, "us-west-1", clock=lambda: now).verify(sent).access_key == ACCESS


def test_published_presigned_url_is_made_and_verified():
    """The signature is of the page's former bucket."""
    query = f"AWSAccessKeyId={ACCESS}&Expires=1175139620&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D"
    request = Request("GET", "/johnsmith/photos/puppy.jpg", "", {})
    assert sigv2.presigned_query(request, Credentials(ACCESS, SECRET), 1175139620) == query
    sent = call("GET", f"/photos/puppy.jpg?{query}", [HOST], bucket="johnsmith")
    assert Verifier(KEYS, "us-west-1", clock=lambda: 1175139620.0).verify(sent).access_key == ACCESS


def test_parameters_that_are_signed_are_sorted_and_decoded_others_left_out():
    query = "uploadId=a%20b%2B&prefix=x&partNumber=1&response-content-type=text%2Fplain&acl"
    text = sigv2.header_string(Request("GET", "/b/k", query, {}))
    assert text.endswith("\n/b/k?acl&partNumber=1&response-content-type=text/plain&uploadId=a b+")
