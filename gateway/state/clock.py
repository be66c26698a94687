"""The clock that all processes of a host share, and that nobody can set: it counts from the boot."""

import time
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, insert, select

from gateway.state.schema import CLOCK

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


def boot() -> str:
    """Return what tells this boot of the host from every other; "" where the system does not say."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def origin(connection: Connection, boot_id: str) -> float:
    """Return what to add to the monotonic clock for seconds that go on from boot to boot; under a write lock.

    The wall clock is believed once per boot: for how long the host was off.
    """
    found = connection.scalar(select(CLOCK.c.origin).where(CLOCK.c.boot == boot_id))
    if found is None:
        found = time.time() - time.monotonic()
        connection.execute(insert(CLOCK).values(boot=boot_id, origin=found))
    return float(found)
