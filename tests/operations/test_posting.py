"""Forms become uploads: their fields headers, their file the body; and they are answered as they wish."""

import hashlib
from base64 import b64encode
from xml.etree import ElementTree as ET

import pytest

from gateway.errors import (
    AccessControlListNotSupported,
    BadDigest,
    EntityTooLarge,
    IncompleteBody,
    InvalidArgument,
    InvalidRequest,
    InvalidStorageClass,
    KeyTooLongError,
    MalformedPOSTRequest,
    MaxPostPreDataLengthExceeded,
    MetadataTooLarge,
    MissingContentLength,
    NoSuchKey,
    NotImplementedByGateway,
    PreconditionFailed,
)
from gateway.operations.demands import REFUSED
from gateway.operations.headers import BODY_LIMIT
from gateway.operations.posting import open_form
from gateway.operations.table import POST_OBJECT
from gateway.storage import Address, Body
from tests.forms import TYPE, encoded
from tests.operations.calls import bucket, call, service

KEY = {"key": "key"}
ETAG = f'"{hashlib.md5(b"bytes").hexdigest()}"'


@pytest.fixture
async def gateway():
    return await bucket(service())


def posted(data, headers=None, *, pieces=3, size=True):
    """Return the call of a form that comes in some pieces."""

    async def chunks():
        step = max(1, -(-len(data) // pieces))
        for start in range(0, len(data), step):
            yield data[start : start + step]

    return call(
        "POST", "/bucket", Body(chunks(), len(data) if size else None), headers={"Content-Type": TYPE} | (headers or {})
    )


async def post(gateway, fields, data=b"bytes", filename="cat.jpg", *, headers=None, **more):
    asked = posted(encoded(fields, data, filename, **more), headers)
    await open_form(asked)
    return await POST_OBJECT.run(gateway, asked)


async def stored(gateway, key="key"):
    async with gateway.storage.get(Address("bucket", key)) as download:
        return download.content, download.info


async def refused(gateway, kind, fields, *arguments, **more):
    with pytest.raises(kind) as caught:
        await post(gateway, fields, *arguments, **more)
    with pytest.raises(NoSuchKey):
        await gateway.storage.head(Address("bucket", "key"))
    return caught.value


async def test_a_file_is_stored_and_nothing_told_but_its_name_and_etag(gateway):
    answer = await post(gateway, KEY)
    assert (answer.status, answer.content) == (204, b"")
    assert answer.headers["ETag"] == ETAG
    assert answer.headers["Location"] == "http://127.0.0.1:9000/bucket/key"
    assert answer.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    content, info = await stored(gateway)
    assert content == b"bytes"
    assert info.headers == {"content-type": "binary/octet-stream"}  # that of the part says nothing


@pytest.mark.parametrize("size", [0, 1, 243 * 1024, 244 * 1024, 700_001])
@pytest.mark.parametrize("pieces", [1, 7])
async def test_files_of_any_size_are_stored_as_they_came(gateway, size, pieces):
    data = bytes(range(251)) * (size // 251 + 1)
    asked = posted(encoded(KEY, data[:size]), pieces=pieces)
    await open_form(asked)
    await POST_OBJECT.run(gateway, asked)
    assert (await stored(gateway))[0] == data[:size]


async def test_fields_are_what_headers_are_to_a_put(gateway):
    said = {
        "Content-Type": "image/jpeg",
        "Cache-Control": "no-cache",
        "Content-Disposition": 'attachment; filename="ä.jpg"',
        "Content-Encoding": "gzip",
        "Expires": "Thu, 01 Dec 1994 16:00:00 GMT",
        "x-amz-website-redirect-location": "/elsewhere",
    }
    kept = {"Content-MD5": b64encode(hashlib.md5(b"bytes").digest()).decode(), "x-amz-storage-class": "STANDARD"}
    await post(gateway, {**KEY, **said, **kept, "x-amz-meta-Name": "ü", "acl": "private", "submit": "go"})
    _, info = await stored(gateway)
    assert info.headers == {name.lower(): value for name, value in said.items()}
    assert info.metadata == {"name": "ü"}


async def test_what_the_request_says_of_itself_says_nothing_of_the_object(gateway):
    await post(gateway, KEY, headers={"Cache-Control": "max-age=0", "Content-Language": "de"})
    assert (await stored(gateway))[1].headers == {"content-type": "binary/octet-stream"}


async def test_conditions_of_the_request_hold(gateway):
    await post(gateway, KEY, headers={"If-None-Match": "*"})
    with pytest.raises(PreconditionFailed):
        await post(gateway, KEY, b"other", headers={"If-None-Match": "*"})
    assert (await stored(gateway))[0] == b"bytes"


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        ("cat.jpg", "user/cat.jpg"),
        (r"C:\Program Files\directory1\file.txt", "user/file.txt"),
        ("a/b/c", "user/c"),
        ("", "user/"),
        (None, "user/${filename}"),
        ("${filename}", "user/${filename}"),
    ],
)
async def test_the_name_of_the_file_takes_the_place_of_its_variable(gateway, sent, key):
    await post(gateway, {"key": "user/${filename}", "x-amz-meta-name": "${filename}"}, filename=sent)
    assert (await stored(gateway, key))[1].metadata == {"name": key.removeprefix("user/")}


async def test_a_name_is_not_repeated_without_end(gateway):
    await refused(gateway, MaxPostPreDataLengthExceeded, {**KEY, "x": "${filename}" * 900}, filename="n" * 5000)


async def test_a_form_needs_a_key(gateway):
    error = await refused(gateway, InvalidArgument, {"acl": "private"}, after=[("key", "key")])
    assert str(error) == (
        "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields."
    )
    assert error.fields == {"ArgumentName": "key", "ArgumentValue": ""}
    await refused(gateway, InvalidArgument, {"key": "${filename}"}, filename="")
    await refused(gateway, KeyTooLongError, {"key": "ü" * 513})
    await refused(gateway, InvalidArgument, KEY, None)


@pytest.mark.parametrize("name", [*REFUSED, "tagging"])
async def test_what_is_refused_as_a_header_is_refused_as_a_field(gateway, name):
    error = await refused(gateway, (NotImplementedByGateway, InvalidStorageClass), {**KEY, name: "x"})
    assert error.fields


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"acl": "public-read"}, AccessControlListNotSupported),
        ({"acl": "nonsense"}, InvalidArgument),
        ({"acl": "private", "x-amz-acl": "private"}, InvalidRequest),
        ({"Content-MD5": b64encode(hashlib.md5(b"other").digest()).decode()}, BadDigest),
        ({"x-amz-checksum-sha256": b64encode(hashlib.sha256(b"other").digest()).decode()}, BadDigest),
        ({"x-amz-checksum-sha256": "sailorjerry"}, BadDigest),
        ({"x-amz-checksum-sha256": "%"}, InvalidRequest),
        ({"x-amz-meta-a": "x" * 2048}, MetadataTooLarge),
        ({"x-amz-meta-a b": "x"}, InvalidArgument),
        ({"x-amz-meta-a": "1\r\nx-amz-meta-b: 2"}, InvalidArgument),
        ({"Content-Type": "text/html\r\nX: y"}, InvalidArgument),
        ({"x-amz-website-redirect-location": "ftp://a"}, InvalidArgument),
    ],
)
async def test_a_field_that_is_wrong_is_refused_and_nothing_stored(gateway, fields, kind):
    await refused(gateway, kind, {**KEY, **fields})


