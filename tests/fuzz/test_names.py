"""Names that are none: nothing outside the folder is read or written, and no answer is an internal error."""

# ruff: noqa: E501 - tables of nasty values

import hashlib
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.attacked import LAST, PROBED, head, thorough

WAYS = [
    "..", ".", "../canary", "../../canary", "../beside/canary", "./../canary", "a/../../canary", "/canary", "//etc/passwd",
    "/etc/passwd", "..\\canary", "....//canary", "..;/canary", "link", "way", "way/canary", "link/x", ".gw", ".gw/lock",
    "../.gw/lock", "../.gw/tmp/x", "../.gw/uploads/private/x", "../.gw/buckets/private", "..%2fcanary", "%2e%2e/canary",
    "..\0/canary", "\0", "a\0b", "a//b", "a/", "/", "///", "a/.", "a/..", ".%", ".%d..", ".%f..", ".%f..%2Fcanary",
    ".%alink", ".%dway/canary", ".%c..", ".%f%00", "x" * 1024, "x/" * 512, "é" * 512, "x" * 255, "x" * 256, "q" * 250,
    "." * 255, "\U0010ffff", "\ufffe", "\x7f", "\x80", "\u202e", "key ", " key", "key.", "CON", "~", "-rf", "*", "?", "\r\n",
]  # fmt: skip
LONG = ["x" * 1025, "é" * 513, "x" * 5000, "../" * 400]
RAW = ["/open/%c0%ae%c0%ae/canary", "/open/%ed%a0%80", "/open/%ff", "/open/%e0%80%af", "/%2e%2e/canary", "/..%2fcanary/x",
    "/%2e%2e%2fcanary", "/outside/canary", "/open/link", "/open/way/canary", "/.gw/lock", "/.gw", "/.", "/..", "//canary",
    "/open/..%5ccanary", "/open/%252e%252e/canary", "/open/%00", "/%00/x", "/OPEN/probe", "/open%2fprobe", "/open/%u002e"]  # fmt: skip
BUCKETS = ["..", ".", ".gw", "OPEN", "a\0b", "open\0", "x" * 64, "x" * 300, "a", "ab", "-ab", "192.168.0.1", "a..b", "xn--a", "outside",
    "open/../private", "é", "a b", "open\n", "~", "%2e%2e", "a_b", "", " "]  # fmt: skip
NUMBERS = ["0", "-1", "1", "10000", "10001", "9" * 30, "٣", "1.5", "1e3", " 1", "+1", "0x1", "", "\0", "²"]
IDS = [
    "..",
    ".",
    "../../x",
    "/etc/passwd",
    "",
    "x" * 5000,
    "\0",
    "0" * 32,
    "a" * 16 + "\n",
    "../private",
    "é",
    "0" * 15,
    "A" * 32,
]
DATES = ["", "0", "Thu, 01 Jan 1970 00:00:00 GMT", "Sun, 06 Nov 94 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "9" * 40,
    "Mon, 31 Feb 2024 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Sat, 01 Jan 0000 00:00:00 GMT", "Sunday, 06-Nov-99 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994", "2024-01-01T00:00:00Z", "x" * 3000]  # fmt: skip
TAGS = ["*", '"', '""', "a", '"a"', 'W/"a"', "*, *", ",", '"a", "b"', '"' * 3000, "W/", "W/*", "\x80", "%", '"a']
RANGES = ["bytes=0-0", "bytes=-1", "bytes=-0", "bytes=5-", "bytes=9-1", "bytes=0-0,1-1", "bytes=" + "9" * 40 + "-", "bytes=-" + "9" * 40,
    "bytes=0-" + "9" * 4000, "items=0-1", "bytes=a-b", "bytes", "=", "bytes=--1", "bytes=0-٣", "bytes = 0-1", "", "BYTES=0-1"]  # fmt: skip

names = st.sampled_from(WAYS) | st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)


def escaped(key):
    return quote(key, safe="")


