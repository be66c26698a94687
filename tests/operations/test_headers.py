"""Headers become options, and what is known of an object becomes headers."""

from datetime import UTC, datetime

import pytest

from gateway.checksums import Checksum
from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import (
    AccessControlListNotSupported,
    EntityTooLarge,
    InvalidArgument,
    InvalidRequest,
    MetadataTooLarge,
    MissingContentLength,
)
from gateway.message import Headers
from gateway.operations.headers import (
    BODY_LIMIT,
    conditions,
    http_date,
    limit_body,
    object_headers,
    parse_range,
    read_options,
    write_conditions,
    write_options,
)
from gateway.operations.metadata import stored_headers, user_metadata
from gateway.storage import Body, ObjectInfo, ReadOptions
from tests.operations.calls import ANYBODY, NOW, body, call, service


def get(headers=None, query="", **more):
    return call("GET", f"/bucket/key{query}", headers=headers, **more)


def put(headers=None, **more):
    return call("PUT", "/bucket/key", headers=headers, **more)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=5-", slice(5, None)),
        ("bytes=-5", slice(-5, None)),
        ("Bytes= 1 - 2 ", slice(1, 3)),
        ("bytes=-0", slice(0, 0)),
        ("bytes=9-3", None),
        ("bytes=0-1,4-5", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=٣-٤", None),
        ("bytes", None),
        ("0-9", None),
        ("lines=0-9", None),
        ("", None),
    ],
)
def test_a_range_is_a_slice_and_what_is_no_single_range_is_ignored(value, expected):
    assert parse_range(value) == expected


def test_a_range_of_more_digits_than_any_object_is_still_a_range():
    found = parse_range(f"bytes=3-{'9' * 5000}")
    assert found.indices(10) == (3, 10, 1)
    assert parse_range(f"bytes={'9' * 5000}-").indices(10)[0] == 10


def test_a_plain_read_costs_no_options():
    assert read_options(get()) is read_options(get())


def test_part_number_names_a_part():
    assert read_options(get(query="?partNumber=7")) == ReadOptions(part=7)


def test_the_checksum_of_a_part_is_looked_for_only_if_it_is_asked_for():
    assert read_options(get({"x-amz-checksum-mode": "enabled"}, "?partNumber=7")).parts


@pytest.mark.parametrize("value", ["0", "10001", "-1", "x", "", "1.5", "٣", "9" * 5000])
def test_part_number_out_of_its_bounds_is_an_invalid_argument(value):
    with pytest.raises(InvalidArgument, match="between 1 and 10000") as caught:
        read_options(get(query=f"?partNumber={value}"))
    assert caught.value.fields == {"ArgumentName": "partNumber", "ArgumentValue": value}


def test_part_number_and_range_together_are_refused():
    with pytest.raises(InvalidRequest, match="Cannot specify both Range header and partNumber"):
        read_options(get({"Range": "bytes=0-1"}, "?partNumber=1"))


def test_a_range_beside_if_range_is_ignored_so_that_two_versions_are_never_mixed():
    assert read_options(get({"Range": "bytes=4-", "If-Range": '"abc"'})).range is None


@pytest.mark.parametrize(
    "text", ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
def test_dates_are_read_in_the_three_forms_of_http(text):
    moment = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
    assert conditions(get({"If-Modified-Since": text})) == Conditions(if_modified_since=moment)
    assert conditions(get({"If-Unmodified-Since": text})) == Conditions(if_unmodified_since=moment)


@pytest.mark.parametrize("text", ["yesterday", "", "1994-11-06", "Sun, 99 Nov 1994 08:49:37 GMT"])
def test_a_date_that_is_none_is_no_condition(text):
    assert not conditions(get({"If-Modified-Since": text}))


def test_a_two_digit_year_is_never_more_than_fifty_years_ahead():
    year = (datetime.now(UTC).year + 60) % 100
    found = conditions(get({"If-Modified-Since": f"Sunday, 06-Nov-{year:02} 08:49:37 GMT"})).if_modified_since
    assert found.year <= datetime.now(UTC).year


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ('"abc"', ("abc",)),
        ("abc", ("abc",)),
        ("*", ("*",)),
        ('"a", "b",c', ("a", "b", "c")),
        ('"a,b"', ("a,b",)),
        ("", ()),
        ("  ", ()),
    ],
)
def test_etags_come_quoted_bare_and_in_lists(text, tags):
    assert conditions(get({"If-Match": text})).if_match == tags
    assert conditions(get({"If-None-Match": text})).if_none_match == tags


