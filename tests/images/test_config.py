import subprocess
import sys

import pytest
import yaml

from gateway.config import ConfigError, parse
from gateway.config.images import limits_of, rules_of
from gateway.images.rules import derived, first
from gateway.images.spec import POSITIONS, PRESETS, Limits, Point

PHOTOS = {"match": "in/{path*}", "key": "out/{variant}/{path.stem}.{ext}", "variants": ["thumbnail_small"]}


def text(*rules, top=None, **said):
    images = {"rules": list(rules) or [PHOTOS], **said}
    document = {"backends": {"disk": {"type": "local", "path": "x"}}, "images": top or {}}
    return yaml.safe_dump({**document, "buckets": {"media": {"backend": "disk", "images": images}}})


def read(*rules, **said):
    config = parse(text(*rules, **said), "c.yaml", {})
    return config, rules_of(config.images, config.buckets["media"].images)


def problem(*rules, **said):
    with pytest.raises(ConfigError) as caught:
        parse(text(*rules, **said), "c.yaml", {})
    (only,) = str(caught.value).splitlines()
    return only.partition(": ")[2]


def one(variant):
    """Return what a variant of these options becomes."""
    _, rules = read({**PHOTOS, "variants": {"v": variant}})
    return rules[0].variants[0].variant


LAYOUTS = """
backends: {disk: {type: local, path: x}}
buckets:
  media:
    backend: disk
    images:
      mode: async
      on_invalid: store
      on_error: keep
      limits: {max_bytes: 25MB, max_pixels: 50MP, max_side: 16384, max_frames: 1}
      accept: [jpeg, png, webp, gif, avif]
      rules:
        - match: "images/original/{path*}"
          key:   "images/{variant}/{path}"
          variants: [thumbnail_small, thumbnail_medium, thumbnail_large, compressed, platform_facebook]
        - match: "designs/{id}/preview.png"
          key:   "designs/{id}/{variant}.{ext}"
          mode:  sync
          variants:
            thumbnail: {width: 400, height: 300}
        - match: "products/{id}/original/{file}"
          key:   "products/{id}/thumbnails/{stem}_{variant}.{ext}"
          variants:
            small: {preset: thumbnail_small}
            large: {width: 1200, format: webp,
                    watermark: {image: assets/logo.png, position: bottom-right, opacity: 0.5, scale: 0.2, margin: 16}}
"""


@pytest.mark.parametrize(
    ("source", "is_sync", "made"),
    [
        (
            "images/original/x.jpg",
            False,
            [
                "images/thumbnail_small/x.jpg",
                "images/thumbnail_medium/x.jpg",
                "images/thumbnail_large/x.jpg",
                "images/compressed/x.jpg",
                "images/platform_facebook/x.jpg",
            ],
        ),
        ("designs/42/preview.png", True, ["designs/42/thumbnail.png"]),
        (
            "products/9/original/front.jpeg",
            False,
            ["products/9/thumbnails/front_small.jpeg", "products/9/thumbnails/front_large.webp"],
        ),
    ],
)
def test_the_usual_layouts_are_read(source, is_sync, made):
    config = parse(LAYOUTS, "c.yaml", {})
    rules = rules_of(config.images, config.buckets["media"].images)
    rule = first(rules, source)
    assert rule.is_sync is is_sync
    assert list(derived(rules, rule, source)) == made


def test_limits_are_read_as_people_write_them():
    said = {"limits": {"max_bytes": "1MB", "max_pixels": "5MP", "max_side": 100, "max_frames": 1}}
    config, _ = read(**said)
    assert limits_of(config.buckets["media"].images) == Limits(1_000_000, 5_000_000, 100, 1)


def test_what_is_not_said_is_as_the_workers_have_it():
    config, _ = read()
    assert limits_of(config.buckets["media"].images) == Limits()


def test_a_preset_is_taken_and_changed():
    assert one({"preset": "thumbnail_small"}) == PRESETS["thumbnail_small"]._replace(name="v")
    assert one({"preset": "thumbnail_small", "width": 99}).width == 99
    assert one({"preset": "platform_x", "quality": 50}) == PRESETS["platform_x"]._replace(name="v", quality=50)


