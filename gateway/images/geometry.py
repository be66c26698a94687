"""Which part of a picture goes where, at which size: the fit modes as arithmetic."""

from typing import NamedTuple

from gateway.images.spec import Point, Variant

Box = tuple[float, float, float, float]  # left, top, right, bottom


class Plan(NamedTuple):
    """How a variant is made of a picture: a part of it, scaled, laid on a canvas."""

    part: Box  # of the source, in its pixels
    size: tuple[int, int]  # what the part is scaled to
    canvas: tuple[int, int]  # the variant
    offset: tuple[int, int]  # of the part on the canvas

    @property
    def scale(self) -> float:
        """How large the source has to be decoded for it: 0.5 is half its width and height."""
        left, top, right, bottom = self.part
        return max(self.size[0] / (right - left), self.size[1] / (bottom - top))


def plan(variant: Variant, width: int, height: int) -> Plan:
    """Say how a variant is made of a picture of this size, as it is to be seen."""
    whole = (0.0, 0.0, float(width), float(height))
    if variant.width is None or variant.height is None:
        size = _inside(variant, width, height)
        return Plan(whole, size, size, (0, 0))
    wanted = (variant.width, variant.height)
    if variant.fit == "cover":
        return _cover(variant, wanted, width, height)
    if variant.fit == "stretch":
        size = wanted if variant.enlarge else (min(wanted[0], width), min(wanted[1], height))
        return Plan(whole, size, size, (0, 0))
    size = _inside(variant, width, height)
    if variant.fit == "pad":
        return Plan(whole, size, wanted, placed(size, wanted, variant.position))
    return Plan(whole, size, size, (0, 0))


def placed(inner: tuple[int, int], outer: tuple[int, int], position: Point, margin: int = 0) -> tuple[int, int]:
    """Return where the inner lies in the outer, its left top corner; what is larger is centred."""
    room = [outer[axis] - inner[axis] for axis in (0, 1)]
    margins = [min(margin, max(room[axis], 0) // 2) for axis in (0, 1)]
    x, y = (margins[axis] + round((room[axis] - 2 * margins[axis]) * position[axis]) for axis in (0, 1))
    return x, y


def _inside(variant: Variant, width: int, height: int) -> tuple[int, int]:
    """Return the largest size of the same shape that fits."""
    scales = [
        wanted / there for wanted, there in ((variant.width, width), (variant.height, height)) if wanted is not None
    ]
    scale = min(scales, default=1.0)
    return _scaled(width, height, scale if variant.enlarge else min(scale, 1.0))


def _cover(variant: Variant, wanted: tuple[int, int], width: int, height: int) -> Plan:
    """Cut the largest part of the wanted shape; where that is smaller than wanted, it stays so unless enlarged."""
    scale = max(wanted[0] / width, wanted[1] / height)
    part = min(wanted[0] / scale, width), min(wanted[1] / scale, height)
    size = wanted if variant.enlarge or scale <= 1 else _scaled(*part, 1.0)
    left, top = (width - part[0]) * variant.position.x, (height - part[1]) * variant.position.y
    return Plan((left, top, left + part[0], top + part[1]), size, size, (0, 0))


def _scaled(width: float, height: float, scale: float) -> tuple[int, int]:
    return max(1, round(width * scale)), max(1, round(height * scale))
