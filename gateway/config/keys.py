"""The names of all keys, told from the models: for messages, and to compare the documentation with."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gateway.config.models import Config
from gateway.config.read import Place


def all_keys(
    model: type[BaseModel] = Config, above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Yield every key, by the names on the way to it; "*" stands for any name or number."""
    for name, info in model.model_fields.items():
        yield (*above, name), info
        for step, section in _sections(info.annotation):
            yield from all_keys(section, (*above, name, *step))


def known_keys(place: Place) -> Sequence[str]:
    """Return the keys that may stand at a place, in the order of the models."""
    found = [
        names[-1]
        for names, _ in all_keys()
        if len(names) == len(place) + 1 and all(name in {"*", part} for name, part in zip(names, place, strict=False))
    ]
    return list(dict.fromkeys(found))


def _sections(annotation: Any) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    """Yield the models within a type, each with the steps that lead into it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield (), annotation
    origin = get_origin(annotation)
    many = isinstance(origin, type) and issubclass(origin, Collection)
    for argument in get_args(annotation):
        for step, section in _sections(argument):
            yield (("*", *step) if many else step), section