def test_a_preset_of_ones_own_changes_one_that_is_there():
    top = {"presets": {"thumbnail_small": {"quality": 33}, "mine": {"width": 7}}}
    _, rules = read({**PHOTOS, "variants": ["thumbnail_small", "mine"]}, top=top)
    small, mine = (planned.variant for planned in rules[0].variants)
    assert small == PRESETS["thumbnail_small"]._replace(quality=33)
    assert (mine.name, mine.width) == ("mine", 7)


def test_what_switches_off_is_not_taken_for_nothing_said():
    assert one({"preset": "compressed", "progressive": False}).progressive is False
    assert one({"autorotate": False}).autorotate is False


def test_other_words_for_the_same():
    assert one({"width": 5, "height": 5, "fit": "crop"}).fit == "cover"
    assert one({"fit": "inside"}).fit == "scale-down"
    assert one({"position": "top-left"}).position == POSITIONS["top-left"]
    assert one({"position": {"x": 0.25, "y": 1}}).position == Point(0.25, 1.0)


@pytest.mark.parametrize(
    ("variant", "told"),
    [
        ({"fit": "fill"}, "cover (crop), stretch (distort) or pad"),
        ({"fit": "contain"}, "say scale-down (never enlarged), or pad"),
        ({"fit": "smart"}, "expected 'scale-down', 'cover', 'pad' or 'stretch'"),
        ({"fit": "cover", "width": 5}, "cover needs a width and a height"),
        ({"width": 0}, "greater than or equal to 1"),
        ({"wdith": 5}, "unknown key, did you mean width?"),
        ({"preset": "thumb"}, "there is no preset thumb, there are: avif, compressed,"),
        ({"position": {"x": 2, "y": 0}}, "from 0 to 1"),
        ({"background": "white"}, "match pattern"),
        ({"key": "out/x.jpg", "format": "webp"}, "v is made webp: use {ext}"),
        ({"key": "out/{who}.{ext}"}, "{who} is unknown, known are {path}, {variant}"),
        ({"key": "in/{variant}"}, 'keys of v may match "in/{path*}" of this rule'),
        ({"watermark": {"opacity": 1}}, "is required"),
        ({"cache_control": "a\nb"}, "match pattern"),
    ],
)
def test_a_variant_that_cannot_be_is_refused_with_what_was_meant(variant, told):
    assert told in problem({**PHOTOS, "variants": {"v": variant}})


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"match": "{a}{b}"}, "something must stand between two placeholders"),
        ({"variants": ["nothing"]}, "there is no preset nothing"),
        ({"variants": []}, "must not be empty"),
        ({"variants": {"A b": {}}}, "match pattern"),
        ({"key": "out/{path.stem}.{ext}", "variants": ["compressed", "thumbnail_small"]}, "would have the same keys"),
        ({"key": "out/{variant}/{path}", "variants": ["webp"]}, "webp is made webp: use {ext}"),
        ({"extract": ["name"]}, "expected 'width'"),
        ({"mode": "later"}, "expected 'sync' or 'async'"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(rule, told):
    assert told in problem({**PHOTOS, **rule})


def test_rules_that_feed_each_other_are_refused_and_both_are_named():
    told = problem({**PHOTOS, "key": "mid/{path}"}, {**PHOTOS, "match": "mid/{path*}"})
    assert told.startswith("buckets.media.images.rules[0].key: keys of thumbnail_small may match")
    assert '"mid/{path*}" of rules[1]' in told


def test_workers_must_have_the_memory_that_the_largest_image_needs():
    assert "needs images.memory of 1000MB at least" in problem(limits={"max_pixels": "100MP"})
    assert read(limits={"max_pixels": "100MP"}, top={"memory": "1000MB"})


def test_a_bucket_that_is_read_only_has_no_variants():
    said = yaml.safe_load(text())
    said["buckets"]["media"]["read_only"] = True
    with pytest.raises(ConfigError, match="read_only, no variants either"):
        parse(yaml.safe_dump(said), "c.yaml", {})


def test_nothing_that_decodes_is_imported_by_reading_a_configuration():
    script = "import sys, gateway.app; print([name for name in sys.modules if name.split('.')[0] == 'PIL'])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_what_is_said_of_a_bucket_can_be_compared_with_what_was_said_before():
    (one, _), (same, _) = read(), read()
    (other, _) = read({**PHOTOS, "variants": {"thumbnail_small": {"width": 5}}})
    buckets = [config.buckets["media"] for config in (one, same, other)]
    assert len({*buckets}) == 2
