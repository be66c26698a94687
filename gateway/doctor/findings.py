"""What is found out about a backend."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.errors import S3Error


class Result(StrEnum):
    """Whether a thing can be done: by the storage, by the gateway in another way, not at all; or nobody tried."""

    YES = "yes"
    EMULATED = "emulated"
    NO = "no"
    UNTRIED = "-"


class Lacking(Exception):  # noqa: N818  it is an answer, not a failure of ours
    """What was tried is not there; the message says how that was seen."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out of one capability; a `problem` is something that somebody should see to."""

    name: str
    result: Result
    reason: str = ""
    problem: bool = False


@dataclass(slots=True)
class Diagnosis:
    """All that was found out of one backend. `bucket` is where things were tried; "" if nowhere."""

    backend: str
    type: str
    bucket: str = ""
    bucket_count: int | None = None
    findings: list[Finding] = field(default_factory=list)

    def add(self, name: str, result: Result, reason: str = "", *, problem: bool = False) -> None:
        """Note what was found out."""
        self.findings.append(Finding(name, result, reason, problem))

    @property
    def problems(self) -> Sequence[str]:
        """What somebody should see to, each with its place in the configuration."""
        return [f"backends.{self.backend}: {each.name}: {each.reason}" for each in self.findings if each.problem]


def explain(error: BaseException) -> str:
    """Say why a backend failed, in as few words as an operator needs; never with a secret.

    What a client is told of an error of ours is little; the notes and the cause of it tell more.
    """
    if isinstance(error, TimeoutError):
        return "no answer in time"
    notes = getattr(error, "__notes__", ())
    if notes:
        return str(notes[0])
    cause = error.__cause__
    if cause is not None and isinstance(error, S3Error):
        return explain(cause) if isinstance(cause, S3Error) else str(cause) or type(cause).__name__
    return f"{error.code}: {error}" if isinstance(error, S3Error) else str(error) or type(error).__name__
