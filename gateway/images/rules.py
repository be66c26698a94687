"""Which keys are images, and under which keys stands what is made of them: the templates `match` and `key`."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import pairwise
from types import MappingProxyType
from typing import Final, NamedTuple

from gateway.images.spec import Variant
from gateway.storage import PRIVATE

LONGEST: Final = 512  # characters of a template
KEY_LIMIT: Final = 1024  # bytes: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
EXTENSIONS: Final[Mapping[str, str]] = MappingProxyType({"jpeg": "jpg", "png": "png", "webp": "webp", "avif": "avif"})

_PLACEHOLDER: Final = re.compile(r"\{([a-z][a-z0-9_]*)(\*|\.stem)?\}")
_STEM: Final = ".stem"
_OWN: Final = ("variant", "stem", "file", "ext", "dir")


class Wild(Enum):
    """What a placeholder may stand for, one character at least."""

    SEGMENT = "[^/]+"
    ANY = ".+"


Token = str | Wild  # one character, or a placeholder


class Piece(NamedTuple):
    """A placeholder, and the text behind it up to the next one."""

    name: str
    text: str


class Match:
    """A pattern of keys: `{name}` stands for one segment or a part of one, `{name*}` for one segment or more.

    Where a segment can be divided in several ways, what stands further left is as short as it can be.
    """

    def __init__(self, template: str) -> None:
        """Raise ValueError for what is no pattern."""
        self.template = template
        _check_text(template)
        names = [found[1] for found in _PLACEHOLDER.finditer(template)]
        same = {"file"} if template.endswith("/{file}") else set[str]()  # it is what it is called
        if taken := {*names} & {*_OWN} - same:
            raise ValueError(f"{{{min(taken)}}} is told of every image, give the placeholder another name")
        if doubled := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"{{{doubled[0]}}} is there more than once")
        if _STEM + "}" in template:
            raise ValueError("{….stem} is for `key`")
        segments = template.split("/")
        whole = [found[0] for segment in segments if (found := _PLACEHOLDER.fullmatch(segment)) and found[2]]
        if "".join(whole) != "".join(found[0] for found in _PLACEHOLDER.finditer(template) if found[2]):
            raise ValueError("a placeholder with * stands between slashes, without anything beside it")
        if len(whole) > 1:
            raise ValueError("there may be one placeholder with *")
        self.names: Mapping[str, Wild] = {
            found[1]: Wild.ANY if found[2] else Wild.SEGMENT for found in _PLACEHOLDER.finditer(template)
        }
        star = segments.index(whole[0]) if whole else None
        self._star = "" if star is None else segments[star].strip("{*}")
        self._before = [_pieces(segment) for segment in segments[:star]]
        self._after = [] if star is None else [_pieces(segment) for segment in segments[star + 1 :]]

    @property
    def prefix(self) -> str:
        """What all keys that match begin with."""
        return self.template.partition("{")[0]

    def captures(self, key: str) -> Mapping[str, str] | None:
        """Return what the placeholders stand for, or None for a key that does not match; a folder's never does."""
        if not key.startswith(self.prefix) or key.endswith("/"):
            return None
        segments, least = key.split("/"), len(self._before) + len(self._after) + bool(self._star)
        if len(segments) < least or (len(segments) > least and not self._star):
            return None
        stop = len(segments) - len(self._after)
        pairs = [*zip(self._before, segments, strict=False), *zip(self._after, segments[stop:], strict=True)]
        found: dict[str, str] = {}
        for (head, pieces), segment in pairs:
            taken = _taken(head, pieces, segment)
            if taken is None:
                return None
            found |= taken
        if self._star:
            found[self._star] = "/".join(segments[len(self._before) : stop])
            if not found[self._star]:
                return None
        return found

    def tokens(self) -> Sequence[Token]:
        """Return what the keys that match are made of."""
        return [token for token, _ in _tokens(self.template, lambda name: [self.names[name]])]

    def extension(self) -> str | None:
        """Return the extension that all keys that match have, None if they may have others."""
        tail = self.template.rpartition("/")[2].rpartition("}")[2]
        name, dot, extension = tail.rpartition(".")
        is_known = dot and extension.isalnum() and (name or "}" in self.template.rpartition("/")[2])
        return extension if is_known else None


