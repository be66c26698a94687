"""A picture over a picture."""

from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from gateway.images import color, decoders, sniff
from gateway.images.geometry import placed
from gateway.images.spec import KINDS, Limits, Unfit, Watermark


class MissingMarkError(Exception):
    """The picture that is to be laid over others is not there, or is none."""


class Marks:
    """The watermarks of an order, each one decoded once."""

    def __init__(self, paths: Mapping[str, Path], limits: Limits) -> None:
        self._paths = paths
        self._limits = limits
        self._opened: dict[str, Image.Image] = {}

    def lay(self, picture: Image.Image, watermark: Watermark) -> Image.Image:
        """Return a picture with a watermark on it, in RGB or RGBA. Raises: MissingMarkError."""
        mark = self._sized(watermark, picture.size)
        result = picture.convert("RGBA") if picture.mode == "RGBA" else picture.convert("RGB")
        where = placed(mark.size, result.size, watermark.position, watermark.margin)
        if result.mode == "RGBA":
            result.alpha_composite(mark, where)
        else:
            result.paste(mark, where, mark)
        return result

    def _sized(self, watermark: Watermark, canvas: tuple[int, int]) -> Image.Image:
        """Scale it to its share of the width, or less where it would be higher than the picture."""
        mark = self._open(watermark.image)
        scale = min(watermark.scale * canvas[0] / mark.width, canvas[1] / mark.height)
        size = (max(1, round(mark.width * scale)), max(1, round(mark.height * scale)))
        sized = mark.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
        sized.putalpha(sized.getchannel("A").point(lambda alpha: alpha * watermark.opacity))
        return sized

    def _open(self, name: str) -> Image.Image:
        if name not in self._opened:
            try:
                self._opened[name] = _decoded(self._paths[name].read_bytes(), self._limits)
            except (Unfit, LookupError, OSError) as error:
                raise MissingMarkError from error
        return self._opened[name]


def _decoded(data: bytes, limits: Limits) -> Image.Image:
    kind = sniff.kind_of(data[: sniff.HEAD])
    if kind not in KINDS:
        raise LookupError(kind)
    image = decoders.opened(data, kind, limits)
    decoders.load(image, kind)
    return color.to_srgb(color.plain(image), image.info.get("icc_profile")).convert("RGBA")