def test_weak_etags_match_only_where_weak_comparison_holds():
    assert conditions(get({"If-None-Match": 'W/"abc"'})).if_none_match == ("abc",)
    assert "abc" not in conditions(get({"If-Match": 'W/"abc"'})).if_match


def test_a_condition_that_cannot_be_read_is_never_dropped():
    assert write_conditions(put({"If-Match": ","})).if_match


def test_conditions_of_a_source_have_their_own_headers():
    copying = put({"x-amz-copy-source-if-match": "abc", "If-None-Match": "*"})
    assert conditions(copying, "x-amz-copy-source-") == Conditions(if_match=("abc",))
    assert write_conditions(copying) == Conditions(if_none_match=("*",))


def test_writes_know_no_dates():
    assert write_conditions(put({"If-Modified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"})) is ANY_STATE


def test_what_describes_an_object_is_stored_as_it_was_given():
    given = {
        "cache-control": "no-cache",
        "content-disposition": 'attachment; filename="ü"',
        "content-encoding": "gzip",
        "content-language": "eo",
        "content-type": "text/plain",
        "expires": "whenever",
        "x-amz-website-redirect-location": "/there",
    }
    assert stored_headers(put({**given, "x-other": "no", "Connection": "close"})) == given


def test_without_a_type_an_object_is_a_stream_of_octets():
    assert stored_headers(put()) == {"content-type": "binary/octet-stream"}
    assert stored_headers(put({"Content-Type": ""})) == {"content-type": "binary/octet-stream"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("gzip, aws-chunked", "gzip"),
        ("aws-chunked, gzip", "gzip"),
        ("AWS-Chunked", None),
        ("aws-chunked, aws-chunked", None),
        ("aws-chunked,deflate,gzip", "deflate, gzip"),
    ],
)
def test_aws_chunked_is_never_kept_as_an_encoding(given, kept):
    assert stored_headers(put({"Content-Encoding": given})).get("content-encoding") == kept


def test_a_redirect_must_lead_somewhere():
    with pytest.raises(InvalidArgument, match="must have a prefix"):
        stored_headers(put({"x-amz-website-redirect-location": "javascript:alert()"}))


def test_metadata_given_twice_is_joined():
    twice = put()
    twice.headers = Headers([("x-amz-meta-a", "1"), ("x-amz-meta-b", ""), ("x-amz-meta-a", "2")])
    assert user_metadata(twice) == {"a": "1,2", "b": ""}


@pytest.mark.parametrize("name", ["a\r\nb", "a:b", "a b", "ü", "a\n"])
def test_a_name_of_metadata_can_end_no_header(name):
    with pytest.raises(InvalidArgument):
        user_metadata(put({f"x-amz-meta-{name}": "1"}))


def test_metadata_of_two_kilobytes_is_just_allowed():
    assert user_metadata(put({"x-amz-meta-key": "v" * 2045}))
    with pytest.raises(MetadataTooLarge) as caught:
        user_metadata(put({"x-amz-meta-key": "v" * 2046}))
    assert caught.value.fields == {"Size": "2049", "MaxSizeAllowed": "2048"}


def test_metadata_is_counted_in_bytes():
    with pytest.raises(MetadataTooLarge):
        user_metadata(put({"x-amz-meta-key": "ü" * 1023}))


def test_metadata_that_is_not_ascii_is_kept_as_text_and_given_back_mail_safe():
    sent = put({"x-amz-meta-key": "grüße"})
    assert user_metadata(sent) == {"key": "grüße"}
    told = object_headers(ObjectInfo("key", 0, "e", NOW, metadata=user_metadata(sent)), get())
    assert told["x-amz-meta-key"] == "=?UTF-8?B?Z3LDvMOfZQ==?="


def test_metadata_that_a_client_encoded_itself_comes_back_as_it_was_sent():
    sent = put({"x-amz-meta-key": "=?UTF-8?Q?gr=C3=BC=C3=9Fe?=", "x-amz-meta-url": "a%20b+c "})
    told = object_headers(ObjectInfo("key", 0, "e", NOW, metadata=user_metadata(sent)), get())
    assert told["x-amz-meta-key"] == "=?UTF-8?Q?gr=C3=BC=C3=9Fe?="
    assert told["x-amz-meta-url"] == "a%20b+c "


