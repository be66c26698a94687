"""Every operation, asked for by everybody: allowed or refused as documented. A new operation has to be placed here."""

# ruff: noqa: E501 - tables of cases

import hashlib
import time
from base64 import b64encode
from typing import NamedTuple
from urllib.parse import quote

import pytest

from gateway.auth.keys import VERBS
from gateway.operations.table import SUPPORTED
from gateway.sigv4 import Credentials, Request, presigned_query
from tests.forms import TYPE, encoded, signed
from tests.fuzz.attacked import SECRET, Attacked, configuration, head
from tests.gateway_process import GatewayProcess, running

DELETE = b"<Delete><Object><Key>mine/key</Key></Object></Delete>"
COMPLETE = (
    b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>%b</ETag></Part></CompleteMultipartUpload>"
    % hashlib.md5(b"part").hexdigest().encode()
)
SOURCE = ("x-amz-copy-source", "private/mine/source")


class Row(NamedTuple):
    """How an operation is asked for, and the rights that it takes; `{}` is the bucket, `{upload}` an upload."""

    method: str
    target: str
    verbs: str
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    whole: bool = False  # it is about the bucket, not about mine/


ROWS = {
    "ListBuckets": Row("GET", "/", ""),
    "CreateBucket": Row("PUT", "/{}-new", "admin", whole=True),
    "HeadBucket": Row("HEAD", "/{}", "list", whole=True),
    "DeleteBucket": Row("DELETE", "/{}", "admin", whole=True),
    "GetBucketLocation": Row("GET", "/{}?location", "list", whole=True),
    "GetBucketVersioning": Row("GET", "/{}?versioning", "list", whole=True),
    "GetBucketAcl": Row("GET", "/{}?acl", "admin", whole=True),
    "GetBucketCors": Row("GET", "/{}?cors", "admin", whole=True),
    "PutBucketAcl": Row("PUT", "/{}?acl", "admin", (("x-amz-acl", "private"),), whole=True),
    "ListObjects": Row("GET", "/{}?prefix=mine/", "list"),
    "ListObjectsV2": Row("GET", "/{}?list-type=2&prefix=mine/", "list"),
    "ListObjectVersions": Row("GET", "/{}?versions&prefix=mine/", "list"),
    "DeleteObjects": Row("POST", "/{}?delete", "delete", (), DELETE),
    "PutObject": Row("PUT", "/{}/mine/key", "write", (), b"new"),
    "PostObject": Row("POST", "/{}", "write", (("content-type", TYPE),), b"new"),
    "GetObject": Row("GET", "/{}/mine/key", "read"),
    "HeadObject": Row("HEAD", "/{}/mine/key", "read"),
    "GetObjectAttributes": Row("GET", "/{}/mine/key?attributes", "read", (("x-amz-object-attributes", "ETag"),)),
    "GetObjectTagging": Row("GET", "/{}/mine/key?tagging", "read"),
    "CopyObject": Row("PUT", "/{}/mine/copy", "read write", (SOURCE,)),
    "DeleteObject": Row("DELETE", "/{}/mine/key", "delete"),
    "CreateMultipartUpload": Row("POST", "/{}/mine/key?uploads", "write"),
    "UploadPart": Row("PUT", "/{}/mine/key?partNumber=1&uploadId={upload}", "write", (), b"part"),
    "UploadPartCopy": Row("PUT", "/{}/mine/key?partNumber=1&uploadId={upload}", "read write", (SOURCE,)),
    "ListParts": Row("GET", "/{}/mine/key?uploadId={upload}", "write"),
    "CompleteMultipartUpload": Row("POST", "/{}/mine/key?uploadId={upload}", "write", (), COMPLETE),
    "AbortMultipartUpload": Row("DELETE", "/{}/mine/key?uploadId={upload}", "write"),
    "ListMultipartUploads": Row("GET", "/{}?uploads&prefix=mine/", "list"),
    "GetObjectAcl": Row("GET", "/{}/mine/key?acl", "admin"),
    "PutObjectAcl": Row("PUT", "/{}/mine/key?acl", "admin", (("x-amz-acl", "private"),)),
}
ALLOWED = {
    **{verb: [f"{verb} *"] for verb in VERBS},
    "mine": ["* private/mine/* acls/mine/*"],
    "theirs": ["* private/theirs/* private/mine0/*"],
    "elsewhere": ["* else elsewhere/* privat private0*"],
    "other": ["*"],
}


def test_every_operation_is_placed():
    assert ROWS.keys() == {operation.name for operation in SUPPORTED}


