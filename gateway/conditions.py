"""If-Match and its kin, decided in one place for every backend (RFC 9110 §13)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from gateway.errors import NoSuchKey, NotModified, PreconditionFailed


class Validators(Protocol):
    """What conditions are compared with: an ObjectInfo has it."""

    @property
    def key(self) -> str: ...
    @property
    def etag(self) -> str: ...
    @property
    def modified(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under which state of the object a request is to be carried out; ("*",) stands for any state but absence.

    Dates are whole seconds, UTC.
    """

    if_match: Sequence[str] = ()
    if_none_match: Sequence[str] = ()
    if_modified_since: datetime | None = None
    if_unmodified_since: datetime | None = None

    def __bool__(self) -> bool:
        return self != ANY_STATE

    def check_read(self, info: Validators) -> None:
        """Raise PreconditionFailed or NotModified unless the object may be read.

        A match of the ETag outweighs the date beside it:
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html#API_GetObject_RequestSyntax
        """
        modified = info.modified.replace(microsecond=0)
        if self.if_match:
            if not _matches(self.if_match, info.etag):
                raise _failed("If-Match", info)
        elif self.if_unmodified_since and modified > self.if_unmodified_since:
            raise _failed("If-Unmodified-Since", info)
        if self.if_none_match:
            if _matches(self.if_none_match, info.etag):
                raise NotModified.of(info.etag, info.modified)
        elif self.if_modified_since and modified <= self.if_modified_since:
            raise NotModified.of(info.etag, info.modified)

    def check_source(self, info: Validators) -> None:
        """As `check_read`, for the source of a copy: there is no "not modified" then, only a failed precondition."""
        try:
            self.check_read(info)
        except (NotModified, PreconditionFailed) as error:
            raise PreconditionFailed(**error.fields) from None

    def check_write(self, key: str, info: Validators | None) -> None:
        """Raise unless the object (None: there is none) may be written or deleted.

        If-Match where nothing is says NoSuchKey:
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html
        """
        if self.if_match:
            if info is None:
                raise NoSuchKey(Key=key)
            if not _matches(self.if_match, info.etag):
                raise PreconditionFailed(Condition="If-Match")
        if self.if_none_match and info is not None and _matches(self.if_none_match, info.etag):
            raise PreconditionFailed(Condition="If-None-Match")


def _failed(condition: str, info: Validators) -> PreconditionFailed:
    """Return the refusal of a read; like a 304 it tells of which state of the object."""
    error = PreconditionFailed(Condition=condition)
    error.headers = NotModified.of(info.etag, info.modified).headers
    return error


def _matches(wanted: Sequence[str], etag: str) -> bool:
    return "*" in wanted or etag in wanted


ANY_STATE: Final = Conditions()
