"""Pillow, set up for the files of strangers."""

import io
import struct
import warnings
import zlib
from typing import Final

from PIL import AvifImagePlugin, GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from gateway.images.spec import Limits, Reason, Size, Unfit

# Loaded here and by name, so that Pillow never goes looking for a decoder among the many that it has.
PLUGINS: Final = (AvifImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin)

# What decoders raise of bytes that are not as they should be, as far as it was seen; it is written down nowhere.
FAILURES: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def set_up() -> None:
    """Refuse what is larger than it may be; nobody reads the other things that decoders murmur."""
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)  # else what is refused is twice what was set


def opened(data: bytes, kind: str, limits: Limits) -> Image.Image:
    """Return an image whose header was read, by the decoder of this kind and no other. Raises: Unfit."""
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    try:
        image = Image.open(io.BytesIO(data), formats=(kind.upper(),))
        check(Size(*image.size), kind, limits)
        frames = 1 if kind == "jpeg" else getattr(image, "n_frames", 1)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise Unfit(Reason.TOO_MANY_PIXELS, kind) from error
    except FAILURES as error:
        raise Unfit(Reason.BROKEN, kind) from error
    if frames > limits.max_frames:
        raise Unfit(Reason.TOO_MANY_FRAMES, kind)
    return image


def check(size: Size, kind: str, limits: Limits) -> None:
    """Raise Unfit if a picture is larger than it may be."""
    if min(size) < 1:
        raise Unfit(Reason.BROKEN, kind)
    if size.width * size.height > limits.max_pixels:
        raise Unfit(Reason.TOO_MANY_PIXELS, kind)
    if max(size) > limits.max_side:
        raise Unfit(Reason.TOO_LONG_SIDE, kind)


def load(image: Image.Image, kind: str) -> None:
    """Decode. Raises: Unfit, MemoryError."""
    try:
        image.load()
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise Unfit(Reason.TOO_MANY_PIXELS, kind) from error
    except FAILURES as error:
        raise Unfit(Reason.BROKEN, kind) from error