async def test_a_checksum_that_is_right_is_kept(gateway):
    checksum = b64encode(hashlib.sha256(b"bytes").digest()).decode()
    answer = await post(gateway, {**KEY, "x-amz-checksum-algorithm": "SHA256", "x-amz-checksum-sha256": checksum})
    assert answer.headers["x-amz-checksum-sha256"] == checksum
    assert (await stored(gateway))[1].checksum.value == checksum


@pytest.mark.parametrize("name", ["x-amz-acl", "x-amz-meta-a", "x-amz-tagging", "x-amz-checksum-crc32", "Content-MD5"])
async def test_a_header_about_the_object_is_refused(gateway, name):
    error = await refused(gateway, InvalidRequest, KEY, headers={name: "private"})
    assert str(error) == "Conflicting values provided in HTTP headers and POST form fields."


async def test_the_expected_owner_may_be_told_in_either_way(gateway):
    owner = "x-amz-expected-bucket-owner"
    assert (await post(gateway, KEY, headers={owner: "alice-id"})).status == 204
    assert (await post(gateway, {**KEY, owner: "alice-id"})).status == 204
    with pytest.raises(InvalidRequest):
        await post(gateway, {**KEY, owner: "alice-id"}, headers={owner: "bob-id"})


async def test_the_owner_of_what_is_posted_is_who_signed():
    gateway = await bucket(service(acls="*"))
    await post(gateway, {**KEY, "acl": "public-read"})
    assert (await stored(gateway))[1].labels == {"owner": "alice-id", "owner-name": "Alice", "acl": "public-read"}


@pytest.mark.parametrize(("wish", "status"), [("200", 200), ("204", 204), ("404", 204), ("", 204), ("2OO", 204)])
async def test_the_status_is_what_the_form_wishes(gateway, wish, status):
    answer = await post(gateway, {**KEY, "success_action_status": wish})
    assert (answer.status, answer.content) == (status, b"")


