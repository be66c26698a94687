"""What can be said of a project."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One project. Times are seconds.

    Without `credentials` they are looked for as Google's own libraries do, but not with an `endpoint`, which is that
    of an emulator then. `location` and `storage_class` are those of new buckets.
    """

    project: str | None = None
    credentials: Path | None = None
    endpoint: str | None = None
    location: str | None = None
    storage_class: str | None = None
    connect_timeout: float = 3.0
    answer_timeout: float = 30.0
    stall_timeout: float = 30.0


class Options(TypedDict, total=False):
    """The same, for those who say some of it by keyword."""

    project: str | None
    credentials: Path | None
    endpoint: str | None
    location: str | None
    storage_class: str | None
    connect_timeout: float
    answer_timeout: float
    stall_timeout: float
