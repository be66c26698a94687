"""Requests that are none, or two, or too much of one."""

import re
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fuzz.attacked import LAST, PROBE, PROBED, head, thorough

METHODS = ["GET", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PROPFIND", "get", "G\0T", ""]
TARGETS = [
    "/", "//", "*", "", "/open", "/open/", "/open/probe", "/open/../private/key", "/open/%2e%2e/private/key", "open",
    "http://a/open/probe", "http://[::1/open", "http://a:99999/open/probe", "http://a:b/open", "https://", "http:///x",
    "//a/open/probe", "/open/probe#x", "/open/probe?#x", "/%", "/open/%zz", "/open/%00", "/open/%ff", "/open/\x7f",
    "/open/a b", "/" + "x" * 5000, "/open/" + "%41" * 400, "a:443", "/open/probe?" + "a=b&" * 3000, "/?\udce9",
]  # fmt: skip
VERSIONS = ["HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.1 ", "http/1.1", "HTTP/11", "HTTP/1.10", ""]
NAMES = [
    "Host", "Content-Length", "Transfer-Encoding", "Connection", "Expect", "Upgrade", "Range", "Authorization", "Date",
    "x-amz-date", "x-amz-content-sha256", "x-amz-meta-a",
    "If-Match", "If-Modified-Since", "Content-MD5", "Trailer",
    "TE",
    "HTTP2-Settings", "x-amz-decoded-content-length", "x-amz-copy-source", "Content-Encoding", "Origin", "",
    "a b", "a\x00b", "é", "Content_Length", "x" * 300, "x-amz-expected-bucket-owner", "Proxy-Connection",
]  # fmt: skip
VALUES = [
    "", " ", "0", "1", "5", "-1", "+5", "0x5", "5, 5", "5,6", "\u0665", "9" * 30,
    "chunked", "Chunked", "chunked, chunked", "gzip",
    "gzip, chunked", "identity", "chunked\x0b", "xchunked", "close", "keep-alive", "upgrade", "close, x", "h2c",
    "websocket", "100-continue", "bytes=0-0", "bytes=-", "bytes=9-1", "bytes=0-0,2-3", "a\x00b", "a\x01b",
    "é", "\udcff",
    "AWS4-HMAC-SHA256 Credential=FUZZKEY/20240101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
    "AWS a:b",
    "AWS", "Basic YTpi", "Thu, 01 Jan 1970 00:00:00 GMT", "20240101T000000Z", "99999999T999999Z",
    "*", '"', 'W/"', "x" * 9000,
    "Fri, 31 Dec 9999 23:59:59 -2359", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
]  # fmt: skip
BODIES = [
    b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"5;a=b\r\nhello\r\n0\r\n\r\n", b"0\r\nA: b\r\n\r\n", b"-1\r\n",
    b"FFFFFFFFFFFFFFFFF\r\n", b"5\nhello\n0\n\n", b"0\r\n\r\n" + PROBE, PROBE, b"\x00" * 50, b"5\r\nhelloXX0\r\n\r\n",
    b"5;" + b"x" * 20000 + b"\r\nhello\r\n0\r\n\r\n",
]  # fmt: skip

text = st.text(st.characters(codec="utf-8"), max_size=20)
lines = st.lists(st.tuples(st.sampled_from(NAMES) | text, st.sampled_from(VALUES) | text), max_size=6)
ends = st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r", "\r\n ", "\r\n\t", "\x00"])


@st.composite
def requests(draw):
    method = draw(st.sampled_from(METHODS) | text)
    target = draw(st.sampled_from(TARGETS) | text)
    end = draw(ends)
    fields = [("Host", "a")] * draw(st.sampled_from([1, 1, 1, 0, 2])) + draw(lines)
    space = draw(st.sampled_from([": ", ":", " : ", ":\t", "", ":\x00"]))
    start = f"{method} {target} {draw(st.sampled_from(VERSIONS))}{end}"
    sent = (
        start + "".join(f"{name}{space}{value}{end}" for name, value in fields) + draw(st.sampled_from(["\r\n", end]))
    )
    return sent.encode("utf-8", "surrogateescape") + draw(st.sampled_from(BODIES) | st.binary(max_size=50))


@thorough
@given(attack=requests())
def test_whatever_comes_is_answered_in_http_and_changes_nothing(attacked, attack):
    before = attacked.inside()
    replies = attacked.ask(attack + PROBE)
    assert all(reply.status >= 400 for reply in replies if reply.body not in {PROBED, PROBED[:1]}), replies
    assert attacked.inside() == before


@thorough
@given(attack=st.binary(max_size=200))
@example(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100)
@example(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
@example(b"\r\n" * 100)
@example(b"\x80\x2e\x01\x00\x02")
def test_bytes_are_answered_in_http(attacked, attack):
    attacked.ask(attack)


@thorough
@given(data=st.data())
def test_a_signed_request_with_any_further_header_is_answered(attacked, data):
    """What is odd in it, other than its signature, is found by the code behind the signature."""
    fields = data.draw(lines)
    method = data.draw(st.sampled_from(["GET", "PUT", "POST", "DELETE"]))
    target = data.draw(
        st.sampled_from(["/private/other", "/private", "/", "/private/other?uploads", "/private?delete"])
    )
    attacked.ask(
        attacked.signed(method, target, [field for field in fields if is_possible(*field)])
        + data.draw(st.sampled_from(BODIES))
    )


def is_possible(name, value):
    """Say whether a header gets past the parser, and leaves the signature right."""
    ours = {"host", "x-amz-date", "authorization", "x-amz-content-sha256"}
    possible = re.fullmatch(r"[A-Za-z0-9-]+", name) and not re.search(r"[\x00-\x1f\x7f]", value)
    return possible and name.lower() not in ours


SMUGGLED = b"DELETE /private/key HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    "fields",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: 5 ",
        "Content-Length: 0005",
        "Content-Length : 5",
        " Content-Length: 5",
        "X: y\r\n Content-Length: 5",
        "X: y\r\n\tTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked\x0b",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: \x00chunked",
        "Transfer-Encoding:\n chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked;q=1",
        "Content-Length: 5\nX: y",
        "Content-Length: 5\rX: y",
        "Content-Length: \u0665",
        "Content-Length: 0x5",
        "Content-Length: 5_0",
    ],
)
@pytest.mark.parametrize("body", [b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"hello", b"0\n\n", b"0\r\n\n", b""])
def test_no_two_readings_of_a_length_smuggle_a_request(attacked, fields, body):
    """Whoever reads it as two requests elsewhere must not be able to hide the second from us, or the first.

    So either the length is plain to everybody and the request is answered as one, or the connection ends.
    """
    before = attacked.inside()
    request = f"GET /open/probe HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n".encode() + body + SMUGGLED + LAST
    replies = attacked.ask(request, more=True)
    assert attacked.inside() == before
    if fields not in PLAIN:
        assert [reply.status for reply in replies] == [400], replies
        assert replies[0].closes


