"""Write what the schema of the chart says of `config` from the models: `python -m tests.deploy.values_schema`."""

import json
from collections.abc import Mapping
from types import NoneType
from typing import Any, Final, Literal, get_args, get_origin

from gateway.config.keys import all_keys
from tests.deploy.manifests import CHART

SCHEMA = CHART / "values.schema.json"
REFERENCE: Final = {"type": "string", "pattern": r"^\$\{.+\}$"}


def config() -> dict[str, Any]:
    """Return which keys there may be, and which words where there are only some.

    Each statement is about objects or about lists, and holds for nothing else: a value may come from a variable, and
    what is a section may be said in short.
    """
    whole: dict[str, Any] = {}
    lists: set[tuple[str, ...]] = set()
    for names, info in all_keys():
        if _has_items(info.annotation):
            lists.add(names)
        place = whole
        for depth, name in enumerate(names):
            place = _step(place, name, in_list=names[:depth] in lists)
        words = _words(info.annotation)
        if words:
            known = place.get("anyOf", [{"enum": []}])[0]["enum"]
            place["anyOf"] = [{"enum": list(dict.fromkeys([*known, *words]))}, REFERENCE]
    return whole


def _step(place: dict[str, Any], name: str, *, in_list: bool) -> dict[str, Any]:
    found: dict[str, Any]
    if name == "*":  # an item, or what has a name of the user's
        found = place.setdefault("items" if in_list else "additionalProperties", {})
        return found
    place.setdefault("additionalProperties", False)
    found = place.setdefault("properties", {}).setdefault(name, {})
    return found


def _has_items(annotation: Any) -> bool:
    """Say whether a value may be a list of sections."""
    if get_origin(annotation) is tuple:
        return str not in get_args(annotation)
    return get_origin(annotation) is not Mapping and any(_has_items(each) for each in get_args(annotation))


def _words(annotation: Any) -> list[str]:
    """Return the words that a value is one of, [] where it may be something else."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    arguments = [each for each in get_args(annotation) if each is not NoneType]
    return _words(arguments[0]) if len(arguments) == 1 and NoneType in get_args(annotation) else []


if __name__ == "__main__":
    schema = json.loads(SCHEMA.read_text())
    schema["definitions"]["config"] = config()
    SCHEMA.write_text(json.dumps(schema, indent=2) + "\n")
