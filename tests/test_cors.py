import pytest

from gateway.cors import MOST_ASKED, Cors, Rule

APP = "https://app.example.com"
VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"


def cors(*rules, **more):
    return Cors(rules or [Rule(**{"allowed_origins": [APP], "allowed_methods": ["GET", "PUT"], **more})])


def test_all_that_a_rule_gives_is_said_as_s3_says_it():
    rules = cors(allowed_headers=["*"], expose_headers=["ETag", "x-amz-version-id"], max_age=3000)
    assert rules.headers(APP, "PUT", ["Content-Type", "x-amz-meta-Author"]) == {
        "Access-Control-Allow-Origin": APP,
        "Access-Control-Allow-Methods": "GET, PUT",
        "Access-Control-Allow-Headers": "content-type, x-amz-meta-author",
        "Access-Control-Expose-Headers": "ETag, x-amz-version-id",
        "Access-Control-Max-Age": "3000",
        "Access-Control-Allow-Credentials": "true",
        "Vary": VARY,
    }


def test_what_a_rule_does_not_give_is_not_said():
    assert cors(allowed_origins=["*"]).headers(APP, "GET") == {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": "GET, PUT",
        "Vary": VARY,
    }


def test_a_rule_for_everybody_gives_no_credentials_even_if_it_names_the_origin_too():
    headers = cors(allowed_origins=[APP, "*"]).headers(APP, "GET")
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in headers


def test_an_age_of_zero_is_said():
    assert cors(max_age=0).headers(APP, "GET")["Access-Control-Max-Age"] == "0"


@pytest.mark.parametrize(
    ("allowed", "origin", "matches"),
    [
        (APP, APP, True),
        (APP, "http://app.example.com", False),
        (APP, APP + ":443", False),
        (APP, APP + ".evil.example", False),
        (APP, "https://appXexample.com", False),
        (APP, APP.upper(), False),
        (APP, "", False),
        (APP, "null", False),
        ("null", "null", True),
        ("*", "null", True),
        ("*", "anything", True),
        ("https://*", APP, True),
        ("https://*", "http://app.example.com", False),
        ("https://*.example.com", APP, True),
        ("https://*.example.com", "https://a.b.example.com", True),
        ("https://*.example.com", "https://example.com", False),
        ("https://*.example.com", "https://example.com.evil.example", False),
        ("*suffix", "foo.suffix", True),
        ("*suffix", "foo.suffix.get", False),
        ("start*end", "startend", True),
        ("start*end", "start1end", True),
        ("start*end", "0start12end", False),
        ("prefix*", "prefix.suffix", True),
        ("prefix*", "bla.prefix", False),
        ("a+b", "aab", False),
    ],
)
def test_origins_match_whole_and_a_star_stands_for_any_characters(allowed, origin, matches):
    headers = cors(allowed_origins=["https://other.example", allowed]).headers(origin, "GET")
    assert (headers is not None) is matches
    if headers:
        assert headers["Access-Control-Allow-Origin"] == ("*" if allowed == "*" else origin)


@pytest.mark.parametrize(
    "origin", ["https://a\r\nX-Evil: 1", "https://a\nb", "https://a\tb", "https://a\x7f", "https://ä"]
)
def test_an_origin_that_no_header_could_hold_matches_nothing(origin):
    assert cors(allowed_origins=["https://*"]).headers(origin, "GET") is None


@pytest.mark.parametrize("method", ["POST", "DELETE", "HEAD", "put", "OPTIONS", ""])
def test_other_methods_match_nothing(method):
    assert cors().headers(APP, method) is None


@pytest.mark.parametrize(
    ("allowed", "asked", "matches"),
    [
        ([], [], True),
        ([], ["content-type"], False),
        (["Content-Type"], ["content-type"], True),
        (["content-type"], ["CONTENT-TYPE"], True),
        (["content-type"], ["content-type", "x-amz-acl"], False),
        (["content-type", "x-amz-*"], ["content-type", "x-amz-meta-a", "x-amz-acl"], True),
        (["x-amz-*"], ["content-type"], False),
        (["*"], ["whatever"], True),
        (["*"], ["no name"], False),
        (["*"], ["a\r\nX-Evil: 1"], False),
        (["*"], ["a:b"], False),
    ],
)
def test_each_header_that_is_asked_for_has_to_be_allowed(allowed, asked, matches):
    assert (cors(allowed_headers=allowed).headers(APP, "PUT", asked) is not None) is matches


def test_nobody_asks_for_more_headers_than_are_looked_at():
    names = [f"x-{number}" for number in range(MOST_ASKED + 1)]
    assert cors(allowed_headers=["*"]).headers(APP, "PUT", names[1:])
    assert cors(allowed_headers=["*"]).headers(APP, "PUT", names) is None


def test_the_first_rule_that_matches_counts():
    rules = cors(
        Rule([APP], ["PUT"], ["content-type"], max_age=1),
        Rule([APP], ["PUT"], ["*"], max_age=2),
        Rule(["*"], ["GET"], max_age=3),
        Rule([APP], ["GET"], max_age=4),
    )

    def age(*asked):
        return rules.headers(*asked)["Access-Control-Max-Age"]

    assert age(APP, "PUT", ["content-type"]) == "1"
    assert age(APP, "PUT", ["x-amz-acl"]) == "2"
    assert age(APP, "GET") == "3"
