"""What can be said of an account on a server that speaks S3."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One account. Times are seconds; `dialect` and `addressing` may be "auto".

    Without `access_key`, credentials are what the AWS default chain finds for `profile`; with `role`, those are used
    to assume it.
    """

    endpoint: str | None = None
    region: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    profile: str | None = None
    role: str | None = None
    external_id: str | None = None
    dialect: str = "auto"
    addressing: str = "auto"
    ca: Path | None = None
    connections: int = 256
    connect_timeout: float = 3.0
    answer_timeout: float = 30.0
    stall_timeout: float = 30.0


class Options(TypedDict, total=False):
    """The same, for those who say some of it by keyword."""

    endpoint: str | None
    region: str | None
    access_key: str | None
    secret_key: str | None
    session_token: str | None
    profile: str | None
    role: str | None
    external_id: str | None
    dialect: str
    addressing: str
    ca: Path | None
    connections: int
    connect_timeout: float
    answer_timeout: float
    stall_timeout: float
