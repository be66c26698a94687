"""Pictures into files: nothing of the source is in them but what is handed in."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from PIL import Image

from gateway.images.spec import QUALITY, Effort, Variant

# Measured: each step to the right takes about twice as long, for 3 to 15 % less. Of WebP, 6 takes twice as long as 4,
# too, but for 4 %: where that counts AVIF is the better one.
_WEBP: Final[Mapping[Effort, int]] = MappingProxyType({"fast": 0, "balanced": 2, "small": 4})
_AVIF: Final[Mapping[Effort, int]] = MappingProxyType({"fast": 10, "balanced": 8, "small": 6})
_PNG: Final[Mapping[Effort, int]] = MappingProxyType({"fast": 1, "balanced": 3, "small": 6})


class Extras(NamedTuple):
    """What a file carries beside its pixels."""

    exif: bytes | None
    profile: bytes | None


def save(picture: Image.Image, path: Path, variant: Variant, fmt: str, extras: Extras) -> None:
    """Write a file. Raises: OSError, ValueError, MemoryError."""
    if fmt == "jpeg" and picture.mode == "RGBA":
        picture = flattened(picture, variant.background)
    picture.info = {}  # Pillow would copy comments and more from it, and a script may be in them
    options = {name: value for name, value in extras._asdict().items() if value is not None}
    if "profile" in options:
        options["icc_profile"] = options.pop("profile")
    # To a path, not to memory: Pillow writes a JPEG to a file without holding the interpreter.
    picture.save(path, fmt.upper(), **options, **_options(variant, fmt))


def flattened(picture: Image.Image, background: str) -> Image.Image:
    """Return it as it looks before a colour."""
    canvas = Image.new("RGB", picture.size, background)
    canvas.paste(picture, mask=picture.getchannel("A"))
    return canvas


def _options(variant: Variant, fmt: str) -> dict[str, Any]:
    quality = QUALITY.get(fmt) if variant.quality is None else variant.quality
    if fmt == "jpeg":
        return {"quality": quality, "progressive": variant.progressive, "optimize": variant.effort != "fast"}
    if fmt == "webp":
        return {"quality": quality, "method": _WEBP[variant.effort]}
    if fmt == "avif":
        return {"quality": quality, "speed": _AVIF[variant.effort], "max_threads": 1}
    return {"compress_level": _PNG[variant.effort]}