class Key:
    """A template of the keys of what is made: what `match` has captured, and the rest is told of every image."""

    def __init__(self, template: str, match: Match) -> None:
        """Raise ValueError for what is no template."""
        self.template = template
        self._match = match
        _check_text(template)
        self.names = frozenset(found[1] for found in _PLACEHOLDER.finditer(template))
        known = {*match.names, *_OWN}
        for found in _PLACEHOLDER.finditer(template):
            if found[1] not in known or (found[1] in _OWN and found[2]):
                shown = ", ".join(f"{{{name}}}" for name in (*match.names, *_OWN))
                raise ValueError(f"{found[0]} is unknown, known are {shown}")
            if found[2] == "*":
                raise ValueError(f"{found[0]} is written {{{found[1]}}} here")

    def fill(self, source: str, variant: Variant) -> str | None:
        """Return the key of a variant of the image at `source`, None where it can have none; a folder is no key."""
        captured = self._match.captures(source)
        if captured is None:
            return None
        folder, _, file = source.rpartition("/")
        stem, extension = split(file)
        values = {
            **captured,
            **{name + _STEM: _without_extension(value) for name, value in captured.items()},
            "variant": variant.name,
            "stem": stem,
            "file": file,
            "ext": extension_of(variant, extension),
            "dir": folder,
        }
        template = self.template if values["ext"] else self.template.replace(".{ext}", "")
        template = template if folder else template.replace("{dir}/", "")
        key = _PLACEHOLDER.sub(lambda found: values[found[1] + (found[2] or "")], template)
        is_key = key and not key.endswith("/") and not key.startswith(PRIVATE)
        return key if is_key and len(key.encode()) <= KEY_LIMIT else None

    def languages(self, variant: Variant | None) -> Iterator[Sequence[Token]]:
        """Yield what the keys of a variant may be made of; without one, those of any that this may ever have had."""
        extension = self._match.extension()
        known: dict[str, Sequence[Token]] = {name: [Wild.SEGMENT] for name in _OWN}
        known["dir"] = [Wild.ANY]
        ends = variant is not None and (variant.format != "keep" or extension is not None)
        if variant:
            known["variant"] = [*variant.name]
            known["ext"] = [*extension_of(variant, extension or "")] if ends else [Wild.SEGMENT]
        templates = {self.template} if ends else {self.template, self.template.replace(".{ext}", "")}
        if "/" not in self._match.template:
            templates |= {template.replace("{dir}/", "").replace("{dir}", "") for template in templates}
        captured = {name: [wild] for name, wild in self._match.names.items()}
        for template in sorted(templates):
            yield [token for token, _ in _tokens(template, lambda name: known.get(name) or captured[name])]

    @property
    def prefix(self) -> str:
        """What all keys begin with."""
        return self.template.partition("{")[0]

    def may_be(self, key: str, variant: Variant | None = None) -> bool:
        """Say whether a key may be that of a variant of some image."""
        return key.startswith(self.prefix) and any(have_common([*key], each) for each in self.languages(variant))


class Planned(NamedTuple):
    """A variant, and where it goes."""

    variant: Variant
    key: Key


class Rule(NamedTuple):
    """What is made of the images that match."""

    match: Match
    variants: Sequence[Planned]
    is_sync: bool = False
    extract: Sequence[str] = ()


class Overlap(NamedTuple):
    """A variant that is an image of a rule itself, so that there would be no end of it."""

    rule: int
    variant: str
    of: int  # the other rule, or the same


def first(rules: Sequence[Rule], key: str) -> Rule | None:
    """Return the rule that holds for a key."""
    return next((rule for rule in rules if rule.match.captures(key) is not None), None)


def derived(rules: Sequence[Rule], rule: Rule, source: str) -> Mapping[str, Planned]:
    """Return what is to be made of an image, by its key; never what would be an image to make something of.

    Of two variants that have one key, which the configuration refuses where it can, the first is made.
    """
    found: dict[str, Planned] = {}
    for planned in rule.variants:
        key = planned.key.fill(source, planned.variant)
        if key is not None and key != source and first(rules, key) is None:
            found.setdefault(key, planned)
    return found


def overlaps(rules: Sequence[Rule]) -> Iterator[Overlap]:
    """Yield what would be made of what was made."""
    for index, rule in enumerate(rules):
        for planned in rule.variants:
            languages = list(planned.key.languages(planned.variant))
            for other, into in enumerate(rules):
                if any(have_common(language, into.match.tokens()) for language in languages):
                    yield Overlap(index, planned.variant.name, other)


