import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.images.rules import Key, Match, Overlap, Planned, Rule, derived, doubled, first, have_common, overlaps
from gateway.images.spec import PRESETS, Variant

SMALL = Variant("small", 10)
WEBP = Variant("webp", 10, format="webp")


def rule(match, key, *variants):
    pattern = Match(match)
    return Rule(pattern, [Planned(variant, Key(key, pattern)) for variant in variants or (SMALL,)])


def keys(match, key, source, *variants):
    one = rule(match, key, *variants)
    return list(derived([one], one, source))


@pytest.mark.parametrize(
    ("pattern", "key", "captured"),
    [
        ("images/original/{path*}", "images/original/a/b.jpg", {"path": "a/b.jpg"}),
        ("images/original/{path*}", "images/original/b.jpg", {"path": "b.jpg"}),
        ("images/original/{path*}", "images/original/", None),
        ("images/original/{path*}", "images/original/a/", None),
        ("images/original/{path*}", "images/originals/b.jpg", None),
        ("designs/{id}/preview.png", "designs/42/preview.png", {"id": "42"}),
        ("designs/{id}/preview.png", "designs/4/2/preview.png", None),
        ("designs/{id}/preview.png", "designs//preview.png", None),
        ("{a}-{b}.jpg", "x-y-z.jpg", {"a": "x", "b": "y-z"}),
        ("{a}-{b}.jpg", "-y.jpg", None),
        ("{a}-{b}.jpg", "x-.jpg", None),
        ("{tenant}/{path*}/full.jpg", "t/a/b/full.jpg", {"tenant": "t", "path": "a/b"}),
        ("{tenant}/{path*}/full.jpg", "t/full.jpg", None),
        ("{path*}", "x.jpg", {"path": "x.jpg"}),
        ("logo.png", "logo.png", {}),
    ],
)
def test_a_pattern_takes_segments(pattern, key, captured):
    assert Match(pattern).captures(key) == captured


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("", "1 to 512"),
        ("/a", "begin with /"),
        (".gw/{a}", ".gw/"),
        ("a/{b", "placeholders"),
        ("a/{B}", "placeholders"),
        ("a/*", None),
        ("{a}{b}", "between two"),
        ("{a}/{a}", "more than once"),
        ("{a*}/{b*}", "one placeholder with"),
        ("x{a*}", "between slashes"),
        ("{ext}/{a}", "told of every image"),
        ("{a.stem}", "for `key`"),
    ],
)
def test_what_is_no_pattern_is_refused_with_the_reason(pattern, told):
    if told is None:
        assert Match(pattern).captures(pattern) == {}
        return
    with pytest.raises(ValueError, match=told.replace(".", r"\.")):
        Match(pattern)


@pytest.mark.parametrize("key", ["{who}/{variant}", "{path.stem*}", "{variant.stem}", "{id*}", "a/{", "/{variant}"])
def test_what_is_no_template_of_keys_is_refused(key):
    with pytest.raises(ValueError, match=r"unknown|placeholders|written|begin"):
        Key(key, Match("a/{id}"))


@pytest.mark.parametrize(
    ("match", "key", "source", "made"),
    [
        ("designs/{id}/preview.png", "designs/{id}/{variant}.{ext}", "designs/42/preview.png", "designs/42/small.png"),
        ("images/original/{path*}", "images/{variant}/{path}", "images/original/a/x.jpg", "images/small/a/x.jpg"),
        (
            "products/{id}/original/{file}",
            "products/{id}/thumbnails/{stem}_{variant}.{ext}",
            "products/9/original/front.jpeg",
            "products/9/thumbnails/front_small.jpeg",
        ),
        ("{path*}", "t/{dir}/{file}", "x.JPG", None),  # it would be an image itself
        ("in/{path*}", "t/{dir}/{stem}.{ext}", "in/x.JPG", "t/in/x.JPG"),
        ("in/{path*}", "t/{path.stem}-{variant}.{ext}", "in/a.b/x.JPG", "t/a.b/x-small.JPG"),
        ("in/{path*}", "t/{stem}.{ext}", "in/noext", "t/noext"),
        ("in/{path*}", "t/{stem}.{ext}", "in/.hidden", "t/.hidden"),
        ("in/{path*}", "t/{stem}.{ext}", "in/x.gif", "t/x.png"),
        ("{name}.jpg", "t/{dir}/{file}", "x.jpg", "t/x.jpg"),
        ("{name}.jpg", "t{dir}-{file}.x", "x.jpg", "t-x.jpg.x"),
        ("{name}.jpg", "t/{dir}", "x.jpg", None),  # no folder is made
    ],
)
def test_keys_are_filled(match, key, source, made):
    assert keys(match, key, source) == ([made] if made else [])


def test_a_variant_with_a_format_has_its_extension():
    assert keys("in/{path*}", "t/{path.stem}.{ext}", "in/x.jpg", WEBP) == ["t/x.webp"]
    assert keys("in/{path*}", "t/{file}.{ext}", "in/x.jpg", WEBP) == ["t/x.jpg.webp"]
    assert keys("in/{path*}", "t/{stem}.{ext}", "in/noext", WEBP) == ["t/noext.webp"]


def test_no_variant_has_a_key_that_is_too_long_or_the_gateways_own():
    assert keys("in/{path*}", "thumbnails/of/all/sizes/{path}", "in/" + "x" * 1021) == []
    assert keys("in/{path*}", "{path}", "in/.gw/x.jpg") == []


def test_the_first_rule_that_matches_holds():
    one, two = rule("a/{path*}", "t/{path}"), rule("{path*}", "t/{path}")
    assert first([one, two], "a/x") is one
    assert first([one, two], "b/x") is two
    assert first([one], "b/x") is None