PLAIN = {"Content-Length: 5 ", "Content-Length: 0005", "Transfer-Encoding: identity, chunked"}


@pytest.mark.parametrize("count", [99, 101, 5000])
def test_many_headers_are_answered(attacked, count):
    reply = attacked.one(
        head("GET", "/open/probe", [("Host", "a"), *((f"x-{number}", "") for number in range(count - 1))])
    )
    assert (reply.status, reply.code) == ((200, "") if count < 100 else (400, "RequestHeaderSectionTooLarge"))


def test_a_thousand_requests_at_once_are_answered_in_turn(attacked):
    replies = attacked.ask(
        PROBE * 500 + b"GET /private/key HTTP/1.1\r\nHost: a\r\n\r\n" + PROBE * 499 + LAST, more=True
    )
    assert [reply.status for reply in replies] == [200] * 500 + [403] + [200] * 500


def test_all_is_answered_that_came_before_the_end(attacked):
    assert [reply.status for reply in attacked.ask(PROBE * 30)] == [200] * 30
    assert attacked.ask(b"") == []


@pytest.mark.parametrize("method", ["CONNECT", "UPGRADE", "GET"])
def test_an_upgrade_ends_the_connection(attacked, method):
    target = "open/probe:80" if method == "CONNECT" else "/open/probe"
    fields = [("Host", "a"), ("Connection", "upgrade"), ("Upgrade", "h2c")]
    replies = attacked.ask(head(method, target, fields) + PROBE, more=True)
    assert len(replies) == 1
    assert replies[0].closes


@pytest.mark.parametrize("forged", ["\n", "\r\n", "\x85", "\u2028", "\x1b[2J", '"}\n{"level":"error"', "\x00"])
def test_no_line_of_the_log_can_be_forged(attacked, forged):
    forged = quote(forged + '{"event":"request","status":200}')
    for target in (f"/open/{forged}", f"/{forged}/key", f"/open?prefix={forged}"):
        attacked.one(head("GET", target, [("Host", "a"), ("User-Agent", "x\x09y")]))
    attacked.check_log()
