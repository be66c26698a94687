"""The hasty gateway, which dies at one point of its work when it is told to: `python dying.py serve --config …`.

GATEWAY_DIES names the point, as `module:Class.method before` or `… after`; it dies there once GATEWAY_DIES_IF is there.
"""

import importlib
import inspect
import os
import signal
from pathlib import Path
from typing import Any

from hasty import hurry

from gateway.cli import main


def prepare() -> None:
    point, when = os.environ["GATEWAY_DIES"].split()
    module, _, name = point.partition(":")
    owner, _, method = name.partition(".")
    cls = getattr(importlib.import_module(module), owner)
    inner = getattr(cls, method)

    def die_if_told(at: str) -> None:
        if at == when and Path(os.environ["GATEWAY_DIES_IF"]).exists():
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

    setattr(cls, method, awaited if inspect.iscoroutinefunction(inner) else called)


if __name__ == "__main__":
    hurry()
    prepare()
    main()
