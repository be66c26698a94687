"""From the many ways to write a colour to three: grey, RGB, and RGB with alpha, in sRGB unless it is to be kept."""

import io
from typing import Final

from PIL import Image, ImageCms

from gateway.images.decoders import FAILURES

_DEEP: Final = frozenset({"I;16", "I;16B", "I;16L", "I;16N", "I"})  # 16 bits of grey; cut off, it would all be white
_SPACES: Final = {"RGB": "RGB", "RGBA": "RGB", "L": "GRAY", "CMYK": "CMYK"}  # that a profile of an image can be of
_SRGB: Final = ImageCms.createProfile("sRGB")


def plain(image: Image.Image) -> Image.Image:
    """Return an image that can be scaled: grey, RGB, CMYK, or RGB premultiplied by alpha, so that no fringe shows."""
    if image.mode in _DEEP:
        return image.point(lambda value: value * (1 / 257) + 0.5).convert("L")
    if image.has_transparency_data:
        return (image if image.mode == "RGBA" else image.convert("RGBA")).convert("RGBa")
    if image.mode in {"L", "RGB", "CMYK"}:
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return it in grey, RGB or RGBA, with the colours that it has by its profile; a broken one is ignored."""
    if image.mode == "RGBa":
        image = image.convert("RGBA")
    try:
        source = _profile(profile, image.mode)
        if source is not None:
            return _converted(image, source)
    except (ImageCms.PyCMSError, *FAILURES):
        pass
    return image.convert("RGB") if image.mode == "CMYK" else image


def kept(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bytes | None]:
    """Return it as it is, and the profile that it has to carry; CMYK, which most formats have not, becomes sRGB."""
    if image.mode == "CMYK":
        return to_srgb(image, profile), None
    image = image.convert("RGBA") if image.mode == "RGBa" else image
    try:
        return image, profile if _profile(profile, image.mode) is not None else None
    except (ImageCms.PyCMSError, *FAILURES):
        return image, None


def _profile(data: bytes | None, mode: str) -> ImageCms.ImageCmsProfile | None:
    """Return the profile, if it is one of such images and says anything that sRGB does not."""
    if not data:
        return None
    profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
    described = str(profile.profile.profile_description or "")
    if profile.profile.xcolor_space.strip() != _SPACES[mode] or described.startswith("sRGB"):
        return None
    return profile


def _converted(image: Image.Image, source: ImageCms.ImageCmsProfile) -> Image.Image:
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    pixels = image.convert("RGB") if alpha else image
    converted = ImageCms.profileToProfile(pixels, source, _SRGB, outputMode="RGB")
    if converted is None:
        raise ValueError("nothing was converted")
    if alpha:
        converted.putalpha(alpha)
    return converted