def doubled(rule: Rule) -> Iterator[tuple[str, str]]:
    """Yield pairs of variants that have the same keys."""
    seen: dict[tuple[Token, ...], str] = {}
    for planned in rule.variants:
        for language in planned.key.languages(planned.variant):
            other = seen.setdefault(tuple(language), planned.variant.name)
            if other != planned.variant.name:
                yield other, planned.variant.name


def have_common(one: Sequence[Token], other: Sequence[Token]) -> bool:
    """Say whether any key is made of both: both are read at once, character by character."""
    todo = [(0, False, 0, False)]  # how far each one is, and whether its placeholder there has a character already
    seen = set(todo)
    while todo:
        i, in_one, j, in_other = todo.pop()
        if i == len(one) and j == len(other):
            return True
        steps = []
        if in_one:
            steps.append((i + 1, False, j, in_other))
        if in_other:
            steps.append((i, in_one, j + 1, False))
        if i < len(one) and j < len(other) and _may_be_one(one[i], other[j]):
            steps.append((*_passed(one, i), *_passed(other, j)))
        todo += [step for step in steps if step not in seen]
        seen.update(steps)
    return False


def split(file: str) -> tuple[str, str]:
    """Divide a file's name into what stands before the last dot and the extension behind it, "" if it has none."""
    stem, _, extension = file.rpartition(".")
    return (stem, extension) if stem and extension.isalnum() else (file, "")


def extension_of(variant: Variant, extension: str) -> str:
    """Return the extension of a variant of an image that has this one."""
    if variant.format != "keep":
        return EXTENSIONS[variant.format]
    return "png" if extension.lower() == "gif" else extension


def _without_extension(value: str) -> str:
    folder, slash, file = value.rpartition("/")
    return folder + slash + split(file)[0]


def _check_text(template: str) -> None:
    if not template or len(template) > LONGEST or not template.isprintable():
        raise ValueError(f"expected 1 to {LONGEST} characters, and no control characters")
    if template.startswith(("/", ".gw")):
        raise ValueError(f"keys do not begin with {'/' if template.startswith('/') else PRIVATE} here")
    if set("{}") & set(_PLACEHOLDER.sub("", template)):
        raise ValueError("expected placeholders such as {name}, {name*}")
    ends = [(found.start(), found.end()) for found in _PLACEHOLDER.finditer(template)]
    if any(end == start for (_, end), (start, _) in pairwise(ends)):
        raise ValueError("something must stand between two placeholders")


def _pieces(segment: str) -> tuple[str, Sequence[Piece]]:
    """Divide a segment of a pattern into what stands before its first placeholder, and the placeholders."""
    found = list(_PLACEHOLDER.finditer(segment))
    if not found:
        return segment, []
    stops = [*(each.start() for each in found[1:]), len(segment)]
    pieces = [Piece(each[1], segment[each.end() : stop]) for each, stop in zip(found, stops, strict=True)]
    return segment[: found[0].start()], pieces


def _taken(head: str, pieces: Sequence[Piece], text: str) -> Mapping[str, str] | None:
    """Return what the placeholders of a segment stand for: no way is tried twice, however long the key is."""
    if not pieces:
        return {} if text == head else None
    *others, last = pieces
    at, found = len(head), {}
    if not text.startswith(head):
        return None
    for name, behind in others:
        stop = text.find(behind, at + 1)
        if stop < 0:
            return None
        found[name], at = text[at:stop], stop + len(behind)
    stop = len(text) - len(last.text)
    if stop <= at or not text.endswith(last.text):
        return None
    return {**found, last.name: text[at:stop]}


def _tokens(template: str, meant: Callable[[str], Sequence[Token]]) -> Iterator[tuple[Token, str]]:
    """Yield the tokens of a template, each with the placeholder it comes from."""
    at = 0
    for found in _PLACEHOLDER.finditer(template):
        yield from ((char, "") for char in template[at : found.start()])
        yield from ((token, found[1]) for token in meant(found[1]))
        at = found.end()
    yield from ((char, "") for char in template[at:])


def _may_be_one(one: Token, other: Token) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return one == other
    return {one, other} != {Wild.SEGMENT, "/"}


def _passed(tokens: Sequence[Token], at: int) -> tuple[int, bool]:
    return (at + 1, False) if isinstance(tokens[at], str) else (at, True)
