"""What can be configured of images; names and presets are resolved, and rules checked, when the file is read."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, PlainSerializer, Tag

from gateway.config.read import Place
from gateway.config.section import Section
from gateway.config.units import Bytes, Pixels, Seconds, Secret, Workers
from gateway.images.rules import Key, Match, Planned, Rule, doubled, overlaps
from gateway.images.spec import POSITIONS, PRESETS, Limits, Point, Variant, Watermark, memory_for

LARGEST_SIDE: Final = 16384
_ALIASES: Final = {"inside": "scale-down", "crop": "cover"}
_BANNED: Final = {
    "fill": "fill means three things in three tools: say cover (crop), stretch (distort) or pad (add a background)",
    "contain": "contain means two things in two tools: say scale-down (never enlarged), or pad (add a background)",
}
_NAME: Final = r"^[a-z0-9][a-z0-9_-]{0,63}$"
Name = Annotated[str, Field(pattern=_NAME)]


def _fit(value: object) -> object:
    """Read how a picture fits in. Raises: ValueError, with the word that was meant."""
    if isinstance(value, str) and value in _BANNED:
        raise ValueError(_BANNED[value])
    return _ALIASES.get(value, value) if isinstance(value, str) else value


def _position(value: object) -> object:
    """Read a place in a picture. Raises: ValueError."""
    if isinstance(value, str) and value in POSITIONS:
        return POSITIONS[value]
    if isinstance(value, Point):
        return value
    shares: list[Any] = (
        [value.get(name) for name in ("x", "y")] if isinstance(value, dict) and {*value} == {"x", "y"} else []
    )
    if shares and all(isinstance(share, (int, float)) and 0 <= share <= 1 for share in shares):
        return Point(*map(float, shares))
    raise ValueError(f"expected {', '.join(POSITIONS)}, or {{x: 0.5, y: 0.5}}, from 0 to 1")


Position = Annotated[Point, BeforeValidator(_position), PlainSerializer(lambda point: {"x": point.x, "y": point.y})]
Fit = Annotated[Literal["scale-down", "cover", "pad", "stretch"], BeforeValidator(_fit)]
Color = Annotated[str, Field(pattern="^#[0-9A-Fa-f]{6}$")]
Side = Annotated[int, Field(ge=1, le=LARGEST_SIDE)]


class Logo(Section):
    """What is laid over a picture."""

    image: str = Field(min_length=1, max_length=1024)
    position: Position = POSITIONS["bottom-right"]
    opacity: float = Field(0.5, gt=0, le=1)
    scale: float = Field(0.2, gt=0, le=1)
    margin: int = Field(16, ge=0, le=LARGEST_SIDE)


class Preset(Section):
    """What a picture is to be; what is not said is as in the preset it goes by, or as `Variant` has it."""

    width: Side | None = None
    height: Side | None = None
    fit: Fit | None = None
    position: Position | None = None
    enlarge: bool | None = None
    format: Literal["keep", "jpeg", "png", "webp", "avif"] | None = None
    quality: int | None = Field(None, ge=1, le=100)
    progressive: bool | None = None
    effort: Literal["fast", "balanced", "small"] | None = None
    autorotate: bool | None = None
    metadata: Literal["none", "copyright", "keep"] | None = None
    color: Literal["srgb", "keep"] | None = None
    background: Color | None = None
    watermark: Logo | None = None
    cache_control: str | None = Field(None, min_length=1, max_length=256, pattern=r"^[ -~]+$")

    def laid_over(self, variant: Variant) -> Variant:
        """Return a variant in which holds what is said here."""
        said: dict[str, Any] = {name: getattr(self, name) for name in Preset.model_fields}
        if self.watermark:
            said["watermark"] = Watermark(**{name: getattr(self.watermark, name) for name in Logo.model_fields})
        return variant._replace(**{name: value for name, value in said.items() if value is not None})


class Wanted(Preset):
    """A picture of a rule."""

    preset: str | None = None
    key: str | None = None


class ImageQueue(Section):
    """How much may wait."""

    max_jobs: int = Field(1000, ge=1)


def _https(value: str) -> str:
    """Return a URL to which a secret may go. Raises: ValueError."""
    try:
        url = urlsplit(value)
        is_whole = bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        is_whole = False
    if not is_whole or url.scheme != "https" or url.username is not None or url.fragment:
        raise ValueError("expected https://host/path, without a user or a fragment")
    return value


class Webhook(Section):
    """Who is told of what became of images."""

    url: Annotated[str, AfterValidator(_https), Field(max_length=2000)]
    secret: Secret = Field(min_length=16)
    timeout: Seconds = Field(5.0, gt=0, le=60)
    ca: Path | None = None


class Images(Section):
    """What pictures are made with, for all buckets."""

    workers: Workers = "auto"
    nice: int = Field(10, ge=0, le=19)
    timeout: Seconds = Field(10.0, gt=0)
    memory: Bytes = Field(640_000_000, ge=1)
    queue: ImageQueue = ImageQueue()
    presets: Mapping[Name, Preset] = {}
    webhook: Webhook | None = None


class ImageLimits(Section):
    """What an image may have at most."""

    max_bytes: Bytes = Field(25_000_000, ge=1)
    max_pixels: Pixels = Field(50_000_000, ge=1)
    max_side: Side = LARGEST_SIDE
    max_frames: int = Field(1000, ge=1)


def _some(value: object) -> object:
    """Refuse what is empty; a least length would be missed beside each error in an item, too. Raises: ValueError."""
    if value in ([], {}, ()):
        raise ValueError("must not be empty")
    return value


def _kind(value: object) -> str:
    return "by_name" if isinstance(value, Mapping) else "list"


Variants = Annotated[
    Annotated[tuple[str, ...], Tag("list")] | Annotated[Mapping[Name, Wanted], Tag("by_name")],
    Discriminator(_kind),
    BeforeValidator(_some),
]


class ImageRule(Section):
    """What is made of the images whose keys match."""

    match: str
    key: str
    mode: Literal["sync", "async"] | None = None
    variants: Variants
    extract: tuple[Literal["width", "height", "format", "taken_at", "camera", "gps"], ...] = ()

    def __hash__(self) -> int:
        return hash((self.match, self.key))


class BucketImages(Section):
    """What is made of the images in a bucket."""

    mode: Literal["sync", "async"] = "async"
    on_invalid: Literal["store", "reject"] = "store"
    on_error: Literal["keep", "fail"] = "keep"
    limits: ImageLimits = ImageLimits()
    accept: tuple[Literal["jpeg", "png", "webp", "gif", "avif"], ...] = ("jpeg", "png", "webp", "gif", "avif")
    rules: Annotated[tuple[ImageRule, ...], BeforeValidator(_some)]

    @property
    def keeps_clients(self) -> bool:
        """Whether clients wait for what is made, or for their images to be looked at."""
        return self.on_invalid == "reject" or any((rule.mode or self.mode) == "sync" for rule in self.rules)

    @property
    def makes_later(self) -> bool:
        """Whether variants are made for which no client waits."""
        return any((rule.mode or self.mode) == "async" for rule in self.rules)


def limits_of(said: BucketImages) -> Limits:
    """Return the limits of a bucket's images."""
    return Limits(**said.limits.model_dump())


