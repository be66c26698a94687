"""One image into many: decoded once, no larger than needed, and every variant made of that.

The order is what it costs by: colours and orientation come after the first scaling, where there are fewer pixels.
"""

import errno
import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from PIL import Image

from gateway.images import color, decoders, exif, sniff
from gateway.images.encode import Extras, save
from gateway.images.geometry import Plan, plan
from gateway.images.spec import CONTENT_TYPES, KINDS, Made, Order, Reason, Size, Unfit, Variant, format_of
from gateway.images.watermark import Marks, MissingMarkError

_LANCZOS: Final = Image.Resampling.LANCZOS
_GAP: Final = 3.0  # what shrinks by more than this is averaged first, as far as nobody can see it
_AGAIN: Final = 2.0  # a picture may be made of one that was scaled before and is larger by this, for the same reason
_TURNS: Final[Mapping[int, Image.Transpose]] = MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
)
_LYING: Final = frozenset({5, 6, 7, 8})  # orientations in which width and height change places
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class _Source(NamedTuple):
    """What is known of an image before its pixels are looked at."""

    kind: str
    lying: Size  # as it is in the file
    tags: Image.Exif

    def size(self, *, upright: bool) -> Size:
        width, height = self.lying
        return Size(height, width) if upright and exif.orientation_of(self.tags) in _LYING else self.lying


class _Manner(NamedTuple):
    """In what the pictures that variants are cut of may differ."""

    color: str
    upright: bool


def derive(order: Order, folder: Path) -> Made:
    """Make what is ordered, as files in the folder named 0, 1, 2 … Raises: Unfit, MemoryError."""
    data = _read(order)
    kind = accepted(data, order)
    image = decoders.opened(data, kind, order.limits)
    if kind != "jpeg":
        decoders.load(image, kind)  # before its tags are read: exif.read says why
    source = _Source(kind, Size(*image.size), exif.read(image))
    plans = {variant: plan(variant, *source.size(upright=variant.autorotate)) for variant in order.variants}
    paths = {variant: folder / str(number) for number, variant in enumerate(plans)}
    stock = _Stock(image, source, plans)
    del image  # only the stock says how long its pixels are needed
    marks = Marks(order.watermarks, order.limits)
    files: dict[str, Path] = {}
    failures: dict[str, Reason] = {}
    for variant, how in sorted(plans.items(), key=lambda planned: -planned[1].scale):
        failure = _make(paths[variant], variant, how, stock, marks)
        if failure:
            failures[variant.name] = failure
        else:
            files[variant.name] = paths[variant]
    return Made(
        kind,
        *source.size(upright=True),
        exif=exif.extracted(source.tags, order.extract),
        sha256=hashlib.sha256(data).hexdigest(),
        files=files,
        content_types={
            variant.name: CONTENT_TYPES[format_of(variant, kind)] for variant in plans if variant.name in files
        },
        failures=failures,
    )


def accepted(data: bytes, order: Order) -> str:
    """Return the kind of an image that is to be decoded. Raises: Unfit."""
    kind = sniff.kind_of(data[: sniff.HEAD])
    if kind not in KINDS:
        raise Unfit(Reason.UNSUPPORTED if kind else Reason.NOT_AN_IMAGE, kind)
    sniff.check_type(kind, order.declared)
    if kind not in order.accept:
        raise Unfit(Reason.NOT_ACCEPTED, kind)
    size = sniff.size_of(kind, data)
    if size is not None:
        decoders.check(size, kind, order.limits)
    if kind == "jpeg" and sniff.scans_of(data) > sniff.MOST_SCANS:
        raise Unfit(Reason.TOO_MANY_SCANS, kind)
    return kind


def _read(order: Order) -> bytes:
    if order.source.stat().st_size > order.limits.max_bytes:
        raise Unfit(Reason.TOO_MANY_BYTES)
    return order.source.read_bytes()


