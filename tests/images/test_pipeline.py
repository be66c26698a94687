import io
from pathlib import Path

import pytest
from PIL import Image

from gateway.images.spec import PRESETS, Limits, Point, Reason, Variant, Watermark
from tests.images import makers
from tests.images.makers import BLUE, GREEN, RED, YELLOW, corners, difference

LAKE = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "lake.jpg"
EFFORTS = ("fast", "balanced", "small")
CAMERA = {"exif": makers.camera_exif()}


def shown(made, name="v"):
    return Image.open(made.files[name])


def near(pixel, color, most=12):
    return all(abs(one - other) <= most for one, other in zip(pixel[:3], color, strict=True))


def at(picture, x, y):
    """The colour at a place, told as shares of width and height."""
    return picture.convert("RGB").getpixel((int(x * picture.width), int(y * picture.height)))


@pytest.mark.parametrize("kind", sorted(makers.SIMPLE))
@pytest.mark.parametrize("fmt", ["keep", "jpeg", "png", "webp", "avif"])
def test_every_kind_becomes_every_format(make, kind, fmt):
    made = make(makers.SIMPLE[kind](), Variant("v", 60, format=fmt))
    expected = {"keep": "png" if kind == "gif" else kind}.get(fmt, fmt)
    picture = shown(made)
    assert (made.kind, made.width, made.height, made.failures) == (kind, 120, 80, {})
    assert picture.format == expected.upper()
    assert made.content_types == {"v": f"image/{expected}"}
    assert difference(picture, corners(60, 40)) < 25


def test_all_presets_of_one_picture(make):
    made = make(makers.jpeg(2400, 1800), *PRESETS.values())
    assert made.failures == {}
    assert set(made.files) == set(PRESETS)
    sizes = {name: shown(made, name).size for name in PRESETS}
    assert sizes["thumbnail_small"] == (150, 150)
    assert sizes["thumbnail_medium"] == (300, 225)
    assert sizes["compressed"] == sizes["webp"] == (1920, 1440)
    assert sizes["platform_facebook"] == (1200, 630)
    assert sizes["platform_instagram"] == (1080, 1350)
    assert "progression" in shown(made, "compressed").info
    assert "progression" not in shown(made, "thumbnail_large").info


@pytest.mark.parametrize("size", [(100, 100), (800, 90), (90, 800), (2000, 1500), (37, 51)])
def test_the_shortcuts_lead_where_the_long_way_does(make, size):
    source = makers.jpeg(1603, 1201)
    made = make(source, Variant("v", *size, fit="cover", format="png"), Variant("w", 50), Variant("x", 1100))
    variant = shown(made)
    scale = min(1.0, 1603 / size[0], 1201 / size[1])
    box = (round(size[0] * scale), round(size[1] * scale))
    assert variant.size == pytest.approx(box, abs=1)
    whole = Image.open(io.BytesIO(source))
    by_width = variant.width / variant.height > 1603 / 1201
    part = (1603, 1603 * variant.height / variant.width) if by_width else (1201 * variant.width / variant.height, 1201)
    left, top = (1603 - part[0]) / 2, (1201 - part[1]) / 2
    expected = whole.resize(variant.size, Image.Resampling.LANCZOS, (left, top, left + part[0], top + part[1]))
    assert difference(variant, expected) < 6


def test_cover_keeps_the_part_that_is_asked_for(make):
    source = makers.png(400, 100)
    for position, colors in {(0.0, 0.5): (RED, RED), (1.0, 0.5): (GREEN, GREEN), (0.5, 0.5): (RED, GREEN)}.items():
        picture = shown(make(source, Variant("v", 50, 50, "cover", Point(*position))))
        assert picture.size == (50, 50)
        assert near(at(picture, 0.1, 0.1), colors[0])
        assert near(at(picture, 0.9, 0.1), colors[1])


def test_pad_puts_the_picture_before_its_background(make):
    made = make(makers.png(100, 50), Variant("v", 100, 100, "pad", Point(0.5, 0.0), background="#123456"))
    picture = shown(made)
    assert picture.size == (100, 100)
    assert near(at(picture, 0.1, 0.1), RED)
    assert near(at(picture, 0.5, 0.9), (0x12, 0x34, 0x56), 1)


def test_grey_before_a_colour_is_a_picture_in_colours(make):
    made = make(makers.encoded(Image.new("L", (50, 50), 77), "png"), Variant("v", 100, 50, "pad", background="#ff0000"))
    assert near(at(shown(made), 0.02, 0.5), RED, 1)
    assert near(at(shown(made), 0.5, 0.5), (77, 77, 77), 1)


