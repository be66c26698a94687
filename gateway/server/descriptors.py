"""Open files and connections: as many as the system gives, and never all of them for connections."""

import resource
from contextlib import suppress


def raise_limit() -> None:
    """Take all descriptors that the process may have: what shells and service managers give at first is 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def room_for_connections(wanted: int) -> int:
    """Return how many connections may be open at once: at most half of the descriptors, the rest are for files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, soft // 2)
