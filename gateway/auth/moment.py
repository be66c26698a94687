"""Points in time as signed requests write them; all are seconds since the epoch."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

_BASIC: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_LAST: Final = datetime.max.replace(tzinfo=UTC).timestamp() - 1  # what lies behind is written as this


def is_timestamp(text: str) -> bool:
    """Say whether a text is written as x-amz-date is: 20130524T000000Z."""
    return _BASIC.fullmatch(text) is not None


def from_timestamp(text: str) -> float | None:
    """Return the time that x-amz-date tells, or None."""
    return _from_basic(text) if is_timestamp(text) else None


def from_date(text: str) -> float | None:
    """Return the time of x-amz-date or Date, in the basic form of ISO 8601 or that of HTTP, or None."""
    if (moment := from_timestamp(text)) is not None:
        return moment
    try:
        parsed = parsedate_to_datetime(text)
        return _since_epoch(parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC))
    except (ValueError, TypeError, IndexError, OverflowError):  # the parser lets all of them out on broken dates
        return None


def to_timestamp(moment: float) -> str:
    """Return a time as x-amz-date writes it."""
    return datetime.fromtimestamp(min(moment, _LAST), UTC).strftime("%Y%m%dT%H%M%SZ")


def to_text(moment: float) -> str:
    """Return a time as S3's errors write it: 2013-05-24T00:00:00Z."""
    return datetime.fromtimestamp(min(moment, _LAST), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(maxsize=64)  # requests of one second tell the same
def _from_basic(text: str) -> float | None:
    try:
        return _since_epoch(datetime.fromisoformat(text))
    except ValueError:
        return None


def _since_epoch(when: datetime) -> float | None:
    seconds = when.timestamp()
    return seconds if seconds >= 0 else None