@thorough
@given(key=names, method=st.sampled_from(["PUT", "GET", "DELETE", "POST"]), hidden=st.booleans())
def test_every_name_is_that_of_an_object_inside(attacked, key, method, hidden):
    """What is put under a name is read, listed and deleted under that name, and there is nothing anywhere else."""
    before, around = attacked.inside(), attacked.outside()
    target = f"/private/{escaped(key) if hidden else quote(key)}"
    data = hashlib.md5(key.encode()).hexdigest().encode()
    assert attacked.one(attacked.signed("PUT", target, [("content-length", str(len(data)))]) + data).status == 200
    assert attacked.one(attacked.signed("GET", target)).body == data
    listed = attacked.one(attacked.signed("GET", f"/private?list-type=2&encoding-type=url&prefix={escaped(key)}"))
    assert f"<Key>{quote(key)}</Key>".encode() in listed.body
    if method == "POST":
        upload = attacked.one(attacked.signed("POST", f"{target}?uploads"))
        upload_id = upload.body.partition(b"<UploadId>")[2].partition(b"<")[0].decode()
        assert attacked.one(attacked.signed("DELETE", f"{target}?uploadId={upload_id}")).status == 204
    assert attacked.one(attacked.signed("DELETE", target)).status == 204
    after = {name: what for name, what in attacked.inside().items() if "/.gw/" not in name}
    assert after == {name: what for name, what in before.items() if "/.gw/" not in name}
    assert attacked.outside() == around


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "DELETE"])
@pytest.mark.parametrize("key", LONG)
def test_a_key_that_is_too_long_is_refused(attacked, key, method):
    before = attacked.inside()
    reply = attacked.one(attacked.signed(method, f"/private/{escaped(key)}", [("content-length", "1")]) + b"x", method)
    assert reply.status == 400
    assert method == "HEAD" or reply.code in {"KeyTooLongError", "BadRequest"}
    assert attacked.inside() == before


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "DELETE", "POST"])
@pytest.mark.parametrize("target", RAW)
def test_no_way_leads_out(attacked, target, method):
    before, around = attacked.inside(), attacked.outside()
    for request in (attacked.signed(method, target), head(method, target, [("Host", "a")])):
        reply = attacked.one(request, method)
        assert (
            b"canary" not in reply.body.replace(b"/canary", b"").replace(b"5ccanary", b"").replace(b"2fcanary", b"")
            or reply.status == 404
        )
    cleaned = attacked.inside()
    for name in cleaned.keys() - before.keys():
        assert name.startswith((f"{attacked.gateway.objects}/open/", f"{attacked.gateway.objects}/.gw/")), name
    assert {name: cleaned.get(name) for name in before} == before or method == "DELETE"
    assert attacked.outside() == around


@thorough
@given(bucket=st.sampled_from(BUCKETS) | st.text(st.characters(codec="utf-8"), max_size=70), method=st.sampled_from(["PUT", "GET", "HEAD", "DELETE", "POST"]), query=st.sampled_from(["", "?uploads", "?list-type=2", "?acl", "?delete", "?versions"]))  # fmt: skip
def test_what_is_no_bucket_is_neither_found_nor_made(attacked, bucket, method, query):
    if bucket in {"open", "private"}:
        return
    around = attacked.outside()
    for target in (f"/{escaped(bucket)}{query}", f"/{escaped(bucket)}/key{query}"):
        reply = attacked.one(attacked.signed(method, target), method)
        if reply.status == 200 and method == "PUT":
            assert bucket.isascii()
            attacked.one(attacked.signed("DELETE", f"/{escaped(bucket)}"))
    assert attacked.outside() == around


