"""The hasty gateway with a wall clock that is an hour ahead or behind, by turns: `python shifted.py serve --config …`.

Only the clock of what decides nothing by it is shifted: signatures are made and checked by the right one, for without
that nobody would be let in. GATEWAY_CLOCK is by how many seconds; the second gateway goes the other way.
"""

import importlib
import os
import pkgutil
import sys
import time
from datetime import datetime, timedelta, tzinfo
from types import ModuleType
from typing import Any

from hasty import hurry

import gateway.backends
import gateway.replication
import gateway.routing
import gateway.state
from gateway.cli import main

TURN = 2.0  # seconds until the clock steps to the other side
SIDE = -1 if any("gateway1" in argument for argument in sys.argv) else 1


def shift() -> float:
    side = SIDE if int(time.monotonic() / TURN) % 2 else -SIDE
    return side * float(os.environ["GATEWAY_CLOCK"])


class Time(ModuleType):
    """The module `time`, but for the wall clock."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def time(self) -> float:
        return time.time() + shift()

    def time_ns(self) -> int:
        return time.time_ns() + int(shift() * 1e9)


class Datetime(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "Datetime":
        told = datetime.now(tz) + timedelta(seconds=shift())
        return cls.combine(told.date(), told.timetz())


def set_wrong() -> None:
    """Shift the clock of all that keeps objects and writes down what became of them."""
    for package in (gateway.replication, gateway.state, gateway.routing, gateway.backends):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations" in found.name or ".backends.s3" in found.name or ".backends.gcs" in found.name:
                continue
            module = importlib.import_module(found.name)
            if getattr(module, "time", None) is time:
                module.time = Time("time")  # type: ignore[attr-defined]
            if getattr(module, "datetime", None) is datetime:
                module.datetime = Datetime  # type: ignore[attr-defined]


if __name__ == "__main__":
    hurry()
    set_wrong()
    main()
