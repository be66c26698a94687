"""Access keys, and what each of them may do."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from gateway.message import Owner, Rights

VERBS: Final = ("read", "write", "delete", "list", "admin")

_PATTERN: Final = re.compile(r"(?P<bucket>[A-Za-z0-9._-]*)(?P<open>\*?)(?:/(?P<prefix>[^*]*)\*)?")
_RULE: Final = (
    "a pattern is bucket, bucket/*, bucket/prefix* or *, with * at the end of the bucket or of the prefix only"
)


@dataclass(frozen=True, slots=True)
class Key:
    """An access key: who acts with it, and what they may do."""

    access_key: str
    secret_key: str = field(repr=False)
    owner: Owner
    rights: Rights


@dataclass(frozen=True, slots=True)
class Pattern:
    """Which buckets and keys a grant is about; without a prefix about buckets themselves."""

    bucket: str
    open: bool  # any bucket whose name begins so, and all that is in it unless there is a prefix
    prefix: str | None

    def reaches(self, bucket: str) -> bool:
        """Say whether anything in a bucket, or itself, is meant."""
        return bucket.startswith(self.bucket) if self.open else bucket == self.bucket

    def covers(self, verb: str, bucket: str, key: str) -> bool:
        """Say whether something is meant; for `list` the key is the prefix that is to be listed."""
        if not self.reaches(bucket):
            return False
        if self.prefix is None:
            return self.open or not key or verb == "list"
        return key.startswith(self.prefix) and (verb == "list" or key != "")


@dataclass(frozen=True, slots=True)
class Grants:
    """Rights as the configuration writes them: `verbs patterns`, verbs with commas, patterns with blanks between them.

        *                           everything
        read,write media/*          the objects of the bucket media
        read assets/public/*        the objects whose keys begin with public/
        list media                  the bucket itself: look whether it is there, list all of it
        list media/a/*              list what begins with a/, and only that
        * logs-*                    everything in buckets whose names begin with logs-, and these buckets

    A bucket alone means the bucket itself (list it, create it, delete it, its ACL), `bucket/*` the objects in it and
    listing them: as `arn:aws:s3:::bucket` and `arn:aws:s3:::bucket/*` do in S3's own policies. Reading an object gives
    no right to look at its bucket. https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-arn-format.html
    """

    grants: tuple[tuple[frozenset[str], tuple[Pattern, ...]], ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Rights:
        """Return the rights that the lines of a configuration give. Raises ValueError with the rule that one breaks."""
        return cls(tuple(_grant(text) for text in texts))

    def allows(self, verb: str, bucket: str, key: str) -> bool:
        """Say whether one of the grants covers it."""
        for verbs, patterns in self.grants:  # asked for every request: two calls of `any` would cost twice as much
            if verb in verbs:
                for pattern in patterns:
                    if pattern.covers(verb, bucket, key):
                        return True
        return False

    def sees(self, bucket: str) -> bool:
        """Say whether one of the grants is about the bucket or anything in it."""
        return any(pattern.reaches(bucket) for _, patterns in self.grants for pattern in patterns)


NO_RIGHTS: Final = Grants()


def _grant(text: str) -> tuple[frozenset[str], tuple[Pattern, ...]]:
    if text.strip() == "*":
        return frozenset(VERBS), (Pattern("", open=True, prefix=None),)
    verbs, *patterns = text.split() or [""]
    if not patterns:
        raise ValueError(f'bad grant "{text}": must be "*" or verbs and patterns, such as "read,write media/*"')
    names = VERBS if verbs == "*" else tuple(verbs.split(","))
    if unknown := [name for name in names if name not in VERBS]:
        raise ValueError(f'bad verb "{unknown[0]}" in grant "{text}": must be *, {", ".join(VERBS)}')
    parsed = tuple(_pattern(pattern, text) for pattern in patterns)
    if verbs != "*" and "read" in names and any(pattern.prefix is None and not pattern.open for pattern in parsed):
        raise ValueError(f'grant "{text}" reads nothing: the objects of a bucket are written "bucket/*"')
    return frozenset(names), parsed


def _pattern(pattern: str, text: str) -> Pattern:
    match = _PATTERN.fullmatch(pattern)
    if not match or not (match["bucket"] or match["open"]):
        raise ValueError(f'bad pattern "{pattern}" in grant "{text}": {_RULE}')
    return Pattern(match["bucket"], open=bool(match["open"]), prefix=match["prefix"])
