"""What a client is told where something could not be done for sure: whether it may have been, and what to do now."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from gateway.errors import InternalError, S3Error, ServiceUnavailable
from gateway.replication.records import Outcome

RETRY_AFTER: Final = {"Retry-After": "1"}  # seconds
NOT_APPLIED: Final = {"x-gw-applied": "no"}


def unavailable() -> ServiceUnavailable:
    """Return the refusal of a write that was not done, nor will be."""
    error = ServiceUnavailable()
    error.headers = RETRY_AFTER | NOT_APPLIED
    return error


def not_current() -> ServiceUnavailable:
    """Return the refusal of what only somebody could answer who is known to be up to date, and nobody is."""
    error = ServiceUnavailable()
    error.headers = RETRY_AFTER | NOT_APPLIED | {"x-gw-reason": "not-current"}
    return error


def not_reconciled() -> ServiceUnavailable:
    """Return the refusal of all that a database that was lost or set back would have to know."""
    error = ServiceUnavailable()
    error.headers = RETRY_AFTER | NOT_APPLIED | {"x-gw-reason": "reconcile"}
    return error


def unknown() -> InternalError:
    """Return the answer to a write that may have been done, or may yet be."""
    error = InternalError()
    error.headers = {"x-gw-applied": "unknown"}
    return error


def failed(error: Exception, outcome: Outcome) -> Exception:
    """Return what is told of a write that failed."""
    if outcome is Outcome.UNKNOWN:
        return unknown()
    if isinstance(error, InternalError):
        return unavailable()
    if isinstance(error, ServiceUnavailable):
        error.headers = RETRY_AFTER | NOT_APPLIED | error.headers
    return error


def unanswered(error: S3Error) -> S3Error:
    """Return what is told of a read that failed."""
    if isinstance(error, ServiceUnavailable):
        error.headers = RETRY_AFTER | error.headers
    return error


@contextmanager
def refused() -> Iterator[None]:
    """Tell of all that got no answer inside that it was not done: no object changes by it."""
    try:
        yield
    except ServiceUnavailable as error:
        raise failed(error, Outcome.REFUSED) from error.__cause__
