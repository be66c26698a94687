"""What strangers send: each of it ends in a picture that is right or in a reason, and costs no more than a good one."""

import io
import struct
import time
import zlib

import pytest
from PIL import Image, PngImagePlugin

from gateway.images.pool import Workers
from gateway.images.spec import Limits, Order, Reason, Unfit, Variant
from tests.images import makers
from tests.images.makers import BLUE, RED, corners, difference

SCRIPT = b"<script>alert(document.cookie)</script>"
SVG = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"


def text_bomb(kind):
    """100 MB of text in 100 kB."""
    text = zlib.compress(bytes(100_000_000), 9)
    body = {b"zTXt": b"comment\0\0" + text, b"iTXt": b"comment\0\1\0\0\0" + text, b"iCCP": b"profile\0\0" + text}[kind]
    return makers.raw_png(8, 8, makers.chunk(kind, body), pixels=bytes(8 * 25))


def bad_checksum():
    data = bytearray(makers.png())
    data[data.index(b"IDAT") + 20] ^= 0xFF
    return bytes(data)


def foreign(kind, **options):
    return makers.encoded(corners(), kind, **options)


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
DEEP = Limits(max_pixels=50_000_000, max_side=100_000)

EVIL = {  # what it is: the bytes, and why it is refused
    "a PNG of 900 MP": (lambda: makers.raw_png(30_000, 30_000), Reason.TOO_MANY_PIXELS),
    "a PNG of 2^62 pixels": (lambda: makers.raw_png(2**31 - 1, 2**31 - 1), Reason.TOO_MANY_PIXELS),
    "a JPEG of 4 GP": (lambda: makers.jpeg_of(65_500, 65_500), Reason.TOO_MANY_PIXELS),
    "a GIF of 4 GP": (lambda: makers.gif_of(65_535, 65_535), Reason.TOO_MANY_PIXELS),
    "a WebP of 268 MP in 38 bytes": (lambda: makers.webp_of(16_384, 16_384), Reason.TOO_MANY_PIXELS),
    "an AVIF of 64 MP": (lambda: makers.avif_of(8_000, 8_000), Reason.TOO_MANY_PIXELS),
    "an AVIF of 900 MP, which its decoder does not even open": (lambda: makers.avif_of(30_000, 30_000), Reason.BROKEN),
    "a true PNG of 60 MP": (lambda: makers.black_png(10_000, 6_000, 1), Reason.TOO_MANY_PIXELS),
    "a long side": (lambda: makers.encoded(Image.new("L", (20_000, 2)), "png"), Reason.TOO_LONG_SIDE),
    "a PNG without width": (lambda: makers.raw_png(0, 10), Reason.BROKEN),
    "a JPEG without height": (lambda: makers.jpeg_of(10, 0), Reason.BROKEN),
    "400 scans": (lambda: makers.many_scans(400), Reason.TOO_MANY_SCANS),
    "65 scans": (lambda: makers.many_scans(65), Reason.TOO_MANY_SCANS),
    **{
        f"a {kind} cut off": (lambda kind=kind: cut(makers.noisy(kind)), Reason.BROKEN)
        for kind in ("jpeg", "png", "webp", "gif", "avif")
    },
    **{
        f"a {kind} of which only the head is there": (lambda kind=kind: makers.SIMPLE[kind]()[:40], Reason.BROKEN)
        for kind in ("jpeg", "png", "webp", "gif", "avif")
    },
    "a progressive JPEG cut off": (lambda: cut(makers.noisy("jpeg", progressive=True)), Reason.BROKEN),
    "a PNG cut off behind its tags": (lambda: cut(makers.noisy("png", exif=makers.camera_exif())), Reason.BROKEN),
    "a WebP cut off with tags": (lambda: cut(makers.noisy("webp", exif=makers.camera_exif())), Reason.BROKEN),
    "a PNG with a wrong checksum": (bad_checksum, Reason.BROKEN),
    "a PNG without pixels": (lambda: makers.raw_png(10, 10), Reason.BROKEN),
    "a text of 100 MB": (lambda: text_bomb(b"zTXt"), Reason.BROKEN),
    "another text of 100 MB": (lambda: text_bomb(b"iTXt"), Reason.BROKEN),
    "a profile of 100 MB": (lambda: text_bomb(b"iCCP"), Reason.BROKEN),
    "nothing": (lambda: b"", Reason.NOT_AN_IMAGE),
    "zeros": (lambda: bytes(100_000), Reason.NOT_AN_IMAGE),
    "words": (lambda: b"hello world", Reason.NOT_AN_IMAGE),
    "a page": (lambda: b"<!DOCTYPE html><html>" + SCRIPT, Reason.NOT_AN_IMAGE),
    "a PDF": (lambda: b"%PDF-1.7\n" + makers.jpeg(), Reason.NOT_AN_IMAGE),
    "a program": (lambda: b"\x7fELF" + bytes(100), Reason.NOT_AN_IMAGE),
    "an SVG": (lambda: SVG, Reason.UNSUPPORTED),
    "a HEIC": (lambda: HEIC, Reason.UNSUPPORTED),
    "a TIFF": (lambda: foreign("tiff"), Reason.UNSUPPORTED),
    "a BMP": (lambda: foreign("bmp"), Reason.UNSUPPORTED),
    "an icon": (lambda: foreign("ico"), Reason.UNSUPPORTED),
    "a JPEG 2000": (lambda: foreign("jpeg2000"), Reason.UNSUPPORTED),
    "an EPS": (lambda: foreign("eps"), Reason.UNSUPPORTED),
    "a PSD": (lambda: b"8BPS\0\1" + bytes(100), Reason.UNSUPPORTED),
    "an animation without an end": (lambda: makers.frames(300, "gif"), Reason.TOO_MANY_FRAMES),
    "a WebP of too many frames": (lambda: makers.frames(300, "webp"), Reason.TOO_MANY_FRAMES),
    "a PNG of too many frames": (lambda: makers.frames(300, "png"), Reason.TOO_MANY_FRAMES),
}
LIMITS = Limits(max_frames=200)


