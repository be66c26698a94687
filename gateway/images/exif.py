"""What cameras write beside a picture: read with suspicion, and kept only as far as it is asked for."""

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from PIL import Image

from gateway.images.decoders import FAILURES
from gateway.images.spec import Metadata

ORIENTATION: Final = 0x0112
MOST: Final = 65_000  # bytes; a JPEG has no room for more

_MAKE, _MODEL, _TIME, _ARTIST, _COPYRIGHT = 0x010F, 0x0110, 0x0132, 0x013B, 0x8298
_CAMERA, _GPS = 0x8769, 0x8825  # folders within
_TAKEN, _OFFSET, _WIDTH, _HEIGHT = 0x9003, 0x9011, 0xA002, 0xA003
_LATITUDE, _LONGITUDE = 2, 4
_LONGEST: Final = 100  # characters of an extracted value
_CONTROLS: Final = re.compile(r"[^ -~]+")
_ZONE: Final = re.compile(r"[+-]\d\d:\d\d")


def read(image: Image.Image) -> Image.Exif:
    """Return what is there, nothing if it is broken.

    Only a JPEG may be asked before it is loaded: the others may load for it, and hide that they are cut off.
    """
    try:
        exif = image.getexif()
        for folder in (_CAMERA, _GPS):
            exif.get_ifd(folder)
        dict(exif)
    except FAILURES:
        return Image.Exif()
    return exif


def orientation_of(exif: Image.Exif) -> int:
    """Return 1 to 8; what is none of them is 1, as it lies."""
    value = exif.get(ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1  # noqa: PLR2004  that many ways to lie


def extracted(exif: Image.Exif, names: Collection[str]) -> dict[str, str]:
    """Return what is named and there, in printable ASCII: it is a stranger's, and ends up in headers and logs."""
    found: dict[str, str] = {}
    for name, read_one in (("taken_at", _taken_at), ("camera", _camera), ("gps", _gps)):
        if name in names:
            try:
                value = read_one(exif)
            except FAILURES:
                continue
            if value:
                found[name] = value
    return found


def kept(exif: Image.Exif, metadata: Metadata, *, upright: bool) -> bytes | None:
    """Return what a variant is to carry, as bytes; None if that is nothing, or more than a file has room for."""
    if metadata == "none":
        return None
    chosen = exif if metadata == "keep" else _only(exif, (_ARTIST, _COPYRIGHT))
    try:
        if metadata == "keep":
            chosen = _adapted(exif, upright=upright)
        data = chosen.tobytes() if len(chosen) else b""
    except FAILURES:
        return None
    return data if 0 < len(data) <= MOST else None


def _only(exif: Image.Exif, tags: Collection[int]) -> Image.Exif:
    chosen = Image.Exif()
    for tag in tags:
        if isinstance(exif.get(tag), str):
            chosen[tag] = exif[tag]
    return chosen


def _adapted(exif: Image.Exif, *, upright: bool) -> Image.Exif:
    """Leave out what would not be true of the variant: how it lies, its size, and the thumbnail of the source."""
    chosen = Image.Exif()
    for tag, value in exif.items():
        if tag != ORIENTATION or not upright:
            chosen[tag] = value
    for folder in (_CAMERA, _GPS):
        inner = {tag: value for tag, value in exif.get_ifd(folder).items() if tag not in {_WIDTH, _HEIGHT}}
        if inner:
            chosen[folder] = inner
    return chosen


def _taken_at(exif: Image.Exif) -> str:
    camera = exif.get_ifd(_CAMERA)
    taken = datetime.strptime(  # noqa: DTZ007  most cameras do not know their zone
        _text(camera.get(_TAKEN) or exif.get(_TIME)), "%Y:%m:%d %H:%M:%S"
    )
    zone = _text(camera.get(_OFFSET))
    return taken.isoformat() + (zone if _ZONE.fullmatch(zone) else "")


def _camera(exif: Image.Exif) -> str:
    make, model = _text(exif.get(_MAKE)), _text(exif.get(_MODEL))
    return model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()


def _gps(exif: Image.Exif) -> str:
    """Return latitude and longitude in degrees, five digits after the point: a metre."""
    return ",".join(f"{degrees:.5f}" for degrees in _degrees(exif.get_ifd(_GPS)))


def _degrees(folder: Mapping[int, Any]) -> Iterator[float]:
    for tag, most in ((_LATITUDE, 90), (_LONGITUDE, 180)):
        degrees, minutes, seconds = (float(part) for part in folder[tag])
        value = degrees + minutes / 60 + seconds / 3600
        if not 0 <= value <= most:
            raise ValueError("nowhere on earth")
        yield -value if _text(folder.get(tag - 1)) in {"S", "W"} else value


def _text(value: object) -> str:
    return _CONTROLS.sub(" ", value).strip()[:_LONGEST] if isinstance(value, str) else ""