def credentials(name):
    return Credentials(f"KEY{name}", SECRET + name)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    keys = [{"access_key": "FUZZKEY", "secret_key": SECRET, "allow": ["*"]}]
    for name, allow in ALLOWED.items():
        key = {"access_key": f"KEY{name}", "secret_key": SECRET + name, "allow": allow}
        keys.append(key | ({"owner": {"id": "other"}} if name == "other" else {}))
    buckets = {
        "public": {"backend": "disk", "public": "read"},
        "acls": {"backend": "disk", "acls": "canned"},
        "*": {"backend": "disk"},
    }
    folder = tmp_path_factory.mktemp("access")
    with running(GatewayProcess(folder, extra=configuration(folder, keys=keys, buckets=buckets))) as it:
        site = Attacked(it)
        for bucket in ("public", "acls", "private"):
            assert site.one(site.signed("PUT", f"/{bucket}")).status == 200
            for key in ("mine/source", "theirs/key", "key"):
                put(site, f"/{bucket}/{key}")
        yield site
        it.stop()
    site.check_log()


def put(site, target):
    assert site.one(site.signed("PUT", target, [("content-length", "3")]) + b"old").status == 200


def upload(site, target):
    answer = site.one(site.signed("POST", f"{target}?uploads")).body
    upload_id = answer.partition(b"<UploadId>")[2].partition(b"<")[0].decode()
    part = f"{target}?partNumber=1&uploadId={upload_id}"
    assert site.one(site.signed("PUT", part, [("content-length", "4")]) + b"part").status == 200
    return upload_id


def asked(site, name, bucket, who):
    """Return what is answered, and whether it was a refusal; a refusal must not change anything."""
    row = ROWS[name]
    put(site, f"/{bucket}/mine/key")
    target = row.target.replace("{}", bucket)
    if "{upload}" in target:
        target = target.replace("{upload}", upload(site, f"/{bucket}/mine/key"))
    fields = [("content-length", str(len(row.body))), *row.fields]
    if name == "DeleteObjects":
        fields.append(("content-md5", b64encode(hashlib.md5(row.body).digest()).decode()))
    before = site.inside()
    if name == "PostObject":
        request = posted(site, target, row, bucket, who)
    elif who is None:
        request = head(row.method, target, [("host", site.host), *fields]) + row.body
    else:
        request = site.signed(row.method, target, fields, credentials=who) + row.body
    reply = site.one(request, row.method)
    refused = reply.status == 403 or b"AccessDenied" in reply.body
    if refused:
        assert site.inside() == before
    site.one(site.signed("DELETE", f"/{bucket}-new"), "DELETE")
    return reply, refused


def posted(site, target, row, bucket, who):
    """Return an upload by a form, which is signed in its fields."""
    fields = {"key": "mine/key"}
    if who:
        fields = signed("mine/key", bucket=bucket, access_key=who.access_key, secret_key=who.secret_key)
    form = encoded(fields, row.body)
    return head(row.method, target, [("host", site.host), ("content-length", str(len(form))), *row.fields]) + form


operations = pytest.mark.parametrize("name", ROWS)


@operations
def test_nobody_in_particular_may_do_nothing(site, name):
    assert asked(site, name, "private", None)[1]


@operations
def test_with_a_wrong_secret_nothing_is_done(site, name):
    reply, refused = asked(site, name, "private", Credentials("FUZZKEY", "wrong"))
    assert refused
    assert reply.code in {"SignatureDoesNotMatch", ""}
    reply, refused = asked(site, name, "public", Credentials("NOSUCHKEY", SECRET))
    assert refused
    assert reply.code in {"InvalidAccessKeyId", ""}


@operations
@pytest.mark.parametrize("verb", VERBS)
def test_a_key_may_do_what_its_verb_says_and_nothing_else(site, name, verb):
    reply, refused = asked(site, name, "private", credentials(verb))
    assert refused == (not {*ROWS[name].verbs.split()} <= {verb}), reply


@operations
def test_with_every_right_everything_is_allowed(site, name):
    assert not asked(site, name, "private", site.credentials)[1]
    assert not asked(site, name, "acls", site.credentials)[1]


@operations
def test_a_key_for_a_prefix_does_everything_there_and_nothing_beside(site, name):
    assert asked(site, name, "private", credentials("mine"))[1] == ROWS[name].whole
    for who in ("theirs", "elsewhere"):
        assert asked(site, name, "private", credentials(who))[1] == (name != "ListBuckets")


@operations
def test_a_public_bucket_is_read_by_everybody_and_no_more(site, name):
    assert asked(site, name, "public", None)[1] == (ROWS[name].verbs != "read")


@operations
def test_what_keeps_acls_belongs_to_its_owner(site, name):
    """Whatever the rights of the key: another's bucket and objects are private."""
    reply, refused = asked(site, name, "acls", credentials("other"))
    if name in {"ListBuckets", "CreateBucket"}:  # that bucket is a new one
        assert not refused
    else:
        assert refused, reply
    assert asked(site, name, "acls", None)[1]


@pytest.mark.parametrize("listing", ["?", "?list-type=2&", "?versions&", "?uploads&"])
@pytest.mark.parametrize("prefix", ["", "m", "mine", "min", "mine0/", "theirs/", "/mine/", "MINE/", "mine%00"])
def test_a_key_for_a_prefix_lists_no_other(site, listing, prefix):
    target = f"/private{listing}prefix={prefix}"
    assert site.one(site.signed("GET", target, credentials=credentials("mine"))).code == "AccessDenied"
    target = f"/private{listing}prefix=mine/&prefix={prefix}&delimiter=/&marker=&start-after="
    reply = site.one(site.signed("GET", target, credentials=credentials("mine")))
    assert b"theirs" not in reply.body


