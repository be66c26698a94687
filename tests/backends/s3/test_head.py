"""The head of an answer is understood in one way, or not at all."""

import pytest

from gateway.backends.s3.head import Head, parse


def lines(*fields: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([status, *fields, "", ""]).encode()


def test_a_head_is_read():
    head = parse(lines("Content-Length: 4", 'ETag:\t "a" ', "x-amz-meta-a:b: c", "x-amz-meta-u: ä", "etag: b"))
    assert head.status == 200
    assert head.headers == {"content-length": "4", "etag": '"a"', "x-amz-meta-a": "b: c", "x-amz-meta-u": "ä"}
    assert (head.length, head.chunked, head.last) == (4, False, False)


@pytest.mark.parametrize(
    ("fields", "length", "chunked"),
    [
        ([], None, False),
        (["Content-Length: 0"], 0, False),
        (["content-length:  9999999999999999999 "], 9_999_999_999_999_999_999, False),
        (["Transfer-Encoding: Chunked"], None, True),
    ],
)
def test_a_head_tells_where_its_body_ends(fields, length, chunked):
    head = parse(lines(*fields))
    assert (head.length, head.chunked) == (length, chunked)


@pytest.mark.parametrize(
    ("status", "fields", "last"),
    [
        ("HTTP/1.1 200 OK", [], False),
        ("HTTP/1.1 200 OK", ["Connection: keep-alive"], False),
        ("HTTP/1.1 200 OK", ["Connection: Close"], True),
        ("HTTP/1.1 200 OK", ["Connection: x, close"], True),
        ("HTTP/1.0 200 OK", [], True),
        ("HTTP/1.0 200 OK", ["Connection: Keep-Alive"], False),
    ],
)
def test_a_head_tells_whether_its_connection_ends(status, fields, last):
    assert parse(lines(*fields, status=status)).last == last


@pytest.mark.parametrize("status", ["HTTP/1.1 200", "HTTP/1.1 200 ", "HTTP/1.1 404 Not Found", "HTTP/1.1 100 Continue"])
def test_a_status_needs_no_words(status):
    assert isinstance(parse(lines(status=status)), Head)


@pytest.mark.parametrize(
    "status",
    [
        *("", "HTTP/1.1", "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1 099 OK", "HTTP/1.1 600 OK", "HTTP/2 200 OK"),
        *("HTTP/1.1  200 OK", " HTTP/1.1 200 OK", "HTTP/1.1 200\tOK", "HTTP/1.1 +20 OK", "HTTP/1.1 200 O\nK"),
        "HTTP/1.1 101 Switching Protocols",
    ],
)
def test_what_is_no_status_is_no_head(status):
    with pytest.raises(ValueError, match=r"head|something else"):
        parse(lines(status=status))


@pytest.mark.parametrize(
    "field",
    [
        "nothing",
        ": a",
        "a : b",
        " a: b",
        "\ta: b",
        "a\x00: b",
        "a: b\x00",
        "a: b\rc: d",
        "a: b\nc: d",
        "ä: b",
        "a: \x7f",
    ],
)
def test_what_is_no_field_is_no_head(field):
    with pytest.raises(ValueError, match="no head"):
        parse(lines("Content-Length: 0", field, "c: d"))


@pytest.mark.parametrize(
    "fields",
    [
        *(["Content-Length: 4", "content-length: 4"], ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"]),
        *(["Content-Length: 4", "Transfer-Encoding: chunked"], ["Transfer-Encoding: gzip, chunked"]),
        *(["Transfer-Encoding: gzip"], ["Transfer-Encoding:"], ["Content-Length:"], ["Content-Length: -1"]),
        *(["Content-Length: +1"], ["Content-Length: 1 1"], ["Content-Length: 1, 1"], ["Content-Length: 0x1"]),
        *(["Content-Length: 10000000000000000000"], ["Content-Length: \u0661"]),
    ],
)
def test_a_body_that_could_end_here_or_there_has_no_head(fields):
    with pytest.raises(ValueError, match=r"framed|length"):
        parse(lines(*fields))
