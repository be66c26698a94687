"""What is to be made of an image, within which limits, and why one is not transformed: plain values, no decoder."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

PIPELINE: Final = 2  # counts up whenever the same spec gives other pixels than before: what is stored is stale then

Fit = Literal["scale-down", "cover", "pad", "stretch"]
Format = Literal["keep", "jpeg", "png", "webp", "avif"]
Effort = Literal["fast", "balanced", "small"]
Metadata = Literal["none", "copyright", "keep"]
Color = Literal["srgb", "keep"]

KINDS: Final = ("jpeg", "png", "webp", "gif", "avif")  # what is decoded at all, by the bytes they begin with
CONTENT_TYPES: Final[Mapping[str, str]] = MappingProxyType({kind: f"image/{kind}" for kind in KINDS})
QUALITY: Final[Mapping[str, int]] = MappingProxyType({"jpeg": 80, "webp": 80, "avif": 60})
EXTRACTS: Final = ("taken_at", "camera", "gps")  # width, height and format are told of every image


class Point(NamedTuple):
    """A place in a picture, as shares of its width and height: (0, 0) is at the top left."""

    x: float
    y: float


CENTER: Final = Point(0.5, 0.5)
POSITIONS: Final[Mapping[str, Point]] = MappingProxyType(
    {
        "center": CENTER,
        "top": Point(0.5, 0.0),
        "bottom": Point(0.5, 1.0),
        "left": Point(0.0, 0.5),
        "right": Point(1.0, 0.5),
        "top-left": Point(0.0, 0.0),
        "top-right": Point(1.0, 0.0),
        "bottom-left": Point(0.0, 1.0),
        "bottom-right": Point(1.0, 1.0),
    }
)


class Watermark(NamedTuple):
    """A picture that is laid over another."""

    image: str  # its name among the watermarks of an `Order`: the key of an object
    position: Point = POSITIONS["bottom-right"]
    opacity: float = 0.5
    scale: float = 0.2  # its width, as a share of the width of what it lies on
    margin: int = 16  # pixels to the edges


class Variant(NamedTuple):
    """One picture to make; without a width and a height it is encoded anew in its size."""

    name: str
    width: int | None = None  # pixels; if only one of the two is given, the other one follows
    height: int | None = None
    fit: Fit = "scale-down"
    position: Point = CENTER  # which part `cover` keeps, and where `pad` puts the picture
    enlarge: bool = False
    format: Format = "keep"  # a GIF is kept as PNG
    quality: int | None = None  # 1 to 100; None is QUALITY of the format
    progressive: bool = False
    effort: Effort = "balanced"
    autorotate: bool = True
    metadata: Metadata = "none"
    color: Color = "srgb"
    background: str = "#ffffff"  # behind `pad`, and behind what is transparent in a JPEG
    watermark: Watermark | None = None
    cache_control: str | None = None  # None is that of the source


def fingerprint(variant: Variant) -> str:
    """Return what tells a variant that was made to this spec from one that was made to another."""
    spec = {**variant._asdict(), "watermark": variant.watermark and variant.watermark._asdict(), "pipeline": PIPELINE}
    del spec["name"]  # the key tells it
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]


def format_of(variant: Variant, kind: str) -> str:
    """Return the format that a variant of an image of this kind has."""
    if variant.format != "keep":
        return variant.format
    return "png" if kind == "gif" else kind


class Size(NamedTuple):
    """Of a picture, in pixels."""

    width: int
    height: int


class Limits(NamedTuple):
    """What a source may have at most; the first three hold before a byte of it is decoded."""

    max_bytes: int = 25_000_000
    max_pixels: int = 50_000_000
    max_side: int = 16384  # pixels
    max_frames: int = 1000  # of an animation; the first one is what variants are made of


def memory_for(limits: Limits) -> int:
    """Return the bytes that a worker needs for the largest image: two copies at four bytes a pixel, and itself."""
    return 8 * limits.max_pixels + 200_000_000


class Reason(StrEnum):
    """Why there is no picture: a closed set, the values of a metric's label."""

    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED = "unsupported"  # an image, but of a kind that is never decoded: SVG, HEIC, TIFF …
    NOT_ACCEPTED = "not_accepted"  # a kind that the rule does not accept
    WRONG_TYPE = "wrong_type"  # the Content-Type says something else than the bytes
    TOO_MANY_BYTES = "too_many_bytes"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_LONG_SIDE = "too_long_side"
    TOO_MANY_FRAMES = "too_many_frames"
    TOO_MANY_SCANS = "too_many_scans"  # of a progressive JPEG: each one costs as much as the whole picture
    BROKEN = "broken"  # cut off, a checksum that does not hold, no pixels
    TIMEOUT = "timeout"
    KILLED = "killed"  # the worker died of it
    OUT_OF_MEMORY = "out_of_memory"
    OUT_OF_SPACE = "out_of_space"  # no room for what is made, or it is larger than any variant may be
    NOT_READ = "not_read"  # the file with its bytes is not there any more, or cannot be read
    NO_WATERMARK = "no_watermark"  # of a variant: its watermark is missing, or no picture
    NOT_ENCODED = "not_encoded"  # of a variant: its format cannot hold it, such as 20 000 pixels in WebP; or no room