@pytest.mark.parametrize("key", ["theirs/key", "key", "mine", "mine/../key", "mine%2F..%2Fkey", "/mine/key"])
def test_a_key_for_a_prefix_copies_from_no_other(site, key):
    for target in (
        "/private/mine/copy",
        f"/private/mine/key?partNumber=1&uploadId={upload(site, '/private/mine/key')}",
    ):
        fields = [("x-amz-copy-source", f"private/{key}")]
        reply = site.one(site.signed("PUT", target, fields, credentials=credentials("mine")))
        assert reply.code in {"AccessDenied", "NoSuchKey"}, reply
        assert reply.code == "AccessDenied" or key.startswith(("mine/", "mine%2F"))


def test_of_many_deletions_only_those_are_done_that_are_allowed(site):
    put(site, "/private/mine/key")
    keys = ["mine/key", "theirs/key", "key", "mine/../key", "/mine/key", "mine"]
    body = f"<Delete>{''.join(f'<Object><Key>{key}</Key></Object>' for key in keys)}</Delete>".encode()
    md5 = b64encode(hashlib.md5(body).digest()).decode()
    fields = [("content-length", str(len(body))), ("content-md5", md5)]
    reply = site.one(site.signed("POST", "/private?delete", fields, credentials=credentials("mine")) + body)
    assert reply.body.count(b"<Deleted>") == 2
    assert reply.body.count(b"<Code>AccessDenied</Code>") == 4
    assert (site.gateway.objects / "private" / "key").read_bytes() == b"old"
    assert (site.gateway.objects / "private" / "theirs" / "key").read_bytes() == b"old"


@pytest.mark.parametrize("place", ["/private/mine/other", "/public/mine/key", "/acls/mine/key", "/private/theirs/key"])
@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if "{upload}" in row.target])
def test_an_upload_is_only_where_it_was_begun(site, place, name):
    upload_id, row = upload(site, "/private/mine/key"), ROWS[name]
    target = place + row.target.removeprefix("/{}/mine/key").replace("{upload}", upload_id)
    fields = [("content-length", str(len(row.body))), *row.fields]
    before = site.inside()
    assert site.one(site.signed(row.method, target, fields) + row.body).code == "NoSuchUpload"
    assert site.inside() == before


def presigned(site, method, path, *, expires=60, ago=0.0):
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - ago))
    request = Request(method, path, "", {"host": site.host})
    return presigned_query(request, site.credentials, moment, expires)


def test_a_presigned_url_is_good_for_what_was_signed_alone(site):
    good = presigned(site, "GET", "/private/key")
    lines = [("host", site.host)]
    assert site.one(head("GET", f"/private/key?{good}", lines)).body == b"old"
    for method, target, fields in [
        ("PUT", f"/private/key?{good}", lines),
        ("DELETE", f"/private/key?{good}", lines),
        ("GET", f"/private/theirs/key?{good}", lines),
        ("GET", f"/acls/key?{good}", lines),
        ("GET", f"/private/key?{good}&acl", lines),
        ("GET", f"/private/key?acl&{good}", lines),
        ("GET", f"/private/key?response-content-type=text/html&{good}", lines),
        ("GET", f"/private/key?{good}", [("host", "elsewhere")]),
        ("GET", f"http://elsewhere/private/key?{good}", lines),
        ("GET", f"/private/key?{good}", [*lines, ("x-amz-expected-bucket-owner", "x")]),
        ("GET", f"/private/key?{good.replace('X-Amz-Expires=60', 'X-Amz-Expires=61')}", lines),
        ("GET", f"/private/key?{good}&X-Amz-Expires=61", lines),
        ("GET", f"/private/key?X-Amz-Expires=600&{good}", lines),
        ("GET", f"/private/key?X-Amz-Credential={quote('KEYother/20240101/us-east-1/s3/aws4_request')}&{good}", lines),
        ("GET", f"/private//key?{good}", lines),
        ("GET", f"/private/./key?{good}", lines),
    ]:
        reply = site.one(head(method, target, fields))
        assert reply.status in {400, 403}, (method, target, reply)
    assert (site.gateway.objects / "private" / "key").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("expires", "ago", "status"),
    [
        (60, 50, 200), (60, 62, 403), (1, 2.5, 403), (604800, 604700, 200), (604800, 604802, 403), (604801, 0, 403), (0, 0, 403),
        (-1, 0, 403), (60, -800, 200), (60, -1000, 403), (10**18, 0, 400), (10**30, 0, 400),
    ],
)  # fmt: skip
def test_a_presigned_url_is_good_from_when_it_was_signed_until_it_expires(site, expires, ago, status):
    query = presigned(site, "GET", "/private/key", expires=expires, ago=ago)
    assert site.one(head("GET", f"/private/key?{query}", [("host", site.host)])).status == status
