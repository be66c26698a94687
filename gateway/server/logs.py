"""The log: one line per event, on standard error, made so that nothing a client sends can begin another line.

Each begins with time, level and event.
"""

import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Final, Literal

import structlog
from structlog.typing import EventDict, Processor

Format = Literal["auto", "console", "json"]
Level = Literal["debug", "info", "warning", "error"]


def configure(form: Format, level: Level, *, audit: bool = True) -> None:
    """Set the log up, for structlog and for the standard library's loggers alike; `auto` is console in a terminal."""
    render = _console if in_console(form) else _json
    _audited[:] = [render] if audit else []
    prepare: list[Processor] = [
        structlog.stdlib.add_log_level,
        _stamp,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*prepare, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,  # the level may change
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render], foreign_pre_chain=prepare
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of each start that there is nothing to do


def tell_audit(**said: object) -> None:
    """Write an event of the audit log, at every level, where there is one."""
    for render in _audited:
        sys.stderr.write(render(None, "", {"timestamp": now(), "level": "info", "event": "audit", **said}) + "\n")


def in_console(form: Format) -> bool:
    """Say whether lines are for people."""
    return form == "console" or (form == "auto" and sys.stderr.isatty())


def now() -> str:
    """Return the time, to the millisecond, of which all but these is made once a second."""
    seconds = time.time()
    whole = int(seconds)
    if _clock[0] != whole:
        _clock[:] = [whole, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))]
    return f"{_clock[1]}.{int((seconds - whole) * 1000):03d}Z"


def plain(value: object) -> str:
    """Return text as it is if it is one plain word, else quoted."""
    text = str(value)
    return text if text and text.isascii() and text.isprintable() and not {" ", '"'} & set(text) else _encode(text)


_encode: Final = json.JSONEncoder(default=str, separators=(",", ":")).encode


_audited: Final[list[Callable[[object, str, EventDict], str]]] = []
_clock: Final[list[int | str]] = [0, ""]


def _stamp(_logger: object, _method: str, event: EventDict) -> EventDict:
    event["timestamp"] = now()
    return event


def _json(_logger: object, _method: str, event: EventDict) -> str:
    first = {"time": event.pop("timestamp"), "level": event.pop("level"), "event": event.pop("event")}
    return _encode({**first, **event})


def _console(_logger: object, _method: str, event: EventDict) -> str:
    """Write an event for people: values that are no plain word are quoted, a traceback follows indented."""
    time, level, name = event.pop("timestamp"), event.pop("level"), event.pop("event")
    trace = event.pop("exception", "")
    line = " ".join([f"{time} {level:<7} {plain(name)}", *[f"{key}={plain(value)}" for key, value in event.items()]])
    return line + "".join([f"\n    {part}" for part in str(trace).splitlines()])
