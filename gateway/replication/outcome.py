"""What became of a write that failed, as far as anybody knows."""

from gateway.errors import CredentialsRefused, InternalError, S3Error, ServiceUnavailable
from gateway.replication.records import BRAKE, Outcome
from gateway.state.store import StateUnknown


class Fenced(ServiceUnavailable):
    """Who wanted to write may not any more; what was to be written has not been sent."""

    code = "ServiceUnavailable"


class Braked(ServiceUnavailable):
    """So much was deleted that this delete waits for an operator."""

    code = BRAKE


def outcome_of(error: BaseException) -> Outcome:
    """Return REFUSED where it is certain that nothing was stored, UNKNOWN for all that leaves it open.

    A backend says InternalError when it lost the answer; ServiceUnavailable, SlowDown and what the client did wrong
    (a body that broke off, a condition that failed) are raised before anything is stored.
    """
    if isinstance(error, S3Error) and not isinstance(error, (InternalError, StateUnknown)):
        return Outcome.REFUSED
    return Outcome.UNKNOWN


def result_of(outcome: Outcome, *, is_done: bool) -> str:
    """Return what a worker's turn at a key counts as: it is done, changed meanwhile and comes again, or failed."""
    if outcome is not Outcome.APPLIED:
        return "failed"
    return "done" if is_done else "again"


def name_of(error: BaseException) -> str:
    """Return what an error is called in a log, without what it says of keys and hosts."""
    if isinstance(error, CredentialsRefused):  # its code is what clients are told
        return CredentialsRefused.__name__
    return error.code if isinstance(error, S3Error) else type(error).__name__
