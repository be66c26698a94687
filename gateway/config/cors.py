"""What pages of other origins may ask of a bucket, with the limits that S3 sets to it.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/ManageCorsUsing.html
"""

import re
from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.config.section import Section
from gateway.config.units import Seconds
from gateway.cors import Cors, Method, Rule

MOST_RULES: Final = 100
LONGEST_ID: Final = 255

_CHARACTER: Final = "[A-Za-z0-9!#$%&'+.^_`|~-]"  # a character of a header's name, but for "*"
_ORIGIN: Final = re.compile("([!-.0-~]*//)?[!-.0-~]+")
_HEADER: Final = re.compile(f"{_CHARACTER}+")
_HEADERS: Final = re.compile(rf"(?=.){_CHARACTER}*\*?{_CHARACTER}*")


def _origin(value: str) -> str:
    """Return what origins are compared with. Raises: ValueError, also for what no browser sends."""
    if not _ORIGIN.fullmatch(value):
        raise ValueError("expected an origin such as https://app.example.com, without a path or a / at its end")
    if value.count("*") > 1:
        raise ValueError('expected at most one "*"')
    return value


def _headers(value: str) -> str:
    """Return what names of headers are compared with. Raises: ValueError."""
    if not _HEADERS.fullmatch(value):
        raise ValueError('expected the name of a header such as content-type, with at most one "*"')
    return value


def _header(value: str) -> str:
    """Return the name of a header. Raises: ValueError."""
    if not _HEADER.fullmatch(value):
        raise ValueError('expected the name of a header such as ETag, without any "*"')
    return value


def _few(value: object) -> object:
    if isinstance(value, list) and len(value) > MOST_RULES:
        raise ValueError(f"expected at most {MOST_RULES} rules, there are {len(value)}")
    return value


def _some(value: object) -> object:
    """Refuse what is empty; a least length would be missed beside each error in an item, too. Raises: ValueError."""
    if value in ([], ()):
        raise ValueError("must not be empty")
    return value


Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(_some)]
Methods = Annotated[tuple[Method, ...], BeforeValidator(_some)]


class CorsRule(Section):
    """What pages of some origins may do."""

    id: str | None = Field(None, max_length=LONGEST_ID)
    allowed_origins: Origins
    allowed_methods: Methods
    allowed_headers: tuple[Annotated[str, AfterValidator(_headers)], ...] = ()
    expose_headers: tuple[Annotated[str, AfterValidator(_header)], ...] = ()
    max_age: Seconds | None = Field(None, ge=0)


CorsRules = Annotated[tuple[CorsRule, ...], BeforeValidator(_few)]


def compiled(rules: Sequence[CorsRule]) -> Cors | None:
    """Return the rules of a bucket as requests are compared with them, None where there are none."""
    return Cors([_rule(said) for said in rules]) if rules else None


def _rule(said: CorsRule) -> Rule:
    max_age = None if said.max_age is None else int(said.max_age)
    return Rule(**said.model_dump(exclude={"max_age"}), max_age=max_age)
