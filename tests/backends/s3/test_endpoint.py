"""A bucket is looked for where its server has it."""

import pytest

from gateway.backends.dialects import DIALECTS, dialect_of
from gateway.backends.s3.endpoint import aws_url, endpoint_of
from gateway.checksums import ALGORITHMS
from gateway.errors import InvalidBucketName


@pytest.mark.parametrize(
    ("url", "virtual", "bucket", "expected"),
    [
        ("https://s3.example.com", False, "bucket", ("s3.example.com", "/bucket/a%20b/c")),
        ("https://s3.example.com:443/", True, "bucket", ("bucket.s3.example.com", "/a%20b/c")),
        ("http://127.0.0.1:9000", False, "bucket", ("127.0.0.1:9000", "/bucket/a%20b/c")),
        ("http://[::1]:9000", False, "bucket", ("[::1]:9000", "/bucket/a%20b/c")),
        ("https://s3.example.com/under", False, "bucket", ("s3.example.com", "/under/bucket/a%20b/c")),
        ("https://s3.example.com", True, "with.dot", ("s3.example.com", "/with.dot/a%20b/c")),
        ("https://s3.example.com", True, "With-Upper", ("s3.example.com", "/With-Upper/a%20b/c")),
    ],
)
def test_a_key_has_its_host_and_its_path(url, virtual, bucket, expected):
    assert endpoint_of(url, virtual=virtual).locate(bucket, "a b/c") == expected


@pytest.mark.parametrize("bucket", ["..", "a/b", "a?b", "a b", "-", "a%2Fb", "ä"])
def test_a_name_that_could_lead_elsewhere_is_refused(bucket):
    with pytest.raises(InvalidBucketName):
        endpoint_of("https://s3.example.com", virtual=True).locate(bucket, "key")


@pytest.mark.parametrize("url", ["s3.example.com", "ftp://x", "https://", "https://user:secret@x", "https://x/?y", ""])
def test_what_is_no_url_of_a_server_is_refused(url):
    with pytest.raises(ValueError, match="expected a URL"):
        endpoint_of(url, virtual=False)


def test_regions_of_aws_have_their_hosts():
    assert aws_url("eu-west-1") == "https://s3.eu-west-1.amazonaws.com"
    assert aws_url("cn-north-1") == "https://s3.cn-north-1.amazonaws.com.cn"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("s3.eu-west-1.amazonaws.com", "aws"),
        ("s3.cn-north-1.amazonaws.com.cn", "aws"),
        ("0123.eu.r2.cloudflarestorage.com", "r2"),
        ("storage.googleapis.com:443", "gcs"),
        ("s3.us-west-004.backblazeb2.com", "b2"),
        ("notamazonaws.com", "generic"),
        ("minio:9000", "generic"),
    ],
)
def test_a_dialect_is_told_from_the_host(host, name):
    assert dialect_of(host).name == name


def test_dialects_name_only_checksums_that_there_are():
    for dialect in DIALECTS.values():
        assert dialect.checksums <= set(ALGORITHMS)
        assert dialect.default_checksum in {None, *dialect.checksums}
