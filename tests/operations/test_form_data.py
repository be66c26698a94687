from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import InvalidArgument, MalformedPOSTRequest, MaxPostPreDataLengthExceeded
from gateway.operations.form_data import LIMIT, FormData, boundary_of
from tests.forms import BOUNDARY, encoded, part

DELIMITER = f"\r\n--{BOUNDARY}".encode()
CLOSE = f"--{BOUNDARY}--".encode()


def taken(body, cuts=()):
    """Return what a form holds that comes in pieces which end at the cuts."""
    form = FormData(BOUNDARY)
    edges = [0, *sorted(cuts), len(body)]
    content = b"".join(piece for start, end in pairwise(edges) for piece in form.feed(body[start:end]))
    form.finish()
    return form.fields, form.filename, content


def test_fields_and_file_are_told_apart():
    body = encoded({"key": "a/${filename}", "Content-Type": "image/jpeg"}, b"\xff\xd8\r\n--\r\n\x00", "cat.jpg")
    assert taken(body) == ({"key": "a/${filename}", "content-type": "image/jpeg"}, "cat.jpg", b"\xff\xd8\r\n--\r\n\x00")


pieces = st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--", DELIMITER[:-1], DELIMITER[2:], b"a", b"\xff"]))
values = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


@given(pieces, values, st.data())
@example([b"\r\n--", b"\r"], "", None)
def test_however_a_form_is_cut_the_same_is_found(content, value, data):
    file = b"".join(content)
    body = encoded({"key": value, "x": "1"}, file, after=[("submit", "Upload")])
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=30)) if data else range(len(body))
    assert taken(body, cuts) == ({"key": value, "x": "1"}, "cat.jpg", file)


def test_a_form_that_ends_short_is_none():
    body = encoded({"key": "k"}, b"bytes", after=[("submit", "Upload")])
    whole = len(body) - len(b"\r\n")
    for end in range(whole):
        with pytest.raises(MalformedPOSTRequest):
            taken(body[:end])
    assert taken(body[:whole]) == taken(body)


@given(st.binary(max_size=200), st.data())
def test_whatever_comes_is_a_form_or_refused_in_words_of_s3(noise, data):
    body = encoded({"key": "k"}, b"bytes")
    at = data.draw(st.integers(0, len(body)))
    broken = body[:at] + noise + body[at + data.draw(st.integers(0, 20)) :]
    with suppress(MalformedPOSTRequest, InvalidArgument):
        taken(broken, data.draw(st.lists(st.integers(0, len(broken)), max_size=5)))


def test_nothing_but_the_end_of_a_file_is_held_back():
    form = FormData(BOUNDARY)
    (first,) = form.feed(encoded({"key": "k"}, b"first")[: -len(CLOSE) - 4])
    assert first == b"first"
    chunk = bytes(range(256)) * 1024
    for _ in range(3):
        (piece,) = form.feed(chunk)
        assert piece is chunk  # nothing is copied either
    assert form.feed(DELIMITER[:-1]) == []
    assert form.feed(b"!") == [DELIMITER[:-1] + b"!"]


def test_what_stands_around_the_parts_is_ignored():
    body = encoded({"key": "k"}, b"bytes")
    assert taken(b"preamble\r\n" + body + b"epilogue") == taken(body)
    padded = body.replace(BOUNDARY.encode() + b"\r\n", BOUNDARY.encode() + b" \t\r\n")
    assert taken(padded) == taken(body)


def test_other_headers_of_a_part_are_ignored():
    body = part("key", b"k", None, "Content-Transfer-Encoding: 8bit\r\nX-Other: 1\r\n") + encoded({})
    assert taken(body)[0] == {"key": "k"}


def test_values_of_a_field_that_comes_twice_are_joined_by_a_comma():
    assert taken(encoded([("x-amz-meta-tag", "Ninja"), ("X-Amz-Meta-Tag", "Stallman")]))[0] == {
        "x-amz-meta-tag": "Ninja,Stallman"
    }