def test_write_options_hold_everything_that_is_stored():
    told = put({"If-None-Match": "*", "x-amz-meta-a": "b", "x-amz-acl": "public-read"})
    options = write_options(service(acls=["bucket"]), told, "SHA1", composite=True)
    assert options.conditions == Conditions(if_none_match=("*",))
    assert options.metadata == {"a": "b"}
    assert options.labels == {"owner": "alice-id", "owner-name": "Alice", "acl": "public-read"}
    assert (options.checksum, options.composite) == ("SHA1", True)


def test_an_acl_where_none_are_kept_is_refused():
    with pytest.raises(AccessControlListNotSupported):
        write_options(service(), put({"x-amz-acl": "public-read"}))


def test_a_body_over_five_gibibytes_is_refused_before_its_first_byte():
    too_large = put(data=Body(body(b"")._chunks, BODY_LIMIT + 1))
    with pytest.raises(EntityTooLarge):
        limit_body(too_large)
    assert not too_large.body.started


async def test_a_body_that_grows_over_the_limit_is_cut_off(monkeypatch):
    monkeypatch.setattr("gateway.operations.headers.BODY_LIMIT", 3)
    growing = put({"Transfer-Encoding": "chunked"}, data=body(b"four", size=False))
    limit_body(growing)
    with pytest.raises(EntityTooLarge):
        await growing.body.read()


def test_a_body_without_a_length_needs_a_connection_that_tells_its_end():
    with pytest.raises(MissingContentLength):
        limit_body(put(data=body(b"x", size=False)))
    limit_body(put({"Transfer-Encoding": "chunked"}, data=body(b"x", size=False)))


def test_the_headers_of_an_object():
    info = ObjectInfo("key", 3, "abc", NOW, headers={"content-type": "text/plain", "cache-control": "no-store"})
    assert object_headers(info, get()) == {
        "ETag": '"abc"',
        "Last-Modified": "Fri, 02 Jan 2026 03:04:05 GMT",
        "Accept-Ranges": "bytes",
        "Content-Type": "text/plain",
        "Cache-Control": "no-store",
    }


def test_an_answer_tells_which_storage_stood_in_and_whether_it_may_be_behind():
    told = object_headers(ObjectInfo("key", 3, "abc", NOW, served_by="mirror"), get())
    assert told["x-gw-served-by"] == "mirror"
    assert "x-gw-stale" not in told
    assert object_headers(ObjectInfo("key", 3, "abc", NOW, stale=True), get())["x-gw-stale"] == "true"


def test_how_far_mirrors_are_is_told_where_it_is_known():
    assert "x-amz-replication-status" not in object_headers(ObjectInfo("key", 3, "abc", NOW), get())
    told = object_headers(ObjectInfo("key", 3, "abc", NOW, replication="PENDING"), get())
    assert told["x-amz-replication-status"] == "PENDING"


def test_a_checksum_is_told_only_if_it_is_asked_for():
    info, checksum = ObjectInfo("key", 3, "abc", NOW), Checksum("CRC32", "AAAAAA==-2", composite=True)
    assert "x-amz-checksum-crc32" not in object_headers(info, get(), checksum)
    told = object_headers(info, get({"x-amz-checksum-mode": "ENABLED"}), checksum)
    assert told["x-amz-checksum-crc32"] == "AAAAAA==-2"
    assert told["x-amz-checksum-type"] == "COMPOSITE"


def test_a_signed_request_may_choose_headers_of_its_answer():
    info = ObjectInfo("key", 3, "abc", NOW, headers={"content-type": "text/plain"})
    told = object_headers(info, get(query="?response-content-type=a/b&response-expires=never&response-etag=x"))
    assert (told["Content-Type"], told["Expires"], told["ETag"]) == ("a/b", "never", '"abc"')


def test_an_anonymous_request_may_not():
    with pytest.raises(InvalidRequest, match="anonymous"):
        object_headers(ObjectInfo("key", 3, "abc", NOW), get(query="?response-expires=1", caller=ANYBODY))


@pytest.mark.parametrize("value", ["a%0D%0ASet-Cookie:x", "%00", "%E2%82%AC"])
def test_a_chosen_header_cannot_carry_what_no_header_can(value):
    with pytest.raises(InvalidArgument, match="ISO-8859-1"):
        object_headers(ObjectInfo("key", 3, "abc", NOW), get(query=f"?response-content-type={value}"))


def test_dates_are_written_as_http_does():
    assert http_date(datetime(1994, 11, 6, 8, 49, 37, 123456, tzinfo=UTC)) == "Sun, 06 Nov 1994 08:49:37 GMT"