LAYOUTS = [
    rule("images/original/{path*}", "images/{variant}/{path}", PRESETS["thumbnail_small"], PRESETS["compressed"]),
    rule("designs/{id}/preview.png", "designs/{id}/{variant}.{ext}", Variant("thumbnail", 400, 300)),
    rule("products/{id}/original/{file}", "products/{id}/thumbnails/{stem}_{variant}.{ext}", SMALL, WEBP),
]


def test_the_usual_layouts_do_not_run_into_themselves():
    assert list(overlaps(LAYOUTS)) == []
    assert [pair for rule in LAYOUTS for pair in doubled(rule)] == []


@pytest.mark.parametrize(
    ("match", "key"),
    [
        ("images/{path*}", "images/{variant}/{path}"),
        ("{path*}", "thumbnails/{path}"),
        ("{path*}", "{dir}/{variant}.{ext}"),
        ("a/{id}/x.png", "a/{variant}/{id}.{ext}"),
        ("a/{id}/{name}.png", "a/{id}/{stem}_{variant}.{ext}"),
        ("a/{name}", "a/{stem}.{ext}"),
    ],
)
def test_what_would_be_made_of_itself_is_told(match, key):
    assert list(overlaps([rule(match, key)])) == [Overlap(0, "small", 0)]


def test_an_overlap_with_another_rule_names_both():
    rules = [rule("in/{path*}", "mid/{path}"), rule("mid/{path*}", "out/{path}")]
    assert list(overlaps(rules)) == [Overlap(0, "small", 1)]


def test_the_name_of_the_variant_and_the_format_count():
    assert not list(overlaps([rule("{id}/full.jpg", "{id}/{variant}.{ext}")]))
    assert list(overlaps([rule("{id}/small.jpg", "{id}/{variant}.{ext}")]))
    assert not list(overlaps([rule("a/{name}.jpg", "a/{stem}.{ext}", WEBP)]))
    assert list(overlaps([rule("a/{name}.webp", "a/x{stem}.{ext}", WEBP)]))


def test_two_variants_with_one_key_are_told():
    assert list(doubled(rule("in/{path*}", "t/{path}", SMALL, Variant("large", 20)))) == [("small", "large")]


def test_what_may_be_a_variant_is_found_by_its_key():
    planned = LAYOUTS[2].variants[1]
    assert planned.key.may_be("products/9/thumbnails/front_webp.webp", planned.variant)
    assert not planned.key.may_be("products/9/thumbnails/front_small.webp", planned.variant)
    assert not planned.key.may_be("products/9/original/front_webp.webp", planned.variant)


def test_a_long_key_is_matched_in_no_time():
    pattern = Match("-".join(f"{{a{n}}}" for n in range(30)) + ".jpg")
    assert pattern.captures("-" * 1024) is None
    assert pattern.captures("x-" * 500) is None


SEGMENTS = st.lists(
    st.sampled_from(["a", "b", "{x}", "{y}", "a{x}", "{x}.jpg", "x.png", "{p*}", "{x}-{y}", "{x}_b"]),
    min_size=1,
    max_size=4,
)
PARTS = st.lists(
    st.sampled_from(
        ["a", "b", "{x}", "{y}", "{p}", "{variant}", "{stem}.{ext}", "{file}", "{dir}", "a{stem}", "{p.stem}.{ext}"]
    ),
    min_size=1,
    max_size=4,
)
VALUES = st.text("ab-_./", min_size=1, max_size=6)
VARIANTS = st.sampled_from([SMALL, WEBP, Variant("a", 1), Variant("b", 1, format="jpeg")])


def possible(match, key, variant):
    try:
        return rule("/".join(match), "/".join(key), variant)
    except ValueError:
        return None


@given(
    st.tuples(SEGMENTS, PARTS, VARIANTS),
    SEGMENTS,
    st.text("ab-_./jpgn", min_size=1, max_size=14),
    st.fixed_dictionaries(dict.fromkeys("xyp", VALUES)),
)
def test_no_key_that_is_made_matches_where_no_overlap_was_told(said, other, wild, values):
    """Sources are made from the pattern, else hardly one would match."""
    match, _, variant = said
    one, two = possible(*said), possible(other, ["t"], variant)
    if one is None or two is None:
        return
    rules = [one, two._replace(variants=[])]
    told = {overlap.of for overlap in overlaps(rules)}
    filled = "/".join(match).replace("{p*}", values["p"]).replace("{x}", values["x"]).replace("{y}", values["y"])
    for source in (filled, wild):
        made = one.variants[0].key.fill(source, variant)
        for index, into in enumerate(rules):
            if made is not None and into.match.captures(made) is not None:
                assert index in told, (source, made)


@given(SEGMENTS, PARTS, VARIANTS, st.text("ab-_./jpgn", min_size=1, max_size=14))
@example(["{x}"], ["a{stem}", "{dir}"], SMALL, "_")
@example(["{x}"], ["a-{dir}-b"], SMALL, "_")
def test_what_was_made_may_be_what_it_is(match, key, variant, source):
    one = possible(match, key, variant)
    if one is None:
        return
    made = one.variants[0].key.fill(source, variant)
    assert made is None or (one.variants[0].key.may_be(made, variant) and not made.endswith("/"))


@given(SEGMENTS, st.text("ab-_./jpgn{}", min_size=1, max_size=14))
def test_a_key_matches_if_and_only_if_the_tokens_allow_it(segments, key):
    try:
        pattern = Match("/".join(segments))
    except ValueError:
        return
    matches = pattern.captures(key) is not None
    assert matches == (have_common([*key], pattern.tokens()) and not key.endswith("/"))