@thorough
@given(data=st.data())
def test_every_parameter_may_be_anything(attacked, data):
    known = {
        "partNumber": NUMBERS, "uploadId": IDS, "versionId": IDS, "max-keys": NUMBERS, "prefix": WAYS, "marker": WAYS,
        "start-after": WAYS, "continuation-token": [*IDS, "AQ==", "AWE=", "Af8=", "=", "AQ"], "delimiter": ["", "/", "\0", "ab", "é"],
        "encoding-type": ["url", "", "x", "URL"], "list-type": ["2", "1", "", "٢"], "key-marker": WAYS, "upload-id-marker": IDS,
        "part-number-marker": NUMBERS, "max-parts": NUMBERS, "max-uploads": NUMBERS, "version-id-marker": IDS, "fetch-owner": ["true", "x"],
        "response-content-type": ["a\r\nb: c", "é", "\0", "\u2028", "x" * 2000], "response-expires": ["\n"], "uploads": ["", "x"], "delete": [""],
        "acl": [""], "attributes": [""], "location": [""], "versioning": [""], "versions": [""], "tagging": [""], "policy": [""], "x-id": ["a"],
        "X-Amz-Algorithm": ["AWS4-HMAC-SHA256", "x"], "Signature": ["a"], "Expires": NUMBERS, "AWSAccessKeyId": ["FUZZKEY"], "": ["", "a"],
    }  # fmt: skip
    chosen = data.draw(st.lists(st.sampled_from(sorted(known)), max_size=4))
    pairs = [
        (name, data.draw(st.sampled_from(known[name]) | st.text(st.characters(codec="utf-8"), max_size=10)))
        for name in chosen
    ]
    query = "&".join(f"{escaped(name)}={escaped(value)}" for name, value in pairs)
    method = data.draw(st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE"]))
    path = data.draw(st.sampled_from(["/", "/private", "/private/key", "/private/other", "/nowhere/key"]))
    before, around = attacked.inside(), attacked.outside()
    reply = attacked.one(attacked.signed(method, f"{path}?{query}"), method)
    assert attacked.outside() == around
    if reply.status >= 400:
        assert attacked.inside() == before
    if (path, method, reply.status) == ("/private/key", "DELETE", 204) or (path, method, reply.status) == (
        "/private/key",
        "PUT",
        200,
    ):
        assert attacked.one(attacked.signed("PUT", "/private/key", [("content-length", "3")]) + b"old").status == 200


@thorough
@given(data=st.data())
def test_every_condition_and_range_may_be_anything(attacked, data):
    known = {"if-match": TAGS, "if-none-match": TAGS, "if-modified-since": DATES, "if-unmodified-since": DATES, "range": RANGES, "if-range": TAGS,
        "x-amz-copy-source": [*WAYS, *RAW, "private/key?versionId=x", "private/key?versionId=null", "/private/key", "private%2Fkey", ""],
        "x-amz-copy-source-range": RANGES, "x-amz-copy-source-if-match": TAGS, "x-amz-copy-source-if-modified-since": DATES,
        "x-amz-metadata-directive": ["COPY", "REPLACE", "x"], "x-amz-checksum-crc32": ["", "=", "AAAAAA==", "x" * 100], "content-md5": ["", "x", "=" * 24],
        "x-amz-checksum-algorithm": ["CRC32", "x", ""], "x-amz-acl": ["private", "x"], "x-amz-storage-class": ["x", "STANDARD"], "x-amz-mfa": ["x"],
        "x-amz-checksum-mode": ["ENABLED", "x"], "x-amz-website-redirect-location": ["x", "/x"], "content-type": ["é", "x" * 5000], "expires": DATES,
        "x-amz-meta-é": ["x"], "x-amz-meta-": ["x"], "x-amz-meta-a": ["x" * 3000, "é"], "x-amz-sdk-checksum-algorithm": ["CRC32", "x"],
        "x-amz-decoded-content-length": NUMBERS, "x-amz-object-attributes": ["ETag", "x", ","], "x-amz-trailer": ["x", "x-amz-checksum-crc32"],
        "x-amz-expected-bucket-owner": ["x"], "x-amz-security-token": ["x"], "origin": ["x"], "x-amz-date": DATES}  # fmt: skip
    chosen = data.draw(st.lists(st.sampled_from(sorted(known)), max_size=4, unique=True))
    fields = [(name, quote(data.draw(st.sampled_from(known[name])), safe=" \"'*,/:;=-?%~é")) for name in chosen]
    fields = [(name, value) for name, value in fields if name.isascii()]
    method = data.draw(st.sampled_from(["GET", "HEAD", "PUT"]))
    target = data.draw(
        st.sampled_from(
            ["/open/probe", "/private/other", "/open/probe?attributes", "/private/x?partNumber=1&uploadId=" + "0" * 32]
        )
    )
    if method == "PUT" and target == "/open/probe":
        target = "/private/other"
    around, before = attacked.outside(), attacked.inside()
    reply = attacked.one(attacked.signed(method, target, fields), method)
    assert attacked.outside() == around
    assert b"canary" not in reply.body.replace(b"/canary", b"").replace(b"5ccanary", b"") or reply.status >= 400
    if reply.status >= 400:
        assert attacked.inside() == before
    assert attacked.one(LAST).body == PROBED


@thorough
@given(number=st.sampled_from(NUMBERS), upload_id=st.sampled_from(IDS))
def test_nothing_is_written_for_an_upload_that_is_none(attacked, number, upload_id):
    before, around = attacked.inside(), attacked.outside()
    target = f"/private/key?partNumber={escaped(number)}&uploadId={escaped(upload_id)}"
    reply = attacked.one(attacked.signed("PUT", target, [("content-length", "1")]) + b"x")
    assert reply.status in {400, 404}, reply
    assert attacked.inside() == before
    assert attacked.outside() == around