def test_stretch_distorts(make):
    picture = shown(make(makers.png(100, 50), Variant("v", 40, 48, "stretch")))
    assert picture.size == (40, 48)
    assert difference(picture, corners(40, 48)) < 25


def test_grey_stays_grey(make):
    made = make(makers.encoded(Image.linear_gradient("L"), "jpeg"), Variant("v", 64))
    assert shown(made).mode == "L"


def test_what_is_transparent_stays_so_where_a_format_can(make):
    image = Image.new("RGBA", (100, 100), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 50, 100))
    made = make(
        makers.encoded(image, "png"),
        Variant("p", 50),
        Variant("w", 50, format="webp"),
        Variant("a", 50, format="avif"),
        Variant("j", 50, format="jpeg", background="#00ff00"),
    )
    for name in "pwa":
        picture = shown(made, name)
        assert picture.mode == "RGBA"
        assert picture.getpixel((40, 25))[3] < 5
        assert picture.getpixel((10, 25))[3] > 250
    assert near(at(shown(made, "j"), 0.9, 0.5), GREEN)
    assert near(at(shown(made, "j"), 0.1, 0.5), BLUE)


def test_the_colour_of_transparent_pixels_does_not_show_at_edges(make):
    image = Image.new("RGBA", (100, 100), (0, 255, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 50, 100))
    picture = shown(make(makers.encoded(image, "png"), Variant("v", 33)))
    assert all(green == 0 for _, green, _, alpha in picture.get_flattened_data() if alpha > 40)


def test_quality_and_effort_say_how_large_files_become(make):
    source = makers.noisy("png", 300, 300)
    made = make(
        source,
        *(Variant(f"{fmt}{quality}", format=fmt, quality=quality) for fmt in ("jpeg", "webp") for quality in (30, 90)),
        *(Variant(f"avif{quality}", 100, format="avif", quality=quality) for quality in (30, 90)),
        *(Variant(effort, format="jpeg", effort=effort) for effort in EFFORTS),
    )
    size = {name: path.stat().st_size for name, path in made.files.items()}
    for fmt in ("jpeg", "webp", "avif"):
        assert size[f"{fmt}30"] < size[f"{fmt}90"]
    assert size["small"] <= size["balanced"] < size["fast"]


@pytest.mark.parametrize("fmt", ["webp", "png"])
def test_effort_makes_files_of_a_landscape_smaller(make, fmt):
    made = make(LAKE.read_bytes(), *(Variant(effort, 480, format=fmt, effort=effort) for effort in EFFORTS))
    fast, balanced, small = (made.files[effort].stat().st_size for effort in EFFORTS)
    assert small < balanced < fast


def test_a_picture_is_not_enlarged_unless_asked(make):
    made = make(makers.png(50, 50), Variant("v", 100), Variant("w", 100, enlarge=True))
    assert shown(made).size == (50, 50)
    assert shown(made, "w").size == (100, 100)


def test_nothing_of_the_camera_is_in_a_variant(make):
    for kind in ("jpeg", "png", "webp", "avif"):
        made = make(makers.SIMPLE[kind](**CAMERA), Variant("v", 60))
        assert b"Nikon" not in made.files["v"].read_bytes()
        assert not shown(made).getexif()


@pytest.mark.parametrize("fmt", ["jpeg", "png", "webp", "avif"])
def test_copyright_is_kept_where_asked_and_never_the_place(make, fmt):
    made = make(makers.jpeg(**CAMERA), Variant("v", 60, format=fmt, metadata="copyright"))
    exif = shown(made).getexif()
    assert (exif[0x013B], exif[0x8298]) == ("Ada", "(c) Ada 2026")
    assert not exif.get_ifd(0x8825)
    assert b"Nikon" not in made.files["v"].read_bytes()


def test_everything_is_kept_where_asked_but_how_the_source_lay(make):
    exif = makers.camera_exif()
    exif[0x0112] = 6
    data = makers.encoded(corners(80, 120).transpose(Image.Transpose.ROTATE_90), "jpeg", exif=exif, quality=95)
    made = make(
        data,
        Variant("v", metadata="keep", format="webp"),
        Variant("w", metadata="keep", autorotate=False),
        Variant("x"),
    )
    kept = shown(made).getexif()
    assert kept[0x010F] == "Nikon"
    assert kept.get_ifd(0x8825)[1] == "N"
    assert kept.get_ifd(0x8769)[0x9003] == "2026:05:17 13:05:09"
    assert kept.get(0x0112, 1) == 1
    assert shown(made, "w").getexif()[0x0112] == 6
    assert (shown(made).size, shown(made, "w").size, shown(made, "x").size) == ((80, 120), (120, 80), (80, 120))


