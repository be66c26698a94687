"""From a file to a Config, or to every problem of it at once: where it stands, what was expected, what is there."""

import difflib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.config.keys import known_keys
from gateway.config.models import Config
from gateway.config.read import Document, Place, read
from gateway.config.rules import broken_rules

SECRET: Final = {"secret_key"}
SHOWN: Final = 60  # characters of a wrong value

Problem = tuple[Place, str]


class ConfigError(Exception):
    """Says line by line what is wrong with a configuration."""


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Read a configuration from a file. Raises: ConfigError."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise ConfigError(f"{path}: cannot be read: {reason}") from error
    return parse(text, str(path), environment)


def is_exposed(path: Path, config: Config) -> bool:
    """Say whether a file that everybody may read holds a secret itself, instead of a reference to one."""
    if not path.stat().st_mode & stat.S_IROTH or not isinstance(config.keys, tuple):
        return False
    text = path.read_text("utf-8")
    return any(key.secret_key.get_secret_value() in text for key in config.keys)


def parse(text: str, name: str, environment: Mapping[str, str] = os.environ) -> Config:
    """Read a configuration from its text; `name` is what messages call it. Raises: ConfigError."""
    try:
        document = read(text, environment)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{name}{line}: is not YAML: {getattr(error, 'problem', None) or error}") from error
    data = {} if document.data is None else document.data
    problems = list(document.problems)
    try:
        config = Config.model_validate(data)
        problems += broken_rules(config)
    except ValidationError as error:
        problems += _problems(error, document)
    if problems:
        raise ConfigError("\n".join(_lines(name, problems, document)))
    return config


def _lines(name: str, problems: list[Problem], document: Document) -> Iterator[str]:
    said = set()
    for place, problem in sorted(problems, key=lambda one: _line(one[0], document)):
        line = f"{name}:{_line(place, document)}: {_dotted(place) or 'the file'}: {problem}"
        if line not in said:
            said.add(line)
            yield line


def _line(place: Place, document: Document) -> int:
    while place and place not in document.lines:
        place = place[:-1]
    return document.lines.get(place, 1)


def _dotted(place: Place) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")


def _problems(error: ValidationError, document: Document) -> Iterator[Problem]:
    broken = {place for place, _ in document.problems}
    for found in error.errors(include_url=False):
        place = _place(found["loc"], document.data)
        if found["type"] in {"union_tag_invalid", "union_tag_not_found"}:
            place, found["input"] = (*place, "type"), found["input"].get("type")
        if place not in broken:
            yield place, _told(found, place, document)


def _place(loc: Place, data: Any) -> Place:
    """Return the way to a value in the file: pydantic's also names the kinds of value it has tried."""
    place: list[str | int] = []
    for index, part in enumerate(loc):
        inside = (isinstance(data, dict) and part in data) or (isinstance(data, list) and isinstance(part, int))
        if inside:
            data = data[part]
        if inside or (isinstance(data, dict) and index == len(loc) - 1):
            place.append(part)
    return tuple(place)


def _told(found: ErrorDetails, place: Place, document: Document) -> str:
    match found["type"]:
        case "extra_forbidden":
            return _unknown(place)
        case "missing" | "union_tag_not_found":
            return "is required"
        case "union_tag_invalid":
            message = f"expected one of {found['ctx']['expected_tags']}"
        case "too_short" | "string_too_short":
            least = found["ctx"]["min_length"]
            if least == 1:
                return "must not be empty"
            message = f"expected at least {least} characters"
        case "model_type" | "model_attributes_type" | "mapping_type":
            message = "expected keys and values"
        case _:
            message = found["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    return f"{message[0].lower()}{message[1:]}{_came(found, place, document)}"


def _came(found: ErrorDetails, place: Place, document: Document) -> str:
    """Show the value that came, unless it is a secret or may be one."""
    value = found["input"]
    if place in document.hidden or SECRET & set(map(str, place)):
        return ""
    if isinstance(value, dict):
        return ", got keys and values"
    if isinstance(value, (list, tuple)):
        return ""
    shown = "nothing" if value is None else repr(value)
    return f", got {shown if len(shown) <= SHOWN else shown[:SHOWN] + '…'}"


def _unknown(place: Place) -> str:
    siblings = known_keys(place[:-1])
    near = difflib.get_close_matches(str(place[-1]), siblings, n=1, cutoff=0.5)
    return f"unknown key, did you mean {near[0]}?" if near else f"unknown key, known are {', '.join(siblings)}"
