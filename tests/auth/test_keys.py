import re

import pytest

from gateway.auth.keys import NO_RIGHTS, VERBS, Grants

ALLOWED = [
    ("*", "admin", "", ""),
    ("*", "write", "any", ""),
    ("*", "delete", "any", "k"),
    ("read,write media/*", "read", "media", "k"),
    ("read,write media/*", "write", "media", "a/b"),
    ("read media/*", "read", "media", "*"),
    ("read assets/public/*", "read", "assets", "public/x"),
    ("read assets/public/a*", "read", "assets", "public/abc"),
    ("list media", "list", "media", ""),
    ("list media", "list", "media", "any/prefix"),
    ("list media/*", "list", "media", ""),
    ("list media/a/*", "list", "media", "a/"),
    ("list media/a/*", "list", "media", "a/b"),
    ("* media media/*", "delete", "media", ""),
    ("* media media/*", "admin", "media", "k"),
    ("admin media", "admin", "media", ""),
    ("* logs-*", "write", "logs-2024", ""),
    ("* logs-*", "write", "logs-2024", "k"),
    ("read logs-*/*", "read", "logs-2024", "k"),
    ("read a/* b/*", "read", "b", "k"),
    ("read */public/*", "read", "any", "public/k"),
]
DENIED = [
    ("read media/*", "write", "media", "k"),
    ("read media/*", "list", "media", ""),
    ("read media/*", "read", "media", ""),
    ("read media/*", "read", "media2", "k"),
    ("read media/*", "read", "medi", "k"),
    ("read media/*", "read", "", ""),
    ("read assets/public/*", "read", "assets", "public"),
    ("read assets/public/*", "read", "assets", "private/public/x"),
    ("list media/a/*", "list", "media", ""),
    ("list media/a/*", "list", "media", "a"),
    ("list media/a/*", "list", "media", "b"),
    ("write,delete media/*", "write", "media", ""),
    ("write,delete media/*", "delete", "media", ""),
    ("* media", "read", "media", "k"),
    ("* media", "write", "media", "k"),
    ("read logs-*/*", "read", "log", "k"),
    ("* logs-*/*", "delete", "logs-1", ""),
    ("*", "fly", "any", "k"),
]


@pytest.mark.parametrize(("grant", "verb", "bucket", "key"), ALLOWED)
def test_grant_allows(grant, verb, bucket, key):
    assert Grants.parse([grant]).allows(verb, bucket, key)


@pytest.mark.parametrize(("grant", "verb", "bucket", "key"), DENIED)
def test_grant_does_not_allow(grant, verb, bucket, key):
    assert not Grants.parse([grant]).allows(verb, bucket, key)


def test_grants_add_up():
    rights = Grants.parse(["read media/*", "list media"])
    assert rights.allows("read", "media", "k")
    assert rights.allows("list", "media", "")
    assert not rights.allows("write", "media", "k")


def test_no_grant_allows_nothing():
    assert not any(NO_RIGHTS.allows(verb, bucket, key) for verb in VERBS for bucket in ("", "b") for key in ("", "k"))
    assert not NO_RIGHTS.sees("b")


@pytest.mark.parametrize("grant", ["*", "read media/*", "list media", "write media/deep/*", "read b/* med*/x/*"])
def test_any_right_in_a_bucket_lets_it_be_seen(grant):
    assert Grants.parse([grant]).sees("media")


@pytest.mark.parametrize("grant", ["read medi/*", "list media2", "* other-*"])
def test_rights_elsewhere_show_no_bucket(grant):
    assert not Grants.parse([grant]).sees("media")


@pytest.mark.parametrize(
    ("grant", "said"),
    [
        ("", 'must be "*" or verbs and patterns'),
        ("read", 'must be "*" or verbs and patterns'),
        ("media/*", 'must be "*" or verbs and patterns'),
        ("fly media/*", 'bad verb "fly"'),
        ("read,, media/*", 'bad verb ""'),
        ("Read media/*", 'bad verb "Read"'),
        ("read *media/*", 'bad pattern "*media/*"'),
        ("read me*dia/*", 'bad pattern "me*dia/*"'),
        ("read media/*/x", 'bad pattern "media/*/x"'),
        ("read media/**", 'bad pattern "media/**"'),
        ("read media/key", 'bad pattern "media/key"'),
        ("read media/", 'bad pattern "media/"'),
        ("read /*", 'bad pattern "/*"'),
        ("read media?/*", 'bad pattern "media?/*"'),
        ("read media", 'reads nothing: the objects of a bucket are written "bucket/*"'),
    ],
)
def test_grant_that_breaks_a_rule_is_refused_by_naming_it(grant, said):
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        Grants.parse(["*", grant])
    assert f'"{grant}"' in str(caught.value)