def test_extracts_are_what_is_named(make):
    data = makers.jpeg(**CAMERA)
    assert make(data).exif == {}
    assert make(data, extract=["taken_at", "camera"]).exif == {
        "taken_at": "2026-05-17T13:05:09+02:00",
        "camera": "Nikon Z 6",
    }
    assert make(data, extract=["gps"]).exif == {"gps": "52.52000,-13.41000"}
    assert make(makers.jpeg(), extract=["gps", "camera", "taken_at"]).exif == {}


def test_extracts_are_fit_for_a_header(make):
    exif = makers.exif_of(x010F="Ev\r\nil: ö\0", x0110="x" * 1000)
    exif.get_ifd(0x8769)[0x9003] = "0000:00:00 00:00:00"
    exif.get_ifd(0x8825).update({1: "N", 2: (1e9, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)})
    found = make(makers.jpeg(exif=exif), extract=["gps", "camera", "taken_at"]).exif
    assert set(found) == {"camera"}
    assert found["camera"].isascii()
    assert found["camera"].isprintable()
    assert len(found["camera"]) <= 201


def test_one_source_is_known_again(make):
    assert make(makers.png()).sha256 == make(makers.png(), Variant("other", 7)).sha256 != make(makers.jpeg()).sha256


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_watermarks(make, tmp_path, mode):
    logo = tmp_path / "logo.png"
    logo.write_bytes(makers.encoded(Image.new("RGBA", (50, 25), (255, 255, 255, 255)), "png"))
    black = Image.new("RGBA", (400, 400), (0, 0, 0, 255)).convert(mode)
    mark = Watermark("logo", opacity=0.5, scale=0.25, margin=10)
    made = make(
        makers.encoded(black, "png"),
        Variant("v", 200, watermark=mark),
        Variant("w", 200, watermark=mark._replace(position=Point(0.0, 0.0), opacity=1.0)),
        Variant("x", 200),
        watermarks={"logo": logo},
    )
    assert made.failures == {}
    picture = shown(made).convert("RGB")
    assert near(picture.getpixel((165, 177)), (127, 127, 127), 2)  # 50 by 25 pixels, 10 before the corner
    for outside in ((138, 177), (192, 177), (165, 163), (165, 192)):
        assert picture.getpixel(outside) == (0, 0, 0)
    assert shown(made, "w").convert("RGB").getpixel((12, 12)) == (255, 255, 255)
    assert shown(made, "x").convert("RGB").getextrema() == ((0, 0),) * 3


def test_a_watermark_higher_than_the_picture_shrinks(make, tmp_path):
    logo = tmp_path / "logo.png"
    logo.write_bytes(makers.encoded(Image.new("RGB", (10, 1000), "white"), "png"))
    mark = Watermark("logo", scale=1.0)
    made = make(makers.png(100, 50), Variant("v", watermark=mark), watermarks={"logo": logo})
    assert made.failures == {}


@pytest.mark.parametrize("content", [None, b"no picture", makers.webp_of(16384, 16384)])
def test_a_missing_watermark_fails_its_variant_and_no_other(make, tmp_path, content):
    logo = tmp_path / "logo.png"
    if content:
        logo.write_bytes(content)
    made = make(
        makers.png(), Variant("v", 50, watermark=Watermark("logo")), Variant("w", 50), watermarks={"logo": logo}
    )
    assert made.failures == {"v": Reason.NO_WATERMARK}
    assert set(made.files) == {"w"}


def test_what_a_format_cannot_hold_fails_its_variant_and_no_other(make):
    made = make(
        makers.encoded(Image.new("L", (20_000, 10)), "png"),
        Variant("w", format="webp"),
        Variant("v", 100, format="webp"),
        Variant("x"),
        limits=Limits(max_side=20_000),
    )
    assert made.failures == {"w": Reason.NOT_ENCODED}
    assert set(made.files) == {"v", "x"}


def test_without_variants_an_image_is_only_looked_at(make):
    made = make(makers.jpeg(), variants=[])
    assert (made.kind, made.width, made.height, made.files) == ("jpeg", 120, 80, {})


def test_the_whole_picture_anew(make):
    made = make(makers.jpeg(), Variant("v"), Variant("w", format="png", color="keep"))
    for name in "vw":
        assert shown(made, name).size == (120, 80)
        assert difference(shown(made, name), corners()) < 12
    assert near(at(shown(made), 0.9, 0.9), YELLOW)
