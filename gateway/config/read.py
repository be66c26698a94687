"""YAML with the places of its values, and with what `${...}` in them stands for."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

Place = tuple[str | int, ...]  # the way to a value: ("buckets", "media", "backend")

_REFERENCE: Final = re.compile(
    r"\$(?:(?P<escaped>\$\{)"
    r"|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}\n]*))?\}"
    r"|\{file:(?P<file>[^}\n]+)\}"
    r"|(?P<broken>\{[^}\n]*\}?))"
)
_MARKED: Final = re.compile("\ue000([0-9]+)\ue001")


@dataclass
class Document:
    """What a file says, where it says it, and which of its values came from outside and are not to be shown."""

    data: Any = None
    lines: dict[Place, int] = field(default_factory=dict)
    hidden: set[Place] = field(default_factory=set)
    problems: list[tuple[Place, str]] = field(default_factory=list)


def read(text: str, environment: Mapping[str, str] = os.environ) -> Document:
    """Read a file's text. Raises: yaml.YAMLError."""
    references: list[re.Match[str]] = []

    def mark(match: re.Match[str]) -> str:
        references.append(match)
        return f"\ue000{len(references) - 1}\ue001"

    # A reference is marked before YAML is read, because in {key: ${NAME}} its braces would be YAML's.
    loader = yaml.SafeLoader(_REFERENCE.sub(mark, text))
    try:
        document = Document()
        node = loader.get_single_node()
        if node is not None:
            document.data = _Reader(loader, document, references, environment).value(node, ())
        return document
    finally:
        loader.dispose()


def files_of(text: str) -> Sequence[Path]:
    """Return the files that a file's text takes values from."""
    return [Path(match["file"]) for match in _REFERENCE.finditer(text) if match["file"]]


class _Reader:
    """Turns nodes, which know their lines, into plain values."""

    def __init__(
        self,
        loader: yaml.SafeLoader,
        document: Document,
        references: Sequence[re.Match[str]],
        environment: Mapping[str, str],
    ) -> None:
        self._loader = loader
        self._document = document
        self._references = references
        self._environment = environment

    def value(self, node: yaml.Node, place: Place) -> Any:
        self._document.lines[place] = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*place, index)) for index, item in enumerate(node.value)]
        value = self._loader.construct_object(node, deep=True)
        return self._filled(value, place) if isinstance(value, str) else value

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        self._loader.flatten_mapping(node)
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            name = self._filled(str(key_node.value), place)
            if name in values and "<<" not in name:
                self._document.problems.append(((*place, name), "is there more than once"))
            values[name] = self.value(value_node, (*place, name))
            self._document.lines[*place, name] = key_node.start_mark.line + 1
        return values

    def _filled(self, text: str, place: Place) -> str:
        if not _MARKED.search(text):
            return text
        self._document.hidden.add(place)
        return _MARKED.sub(lambda match: self._meant(self._references[int(match[1])], place), text)

    def _meant(self, reference: re.Match[str], place: Place) -> str:
        if reference["escaped"]:
            return "${"
        if reference["file"]:
            return self._content(reference["file"], place)
        if reference["broken"]:
            return self._missing(place, f"{reference[0]} must be ${{NAME}}, ${{NAME:-default}} or ${{file:PATH}}")
        value = self._environment.get(reference["name"])
        if not value and reference["default"] is not None:
            return reference["default"]
        return self._missing(place, f"environment variable {reference['name']} is not set") if value is None else value

    def _content(self, name: str, place: Place) -> str:
        try:
            return Path(name).read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            return self._missing(place, f"the file {name} cannot be read: {reason}")

    def _missing(self, place: Place, problem: str) -> str:
        self._document.problems.append((place, problem))
        return ""