def test_fields_after_the_file_are_ignored():
    assert taken(encoded({"key": "k"}, after=[("acl", "public-read"), ("key", "other")]))[0] == {"key": "k"}


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("cat.jpg", "cat.jpg"),
        ("", ""),
        ("über.jpg", "über.jpg"),
        ("a; b=c.jpg", "a; b=c.jpg"),
        ("%22quoted%22", '"quoted"'),
        (r"\"quoted\"", '"quoted"'),
        (r"C:\folder\cat.jpg", r"C:\folder\cat.jpg"),
        ("100%.jpg", "100%.jpg"),
    ],
)
def test_names_of_files_are_read_as_clients_write_them(sent, name):
    assert taken(encoded({}, b"", sent))[1] == name


def test_a_name_without_quotes_is_one():
    body = encoded({"key": "k"}).replace(b'name="key"', b"name=key").replace(b'filename="cat.jpg"', b"filename=cat.jpg")
    assert taken(body)[:2] == ({"key": "k"}, "cat.jpg")


def test_a_file_without_a_name_is_one():
    assert taken(encoded({}, b"bytes", None)) == ({}, None, b"bytes")


def test_one_file_is_wanted():
    for body in (encoded({"key": "k"}, None), encoded({}, after=[("file", "another")])):
        with pytest.raises(InvalidArgument, match="exactly one file") as caught:
            taken(body)
        assert caught.value.fields["ArgumentName"] == "file"


@pytest.mark.parametrize("cut", [100, 4096])
def test_fields_before_the_file_may_have_20_kb(cut):
    def sized(size):
        bare = len(encoded({"key": "k", "x": ""}, b""))
        return encoded({"key": "k", "x": "v" * (size - bare)}, b"f" * 100_000)

    body = sized(LIMIT)
    assert len(taken(body, range(cut, len(body), cut))[2]) == 100_000
    body = sized(LIMIT + 1)
    with pytest.raises(MaxPostPreDataLengthExceeded) as caught:
        taken(body, range(cut, len(body), cut))
    assert caught.value.fields == {"MaxPostPreDataLengthBytes": "20480"}


@pytest.mark.parametrize("endless", [b"x", b"\r", f"--{BOUNDARY}\r\n".encode() + b"h", encoded({"key": "k"})])
def test_what_never_becomes_a_file_is_not_kept(endless):
    sent = endless + endless[-1:] * (LIMIT + 1)
    with pytest.raises((MaxPostPreDataLengthExceeded, MalformedPOSTRequest)):
        taken(sent, range(7, len(sent), 7))


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"key=value",
        CLOSE[:-1],
        encoded({"key": "k"}).replace(b"\r\n", b"\n"),
        encoded({"key": "k"}).replace(b"form-data", b"attachment"),
        encoded({"key": "k"}).replace(b"; name=", b"; nam="),
        encoded({"key": "k"}).replace(b"Content-Disposition:", b"Content-Disposition"),
        encoded({"": "k"}),
        encoded({"key": "k"}).replace(b"key", b"\xff"),
        encoded({"key": "KEY"}).replace(b"KEY", b"\xff"),
        encoded({"key": "k"}, b"a" + DELIMITER + b"x\r\nb"),
        f"--{BOUNDARY}\r\n\r\nno headers\r\n".encode() + encoded({}),
    ],
)
def test_what_is_no_form_is_refused(wrong):
    with pytest.raises(MalformedPOSTRequest):
        taken(wrong)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", "abc"),
        ('Multipart/Form-Data;charset=utf-8; Boundary="a b:c"', "a b:c"),
        ("multipart/form-data;boundary=" + "b" * 70, "b" * 70),
        ("multipart/mixed; boundary=abc", None),
        ("application/x-www-form-urlencoded", None),
        ("", None),
    ],
)
def test_the_boundary_is_told_by_the_type(content_type, boundary):
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize("boundary", ["", "; boundary=", "; boundary=" + "b" * 71, '; boundary="a "', "; boundary=ü"])
def test_a_boundary_that_can_be_none_is_refused(boundary):
    with pytest.raises(MalformedPOSTRequest):
        boundary_of("multipart/form-data" + boundary)