def rules_of(images: Images, said: BucketImages) -> Sequence[Rule]:
    """Return the rules of a bucket; of one that was read from a file they are whole."""
    return [_Reader(images, said, index, rule).rule() for index, rule in enumerate(said.rules)]


def broken_images(images: Images, said: BucketImages) -> Iterator[tuple[Place, str]]:
    """Yield what does not fit together in what is said of a bucket's images, each with its place there."""
    rules: list[Rule] = []
    for index, rule in enumerate(said.rules):
        reader = _Reader(images, said, index, rule)
        rules.append(reader.rule())
        yield from reader.problems
        for one, other in doubled(rules[-1]):
            yield ("rules", index, "key"), f"{one} and {other} would have the same keys: use {{variant}}"
    for overlap in overlaps(rules):
        place = ("rules", overlap.rule, "key")
        which = "this rule" if overlap.of == overlap.rule else f"rules[{overlap.of}]"
        match = said.rules[overlap.of].match
        yield place, f'keys of {overlap.variant} may match "{match}" of {which}: variants would be made of variants'
    if images.memory < (needed := memory_for(limits_of(said))):
        yield ("limits", "max_pixels"), f"needs images.memory of {needed / 1e6:.0f}MB at least, 8 bytes for each pixel"


class _Reader:
    """Makes a rule of what is said, and tells what is wrong with it."""

    def __init__(self, images: Images, said: BucketImages, index: int, rule: ImageRule) -> None:
        self._images, self._said, self._rule = images, said, rule
        self._place: Place = ("rules", index)
        self.problems: list[tuple[Place, str]] = []

    def rule(self) -> Rule:
        """Return the rule, without what is wrong in it."""
        mode = self._rule.mode or self._said.mode
        try:
            match = Match(self._rule.match)
        except ValueError as error:
            self._tell(("match",), str(error))
            match = Match("-")
            return Rule(match, ())
        planned = [self._planned(match, name, wanted) for name, wanted in self._wanted()]
        return Rule(match, [each for each in planned if each], mode == "sync", self._rule.extract)

    def _wanted(self) -> Iterator[tuple[str, Wanted]]:
        variants = self._rule.variants
        if isinstance(variants, Mapping):
            yield from variants.items()
        else:
            yield from ((name, Wanted(preset=name)) for name in variants)

    def _planned(self, match: Match, name: str, wanted: Wanted) -> Planned | None:
        place: Place = ("variants", name) if isinstance(self._rule.variants, Mapping) else ("variants",)
        variant = self._variant(place, name, wanted)
        if variant is None:
            return None
        at: Place = (*place, "key") if wanted.key else ("key",)
        try:
            key = Key(wanted.key or self._rule.key, match)
        except ValueError as error:
            self._tell(at, str(error))
            return None
        if variant.format != "keep" and "ext" not in key.names:
            self._tell(at, f"{name} is made {variant.format}: use {{ext}}, or its name would tell another format")
        if variant.fit != "scale-down" and not (variant.width and variant.height):
            self._tell((*place, "fit"), f"{name}: {variant.fit} needs a width and a height")
        return Planned(variant, key)

    def _variant(self, place: Place, name: str, wanted: Wanted) -> Variant | None:
        base = Variant(name)
        if wanted.preset is not None:
            own = self._images.presets
            if wanted.preset not in own and wanted.preset not in PRESETS:
                known = ", ".join(sorted({*PRESETS, *own}))
                self._tell(place, f"there is no preset {wanted.preset}, there are: {known}")
                return None
            base = PRESETS.get(wanted.preset, base)
            base = own[wanted.preset].laid_over(base) if wanted.preset in own else base
        return wanted.laid_over(base)._replace(name=name)

    def _tell(self, place: Place, text: str) -> None:
        self.problems.append(((*self._place, *place), text))