class Unfit(Exception):  # noqa: N818  not an error of ours: what an image is
    """This is not to be transformed, and trying again would not help, unless `passing` says so."""

    def __init__(self, reason: Reason, kind: str = "") -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.kind = kind  # what the bytes are, if they were recognised

    @property
    def passing(self) -> bool:
        """Whether it says more about this machine at this moment than about the image."""
        return self.reason in {Reason.TIMEOUT, Reason.KILLED, Reason.OUT_OF_SPACE, Reason.NOT_READ}


class Order(NamedTuple):
    """What a worker is asked for: `async with workers.derive(order) as made`."""

    source: Path
    variants: Sequence[Variant]
    limits: Limits = Limits()
    accept: Collection[str] = KINDS
    declared: str = ""  # the Content-Type that the source came with; generic ones promise nothing
    watermarks: Mapping[str, Path] = MappingProxyType({})  # by Watermark.image
    extract: Collection[str] = ()  # of EXTRACTS; what is not named is not looked for


class Made(NamedTuple):
    """What came of an order; the files are there while the context of `derive` is open."""

    kind: str  # of KINDS: what the source is, whatever it was called
    width: int  # pixels, as the source is to be seen: its orientation is reckoned with
    height: int
    exif: Mapping[str, str]  # what was to be extracted and is there: ASCII, fit for a header
    sha256: str  # of the source's bytes, in hex
    files: Mapping[str, Path]  # by name of variant, of those that could be made
    content_types: Mapping[str, str]
    failures: Mapping[str, Reason]  # of the other ones


def _platform(name: str, width: int, height: int) -> Variant:
    return Variant(f"platform_{name}", width, height, fit="cover", quality=85)


_PRESETS: Final = (
    Variant("thumbnail_small", 150, 150, fit="cover"),
    Variant("thumbnail_medium", 300),
    Variant("thumbnail_large", 600),
    Variant("compressed", 1920, quality=82, progressive=True),
    Variant("webp", 1920, format="webp"),
    Variant("avif", 1600, format="avif"),
    _platform("facebook", 1200, 630),
    _platform("facebook_story", 1080, 1920),
    _platform("instagram", 1080, 1350),
    _platform("instagram_square", 1080, 1080),
    _platform("instagram_landscape", 1080, 566),
    _platform("instagram_story", 1080, 1920),
    _platform("twitter", 1200, 675),
    _platform("x", 1200, 675),
    _platform("pinterest", 1000, 1500),
    _platform("linkedin", 1200, 627),
    _platform("youtube", 1280, 720),
    _platform("tiktok", 1080, 1920),
    _platform("whatsapp", 1200, 630),
    _platform("og", 1200, 630),
)
PRESETS: Final[Mapping[str, Variant]] = MappingProxyType({preset.name: preset for preset in _PRESETS})