async def test_201_has_a_document_without_a_namespace(gateway):
    answer = await post(gateway, {"key": "a/ü&b c", "Success_Action_Status": "201"})
    assert answer.status == 201
    document = ET.fromstring(answer.content)
    location = "http://127.0.0.1:9000/bucket/a%2F%C3%BC%26b%20c"
    assert document.tag == "PostResponse"
    assert [(element.tag, element.text) for element in document] == [
        ("Location", location),
        ("Bucket", "bucket"),
        ("Key", "a/ü&b c"),
        ("ETag", ETAG),
    ]
    assert answer.headers["Location"] == location


@pytest.mark.parametrize(
    ("url", "begin"),
    [
        ("https://example.com/done.html", "https://example.com/done.html?"),
        ("http://example.com", "http://example.com?"),
        ("https://example.com/?a=b#end", "https://example.com/?a=b&"),
        ("https://example.com/ü x", "https://example.com/%C3%BC%20x?"),
        ("https://example.com/\r\nX: y", "https://example.com/X:%20y?"),
    ],
)
@pytest.mark.parametrize("field", ["success_action_redirect", "redirect"])
async def test_the_browser_is_sent_where_the_form_wishes(gateway, field, url, begin):
    answer = await post(gateway, {"key": "a/b c", field: url, "success_action_status": "201"})
    assert (answer.status, answer.content) == (303, b"")
    end = "#end" if "#" in url else ""
    told = f"bucket=bucket&key=a%2Fb+c&etag=%22{ETAG[1:-1]}%22"
    assert answer.headers["Location"] == f"{begin}{told}{end}"


@pytest.mark.parametrize("url", ["", "/relative", "javascript:alert(1)", "ftp://a/b", "http://[", "https://", "x"])
async def test_where_no_browser_can_be_sent_the_status_counts(gateway, url):
    assert (await post(gateway, {**KEY, "success_action_redirect": url, "success_action_status": "200"})).status == 200


@pytest.mark.parametrize("kind", ["", "text/html", "application/x-www-form-urlencoded", "multipart/mixed; boundary=a"])
async def test_what_is_no_form_is_told_so_and_not_read(kind):
    asked = posted(encoded(KEY), {"Content-Type": kind})
    with pytest.raises(PreconditionFailed) as caught:
        await open_form(asked)
    assert caught.value.fields == {"Condition": "Bucket POST must be of the enclosure-type multipart/form-data"}
    assert not asked.body.started


async def test_a_form_without_a_length_may_come_in_chunks_only():
    with pytest.raises(MissingContentLength):
        await open_form(posted(encoded(KEY), size=False))
    asked = posted(encoded(KEY), {"Transfer-Encoding": "chunked"}, size=False)
    await open_form(asked)
    assert await asked.body.read() == b"bytes"


async def test_a_form_that_is_too_large_is_not_read():
    asked = call("POST", "/bucket", Body(_never(), BODY_LIMIT + 21_000), headers={"Content-Type": TYPE})
    with pytest.raises(EntityTooLarge):
        await open_form(asked)


async def _never():
    raise AssertionError("was read")
    yield b""


async def test_a_form_is_held_to_its_own_length_in_memory():
    asked = posted(encoded(KEY))
    await open_form(asked)
    assert asked.body.size is None
    assert asked.body.most == len(encoded(KEY))


async def test_a_form_that_ends_short_stores_nothing(gateway):
    whole = encoded(KEY, b"bytes" * 100_000)
    for end in (len(whole) - 5, len(whole) - 60, 300_000, 300):
        asked = posted(whole[:end])
        await open_form(asked)
        with pytest.raises(MalformedPOSTRequest):
            await POST_OBJECT.run(gateway, asked)
    for end in (0, 20, 100):
        with pytest.raises(MalformedPOSTRequest):
            await open_form(posted(whole[:end]))
    with pytest.raises(NoSuchKey):
        await gateway.storage.head(Address("bucket", "key"))


async def test_a_connection_that_breaks_in_what_follows_the_file_stores_nothing(gateway):
    async def chunks():
        yield encoded(KEY)
        raise IncompleteBody

    asked = call("POST", "/bucket", Body(chunks(), 10_000), headers={"Content-Type": TYPE})
    await open_form(asked)
    with pytest.raises(IncompleteBody):
        await POST_OBJECT.run(gateway, asked)
    with pytest.raises(NoSuchKey):
        await gateway.storage.head(Address("bucket", "key"))


async def test_two_files_store_none(gateway):
    await refused(gateway, InvalidArgument, KEY, after=[("file", "another")])
