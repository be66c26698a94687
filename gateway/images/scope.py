"""Whose jobs a gateway does: those of the buckets that it has, where it has them.

Gateways that share a database need not have the same buckets, nor buckets of one name in the same place. So it is
written down of each job where its bucket lies; who has it elsewhere, or makes nothing of its images, leaves it alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Column, ColumnElement, and_, false, or_, true

_AT: Final = "@"  # in no name of a bucket


@dataclass(frozen=True, slots=True)
class Scope:
    """The places of buckets, each a short text without meaning; None where nothing is made of images."""

    named: Mapping[str, str | None] = field(default_factory=dict)
    others: str | None = None  # of buckets that are not named

    def stored(self, bucket: str) -> str:
        """Return what the database calls a bucket that lies where it does here."""
        return f"{bucket}{_AT}{self.named.get(bucket, self.others) or ''}"

    def covers(self, column: Column[str]) -> ColumnElement[bool]:
        """Return what is true of the jobs that are done here."""
        mine = [self.stored(bucket) for bucket, place in self.named.items() if place]
        conditions: list[ColumnElement[bool]] = [column == each for each in mine]
        if self.others:
            elsewhere = [f"{bucket}{_AT}{self.others}" for bucket in self.named]
            theirs = and_(true(), *(column != each for each in elsewhere))
            conditions.append(and_(column.endswith(f"{_AT}{self.others}", autoescape=True), theirs))
        return or_(*conditions) if conditions else false()


def bucket_of(stored: str) -> str:
    """Return the bucket that the database calls so."""
    return stored.partition(_AT)[0]