def cut(data):
    return data[: len(data) // 2]


def huge_exif():
    return makers.png(exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0" + bytes(8_000_000))


def lying_exif():
    """Tags that point behind the end, at each other, and at themselves."""
    entry = struct.pack(">HHII", 0x8769, 4, 1, 8)
    wild = struct.pack(">HHII", 0x010F, 2, 0xFFFFFFFF, 0xFFFFFFF0)
    return b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 3) + entry + wild + entry + b"\0\0\0\x08"


SCREEN = Image.new("RGB", (120, 80), (10, 200, 30))

ODD = {  # what is strange and yet a picture: the bytes, and what has to be seen
    "CMYK": (makers.cmyk, corners()),
    "CMYK with a broken profile": (lambda: makers.cmyk(icc_profile=b"no profile"), corners()),
    "a palette": (lambda: makers.encoded(corners().quantize(4), "png"), corners()),
    "a palette, with a hole": (
        lambda: makers.encoded(corners().quantize(5), "png", transparency=bytes([255] * 5)),
        corners(),
    ),
    "black and white": (
        lambda: makers.encoded(Image.new("1", (120, 80), 1), "png"),
        Image.new("RGB", (120, 80), "white"),
    ),
    "a colour that is none": (
        lambda: makers.encoded(Image.new("RGB", (120, 80), RED), "png", transparency=(1, 2, 3)),
        Image.new("RGB", (120, 80), RED),
    ),
    "an animated GIF": (lambda: makers.frames(20, "gif", 120, 80), Image.new("RGB", (120, 80), RED)),
    "an animated WebP": (lambda: makers.frames(20, "webp", 120, 80), Image.new("RGB", (120, 80), RED)),
    "an animated AVIF": (lambda: makers.frames(5, "avif", 120, 80), Image.new("RGB", (120, 80), RED)),
    "an APNG": (lambda: makers.frames(20, "png", 120, 80), Image.new("RGB", (120, 80), RED)),
    "an APNG whose picture is none of its frames": (
        lambda: makers.encoded(
            SCREEN, "png", save_all=True, default_image=True, append_images=[corners(), corners().rotate(180)]
        ),
        SCREEN,
    ),
    "tags that are none": (lambda: makers.jpeg(exif=b"Exif\0\0" + b"\xff" * 500), corners()),
    "tags that lie": (lambda: makers.jpeg(exif=lying_exif()), corners()),
    "8 MB of tags": (huge_exif, corners()),
    "an orientation of 99": (lambda: makers.jpeg(exif=makers.exif_of(99)), corners()),
    "a broken profile": (lambda: makers.jpeg(icc_profile=makers.display_p3()[:200]), corners()),
    "a profile that is none": (lambda: makers.png(icc_profile=b"\0" * 1000), corners()),
    "a profile of other colours": (
        lambda: makers.encoded(corners().convert("L"), "png", icc_profile=makers.display_p3()),
        corners().convert("L"),
    ),
    "sRGB, and says so": (lambda: makers.jpeg(icc_profile=makers.srgb()), corners()),
    "a film behind the picture": (lambda: makers.jpeg() + b"\xff\xda\0\x08" * 5000, corners()),
    "an archive behind the picture": (lambda: makers.png() + b"PK\x03\x04" + bytes(1000), corners()),
    "restarts": (lambda: makers.jpeg(restart_marker_blocks=1), corners()),
    "two pictures of a phone": (
        lambda: makers.encoded(corners(), "mpo", save_all=True, append_images=[corners().rotate(180)], quality=95),
        corners(),
    ),
    **{
        f"a {kind} of orientation {number}": (lambda number=number, kind=kind: makers.lying(number, kind), corners())
        for number in makers.TURNED
        for kind in ("jpeg", "png", "webp", "avif")
    },
}


@pytest.mark.parametrize("name", EVIL)
def test_what_is_refused_and_why(refused, name):
    data, reason = EVIL[name]
    assert refused(data(), limits=LIMITS) is reason


@pytest.mark.parametrize("name", ODD)
def test_what_is_a_picture_after_all(make, name):
    data, expected = ODD[name]
    made = make(data(), Variant("v", format="png"), Variant("small", 60, format="jpeg"))
    assert made.failures == {}
    assert difference(Image.open(made.files["v"]), expected) <= 30
    small = expected.resize(Image.open(made.files["small"]).size)
    assert difference(Image.open(made.files["small"]), small) <= 40


def test_what_is_too_large_by_little_is_refused(make, refused):
    data = makers.png(100, 50)
    make(data, limits=Limits(max_pixels=5000, max_side=100, max_bytes=len(data)))
    assert refused(data, limits=Limits(max_pixels=4999)) is Reason.TOO_MANY_PIXELS
    assert refused(data, limits=Limits(max_side=99)) is Reason.TOO_LONG_SIDE
    assert refused(data, limits=Limits(max_bytes=len(data) - 1)) is Reason.TOO_MANY_BYTES
    make(makers.frames(20, "gif"), limits=Limits(max_frames=20))
    assert refused(makers.frames(20, "gif"), limits=Limits(max_frames=19)) is Reason.TOO_MANY_FRAMES
    assert refused(makers.avif(100, 50), limits=Limits(max_pixels=4999)) is Reason.TOO_MANY_PIXELS


def test_400_scans_would_cost_seconds():
    """The test of them is of use only if a decoder would go through them all."""
    few, many = makers.many_scans(0), makers.many_scans(400)
    assert seconds(many) > 10 * seconds(few)


def seconds(data):
    began = time.process_time()
    Image.open(io.BytesIO(data)).load()
    return time.process_time() - began


def test_a_type_that_the_bytes_are_not_is_refused(make, refused):
    assert refused(makers.png(), declared="image/jpeg") is Reason.WRONG_TYPE
    assert refused(makers.jpeg(), declared="image/svg+xml") is Reason.WRONG_TYPE
    assert refused(makers.jpeg(), declared="text/html") is Reason.WRONG_TYPE
    assert make(makers.jpeg(), declared="binary/octet-stream").kind == "jpeg"


def test_a_kind_that_is_not_accepted_is_refused(make, refused):
    assert refused(makers.gif(), accept=["jpeg", "png"]) is Reason.NOT_ACCEPTED
    assert make(makers.png(), accept=["jpeg", "png"]).kind == "png"


@pytest.mark.parametrize(
    "data",
    [
        makers.jpeg(comment=SCRIPT),
        makers.jpeg() + SCRIPT,
        makers.with_segment(makers.jpeg(), 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + SCRIPT),
        makers.with_segment(makers.jpeg(), 0xED, b"Photoshop 3.0\0" + SCRIPT),
        makers.jpeg(exif=makers.exif_of(1, x010E=SCRIPT.decode())),
        makers.gif(comment=SCRIPT),
        makers.gif() + SCRIPT,
        makers.webp(xmp=SCRIPT),
        makers.png() + SCRIPT,
        makers.encoded(corners(), "avif", xmp=SCRIPT),
    ],
)
@pytest.mark.parametrize("fmt", ["jpeg", "png", "webp", "avif"])
def test_a_script_within_a_picture_is_in_no_variant(make, data, fmt):
    assert SCRIPT in data
    made = make(data, Variant("v", format=fmt), Variant("w", 60, format=fmt, metadata="copyright", color="keep"))
    assert made.failures == {}
    for path in made.files.values():
        assert b"script" not in path.read_bytes()


def test_texts_of_a_png_are_in_no_variant(make):
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", SCRIPT.decode())
    made = make(makers.png(pnginfo=info), Variant("v"), Variant("w", metadata="keep", color="keep"))
    for path in made.files.values():
        assert b"script" not in path.read_bytes()


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "avif"])
def test_colours_of_a_phone_become_those_of_the_web(make, kind):
    red_in_p3 = Image.new("RGB", (64, 64), (234, 51, 35))
    data = makers.encoded(red_in_p3, kind, icc_profile=makers.display_p3(), quality=95)
    made = make(data, Variant("v", format="png"), Variant("k", format="png", color="keep"))
    assert "icc_profile" not in Image.open(made.files["v"]).info
    red, green, blue = Image.open(made.files["v"]).convert("RGB").getpixel((30, 30))
    assert red > 248
    assert max(green, blue) < 40
    kept = Image.open(made.files["k"])
    assert kept.info["icc_profile"] == makers.display_p3()
    assert all(abs(one - other) < 6 for one, other in zip(kept.getpixel((30, 30)), (234, 51, 35), strict=True))


