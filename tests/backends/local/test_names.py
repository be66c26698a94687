"""Every key has a place of its own within the root, and every place tells its key."""

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from gateway.backends.local.names import folder, key_of, piece, place
from gateway.errors import InvalidURI, KeyTooLongError
from tests.backends.given import NASTY

PIECES = st.sampled_from(
    [
        "a",
        "/",
        "//",
        ".",
        "..",
        "%",
        "%25",
        "%00",
        ".%",
        ".%a",
        ".%c",
        ".%d",
        ".%f",
        "\0",
        "é",
        "😀",
        "x" * 240,
        "%" * 80,
    ]
)
KEYS = st.one_of(st.lists(PIECES, min_size=1, max_size=12).map("".join), st.text(min_size=1, max_size=60))


def is_legal(key):
    try:
        return 0 < len(key.encode()) <= 1024
    except UnicodeEncodeError:
        return False


def path(key, name):
    where = place(key)
    return [*([*where.folder.split(b"/")] if where.folder else []), name]


def check(key):
    for name in place(key).names:
        parts = path(key, name)
        assert key_of(parts) == key
        for part in parts:
            assert 0 < len(part) <= 255
            assert part not in {b".", b".."}
            assert b"/" not in part
            assert b"\0" not in part
            part.decode()
        assert len(b"/".join(parts)) <= 4096 - 256 - 1  # with the name of any bucket it is a path that Linux takes


@pytest.mark.parametrize("key", NASTY, ids=range(len(NASTY)))
def test_a_nasty_key_comes_back_from_its_path(key):
    check(key)


@settings(max_examples=150, deadline=None)
@given(KEYS)
@example(".%" * 512)
@example("\0" * 1024)
@example("\0/" * 512)
@example(".%/" * 341)
@example("../" * 341)
@example("%" * 1024)
@example("%\0" * 512)
@example("/" * 1024)
@example("x" * 250 + "/" + "x" * 251)
@example("x" * 249 + "é")
@example("é" * 512)
def test_any_key_comes_back_from_its_path(key):
    assume(is_legal(key))
    check(key)


@settings(max_examples=60, deadline=None)
@given(st.lists(KEYS.filter(is_legal), unique=True, max_size=8))
def test_no_two_keys_share_a_place(keys):
    places = [(place(key).folder, name) for key in keys for name in place(key).names]
    assert len(set(places)) == len(places)


NAMES = st.one_of(
    st.binary(min_size=1, max_size=12),
    st.lists(PIECES.map(str.encode), min_size=1, max_size=3).map(b"".join),
).filter(lambda name: b"/" not in name and b"\0" not in name and name not in {b".", b".."} and len(name) <= 255)


@settings(max_examples=150, deadline=None)
@given(st.lists(NAMES, max_size=3), NAMES)
def test_a_path_that_tells_a_key_is_the_one_that_is_written_for_it_or_none(folders, name):
    """Where a segment goes on in further folders only the whole decides: there the listing compares."""
    key = key_of([*folders, name])
    if key is None or not is_legal(key) or any(part.startswith(b".%c") for part in folders):
        return
    assert [*folders, name] in [path(key, other) for other in place(key).names]


@pytest.mark.parametrize(
    "key",
    [
        "designs/42/preview.png",
        "a b/ü.txt",
        "%41",
        "x" * 250,
        ".hidden",
        "-",
        "con",
        "a%2Fb",
        "日本/語",
        ".gw/x",
        "...",
        "\\",
    ],
)
def test_an_ordinary_key_is_its_path(key):
    assert b"/".join(path(key, place(key).name)).decode() == key


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a/", b"a/.%f"),
        ("a//b", b"a/.%/b"),
        ("../x", b".%d../x"),
        ("x/..", b"x/.%f.."),
        (".%x", b".%f.%25x"),
        ("\0", b".%f%00"),
        ("x" * 251, b".%c" + b"x" * 250 + b"/x"),
        ("x" * 249 + "é", b".%c" + b"x" * 249 + b"/\xc3\xa9"),
    ],
)
def test_a_key_that_no_path_can_hold_is_written_as_documented(key, expected):
    assert b"/".join(path(key, place(key).name)) == expected


@pytest.mark.parametrize(
    "name",
    [
        b".%",
        b".%fa",
        b".%x",
        b".%a",
        b".%a..",
        b".%f%",
        b".%f%41",
        b".%f%2500x",
        b"\xff",
        b".%a\xff",
        b".%f..\xff",
        b"x" * 251,
    ],
)
def test_a_file_whose_name_is_not_what_its_key_would_be_written_as_is_no_object(name):
    assert piece(name, is_folder=False) is None


@pytest.mark.parametrize("name", [b".%a", b".%ax", b".%fx", b".%d", b".%dx", b".%c", b"\xff", b"x" * 251, b".%d..%"])
def test_a_folder_whose_name_is_not_what_a_key_would_be_written_as_holds_no_object(name):
    assert piece(name, is_folder=True) is None


def test_a_key_that_is_too_long_is_refused():
    place("é" * 512)
    with pytest.raises(KeyTooLongError):
        place("é" * 512 + "x")


def test_a_key_that_is_not_unicode_is_refused():
    with pytest.raises(InvalidURI):
        place("\udcff")


@settings(max_examples=60, deadline=None)
@given(KEYS.filter(is_legal), KEYS.filter(is_legal))
def test_all_keys_with_a_prefix_that_ends_in_a_slash_lie_in_one_folder(prefix, key):
    whole = f"{prefix}/{key}"
    assume(is_legal(whole))
    inside = place(whole).folder
    above = folder(prefix.encode())
    assert inside == above or inside.startswith(above + b"/")