class _Stock:
    """What variants are cut of: the picture, no larger than the largest of them needs, in each manner asked for."""

    def __init__(self, image: Image.Image, source: _Source, plans: Mapping[Variant, Plan]) -> None:
        scale = min(1.0, max((how.scale for how in plans.values()), default=0.0))
        size = Size(*(max(1, round(side * scale)) for side in source.lying))
        self.source = source
        self._profile = image.info.get("icc_profile")
        self._manners = {_manner(variant) for variant in plans}
        self._ready: dict[_Manner, tuple[Image.Image, bytes | None]] = {}
        self._scaled: dict[_Manner, Image.Image] = {}  # the last one that was made of the whole picture
        if source.kind == "jpeg":
            image.draft(None, size)  # the decoder itself makes it smaller, by 2, 4 or 8
            decoders.load(image, source.kind)
        picture = color.plain(image)
        if picture is not image:
            image.close()  # gives its pixels back
        self._picture: Image.Image | None = _scaled(picture, size)

    def take(self, variant: Variant) -> tuple[Image.Image, bytes | None]:
        """Return what a variant is cut of, not to be changed, and the colour profile that is to go with it."""
        manner = _manner(variant)
        if manner not in self._ready:
            picture = self._picture
            if picture is None:
                raise MemoryError  # it did not suffice for this manner before
            if self._manners <= {manner, *self._ready}:
                self._picture = None
            self._ready[manner] = self._prepared(picture, manner)
        return self._ready[manner]

    def nearest(self, variant: Variant, how: Plan) -> Image.Image:
        """Return the smallest picture that is at hand and large enough to cut a variant of it."""
        base, _ = self.take(variant)
        scaled = self._scaled.get(_manner(variant))
        enough = _AGAIN * how.scale * self.source.size(upright=variant.autorotate).width
        return scaled if scaled is not None and scaled.width >= enough else base

    def keep(self, variant: Variant, picture: Image.Image) -> None:
        """Take a picture that was scaled, and is neither cut nor distorted, for the next ones."""
        self._scaled[_manner(variant)] = picture

    def _prepared(self, picture: Image.Image, manner: _Manner) -> tuple[Image.Image, bytes | None]:
        profile = self._profile
        if manner.color == "keep":
            picture, profile = color.kept(picture, profile)
        else:
            picture, profile = color.to_srgb(picture, profile), None
        turn = _TURNS.get(exif.orientation_of(self.source.tags)) if manner.upright else None
        return (picture.transpose(turn) if turn is not None else picture), profile


def _manner(variant: Variant) -> _Manner:
    return _Manner(variant.color, variant.autorotate)


def _scaled(picture: Image.Image, size: Size) -> Image.Image:
    return picture if picture.size == size else picture.resize(size, _LANCZOS, reducing_gap=_GAP)


def _make(path: Path, variant: Variant, how: Plan, stock: _Stock, marks: Marks) -> Reason | None:
    """Make one variant. One that cannot be made is no reason to go without the others."""
    source = stock.source
    try:
        _, profile = stock.take(variant)
        whole = source.size(upright=variant.autorotate)
        picture = _cut(stock.nearest(variant, how), how, whole)
        if how.part == (0.0, 0.0, *map(float, whole)) and variant.fit != "stretch":
            stock.keep(variant, picture)
        if how.canvas != picture.size:
            picture = _laid(picture, how, variant.background)
        if variant.watermark:
            picture = marks.lay(picture, variant.watermark)
        tags = exif.kept(source.tags, variant.metadata, upright=variant.autorotate)
        save(picture, path, variant, format_of(variant, source.kind), Extras(tags, profile))
    except MissingMarkError:
        return Reason.NO_WATERMARK
    except MemoryError:
        return Reason.OUT_OF_MEMORY
    except OSError as error:
        return Reason.OUT_OF_SPACE if error.errno in FULL else Reason.NOT_ENCODED
    except decoders.FAILURES:
        return Reason.NOT_ENCODED
    return None


def _cut(picture: Image.Image, how: Plan, whole: Size) -> Image.Image:
    """Take the part, which is told in pixels of the whole, of a picture that may be smaller than that."""
    left, top, right, bottom = how.part
    across, down = picture.width / whole.width, picture.height / whole.height
    part = (left * across, top * down, min(right * across, picture.width), min(bottom * down, picture.height))
    if how.size == picture.size and (right - left, bottom - top) == tuple(whole):
        return picture
    return picture.resize(how.size, _LANCZOS, part, _GAP)


def _laid(picture: Image.Image, how: Plan, background: str) -> Image.Image:
    mode = picture.mode if picture.mode == "RGBA" else "RGB"
    canvas = Image.new(mode, how.canvas, background)
    canvas.paste(picture, how.offset)
    return canvas