def test_colours_of_what_is_transparent_are_converted_too(make):
    image = Image.new("RGBA", (64, 64), (234, 51, 35, 128))
    made = make(makers.encoded(image, "png", icc_profile=makers.display_p3()), Variant("v", 32))
    red, green, blue, alpha = Image.open(made.files["v"]).getpixel((16, 16))
    assert red > 248
    assert max(green, blue) < 40
    assert abs(alpha - 128) <= 1


def test_16_bits_of_grey_are_not_all_white(make):
    made = make(makers.deep_grey(), Variant("v"))
    row = [Image.open(made.files["v"]).convert("L").getpixel((x, 8)) for x in (0, 64, 128, 192, 255)]
    assert row == pytest.approx([0, 64, 128, 192, 255], abs=1)


def test_holes_of_a_palette_stay_holes(make):
    image = Image.new("P", (100, 100), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(1, (50, 0, 100, 100))
    made = make(makers.encoded(image, "png", transparency=0), Variant("v", 50), Variant("j", 50, format="jpeg"))
    small = Image.open(made.files["v"])
    assert small.mode == "RGBA"
    assert small.getpixel((10, 25))[3] == 0
    assert small.getpixel((40, 25)) == (*BLUE, 255)
    assert min(Image.open(made.files["j"]).getpixel((10, 25))) > 250


def test_turning_comes_after_cutting_and_marks_come_after_turning(make):
    made = make(makers.lying(6, "jpeg"), Variant("v", 60, 20, "cover"), Variant("raw", 60, autorotate=False))
    assert (made.width, made.height) == (120, 80)
    assert difference(Image.open(made.files["v"]), corners(60, 20)) < 40
    assert Image.open(made.files["raw"]).size == (53, 80) or Image.open(made.files["raw"]).size == (60, 90)


async def test_none_of_it_is_the_end_of_a_worker(tmp_path):
    """One process goes through all of it, one after the other, and is still right in the end."""
    good = tmp_path / "good"
    good.write_bytes(makers.jpeg())
    source = tmp_path / "evil"
    found = {}
    async with Workers(1, timeout=60) as workers:
        (worker,) = workers._workers
        async with workers.derive(Order(good, [Variant("v", 60)])):
            process = worker._process
        for name, (data, _) in {**EVIL, **ODD}.items():
            source.write_bytes(data())
            try:
                async with workers.derive(Order(source, [Variant("v", 60, format="png")], LIMITS)) as made:
                    found[name] = made.failures or None
            except Unfit as unfit:
                found[name] = unfit.reason
        async with workers.derive(Order(good, [Variant("v", 60)])) as made:
            assert difference(Image.open(made.files["v"]), corners(60, 40)) < 25
        assert worker._process is process
        assert process.returncode is None
    assert found == {**{name: reason for name, (_, reason) in EVIL.items()}, **dict.fromkeys(ODD)}
