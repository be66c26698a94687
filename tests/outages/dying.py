"""The hasty gateway, which dies at a point of its work when it is told to: `python dying.py serve --config …`.

GATEWAY_DIES names a file. It says at which of `POINTS`, and how often that is passed before; when the gateway has died
there, the file is gone, and another gateway starts at once: it is forked, so nothing has to be loaded again.
"""

import importlib
import inspect
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hasty import hurry
from points import POINTS

from gateway import app
from gateway.cli import main

assert app  # all is loaded now

ORDER = Path(os.environ["GATEWAY_DIES"])


def prepare() -> None:
    for point in sorted({point.split()[0] for point in POINTS}):
        module, _, name = point.partition(":")
        *owners, function = name.split(".")
        owner = importlib.import_module(module)
        for each in owners:
            owner = getattr(owner, each)
        setattr(owner, function, _mortal(point, getattr(owner, function)))


def _mortal(point: str, inner: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that dies where it is told to."""
    passed = dict.fromkeys(("before", "after"), 0)

    def die_if_told(when: str) -> None:
        if not ORDER.exists():
            return
        told, times = ORDER.read_text().rsplit(maxsplit=1)
        if told == f"{point} {when}":
            passed[when] += 1
            if passed[when] > int(times):
                os.kill(os.getpid(), signal.SIGKILL)

    async def awaited(*args: Any, **kwargs: Any) -> Any:
        die_if_told("before")
        result = await inner(*args, **kwargs)
        die_if_told("after")
        return result

    def called(*args: Any, **kwargs: Any) -> Any:
        die_if_told("before")
        result = inner(*args, **kwargs)
        die_if_told("after")
        return result

    return awaited if inspect.iscoroutinefunction(inner) else called


def live_again() -> None:
    """Return in a process that is to be the gateway, and in another one whenever that has died as it was told to."""
    while child := os.fork():
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status != -signal.SIGKILL:
            sys.exit(status)
        ORDER.unlink()


if __name__ == "__main__":
    hurry()
    prepare()
    live_again()
    main()
