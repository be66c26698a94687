"""Which pages of other origins may ask what of a bucket, and how their browsers are told: S3's CORS rules.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/ManageCorsUsing.html
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, get_args

Method = Literal["GET", "PUT", "POST", "DELETE", "HEAD"]
METHODS: Final[Sequence[str]] = get_args(Method)
MOST_ASKED: Final = 100  # headers of one request: a stranger may ask for as many as a line holds, and each is compared
# What a rule is chosen by. S3 says it where one matches; it is said of every answer, so that no cache gives a page what
# it has got for somebody without an Origin: https://fetch.spec.whatwg.org/#cors-protocol-and-http-caches
VARY: Final[Mapping[str, str]] = MappingProxyType(
    {"Vary": "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"}
)

_EVERYBODY: Final = "*"
_NAME: Final = re.compile("[a-z0-9!#$%&'*+.^_`|~-]+")  # https://www.rfc-editor.org/rfc/rfc9110#name-tokens


@dataclass(frozen=True, slots=True)
class Rule:
    """What pages of some origins may do. An origin and an allowed header may have one "*", for any characters."""

    allowed_origins: Sequence[str]
    allowed_methods: Sequence[str]
    allowed_headers: Sequence[str] = ()
    expose_headers: Sequence[str] = ()
    max_age: int | None = None  # seconds for which a browser may remember the answer to a preflight
    id: str | None = None


class Cors:
    """The rules of a bucket, of which the first that matches counts."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        self._matchers = [_Matcher(rule) for rule in rules]

    def headers(self, origin: str, method: str, asked: Collection[str] = ()) -> Mapping[str, str] | None:
        """Return what an answer says to the browser of a page; None where no rule lets the page do that.

        `asked` are the headers that the page wants to send, as a preflight names them.
        "When Amazon S3 receives a cross-origin request (or a pre-flight OPTIONS request) against a bucket, it evaluates
        the cors configuration on the bucket and uses the first CORSRule rule that matches the incoming browser request
        to enable a cross-origin request." https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketCors.html
        """
        names = [name.lower() for name in asked]
        for matcher in self._matchers if len(names) <= MOST_ASKED else ():
            if matcher.matches(origin, method, names):
                return matcher.headers(origin, names)
        return None


class _Matcher:
    """A rule, ready to be compared with requests."""

    def __init__(self, rule: Rule) -> None:
        self._everybody = _EVERYBODY in rule.allowed_origins
        self._methods = frozenset(rule.allowed_methods)
        self._origin = _one_of(rule.allowed_origins)
        self._header = _one_of([name.lower() for name in rule.allowed_headers])
        self._allowed = {"Access-Control-Allow-Methods": ", ".join(rule.allowed_methods)}
        self._further = _further(rule)

    def matches(self, origin: str, method: str, asked: Collection[str]) -> bool:
        """Say whether the rule allows that. What cannot be said in an answer is not allowed, whatever the rule says."""
        return (
            method in self._methods
            and origin.isascii()
            and origin.isprintable()
            and self._origin.fullmatch(origin) is not None
            and all(_NAME.fullmatch(name) and self._header.fullmatch(name) for name in asked)
        )

    def headers(self, origin: str, asked: Collection[str]) -> Mapping[str, str]:
        """Return what is said where the rule matches; where it lets everybody, credentials are not spoken of."""
        return {
            "Access-Control-Allow-Origin": _EVERYBODY if self._everybody else origin,
            **self._allowed,
            **({"Access-Control-Allow-Headers": ", ".join(asked)} if asked else {}),
            **self._further,
        }


def _one_of(patterns: Collection[str]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(pattern).replace(r"\*", ".*") for pattern in patterns))


def _further(rule: Rule) -> dict[str, str]:
    return {
        **({"Access-Control-Expose-Headers": ", ".join(rule.expose_headers)} if rule.expose_headers else {}),
        **({"Access-Control-Max-Age": str(rule.max_age)} if rule.max_age is not None else {}),
        **({} if _EVERYBODY in rule.allowed_origins else {"Access-Control-Allow-Credentials": "true"}),
        **VARY,
    }
