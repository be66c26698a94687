"""A configuration that follows its file: taken anew when that changes, whole or not at all."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from gateway.config.fixed import differences
from gateway.config.load import ConfigError, load
from gateway.config.models import Config, KeyFile
from gateway.config.read import files_of
from gateway.server.relay import APPLIED, FIXED, INVALID, note_reload

_Seen = tuple[tuple[int, int, int, int] | None, ...]

log = structlog.get_logger()


class Follow:
    """Looks at a file, at those that its values come from, and knows the last configuration that could be taken.

    `taken` is called with each new one.
    """

    def __init__(self, path: Path, config: Config, taken: Callable[[Config], None] = lambda _: None) -> None:
        self.current = config
        self._path, self._taken = path.absolute(), taken
        self._judged = self._last = self._look()

    def look(self, *, asked: bool = False) -> bool:
        """Look at the files, and say whether `current` is to be taken: it is another one, or somebody has `asked`.

        What changes is left to itself until it was the same twice: an editor may be writing it.
        """
        seen = self._look()
        settled, self._last = seen == self._last, seen
        if not asked and (seen == self._judged or not settled):
            return False
        self._judged = seen
        config, problems = _loaded(self._path)
        if config is None:
            return _refuse(INVALID, problems)
        if fixed := differences(self.current, config):
            return _refuse(FIXED, [f"{self._path}: {key}: cannot be changed without a restart" for key in fixed])
        self.current = config
        self._taken(config)
        note_reload(APPLIED)
        return True

    def _look(self) -> _Seen:
        """Return what tells a file from another one, of all files; where links lead elsewhere, it is another."""
        return tuple(_seen(file) for file in [self._path, *_files(self._path, self.current)])


def _loaded(path: Path) -> tuple[Config | None, Sequence[str]]:
    try:
        return load(path), ()
    except ConfigError as error:
        return None, str(error).splitlines()


def _refuse(result: str, problems: Sequence[str]) -> bool:
    for problem in problems:
        log.error("config_refused", problem=problem)
    note_reload(result)
    return False


def _files(path: Path, config: Config) -> list[Path]:
    """Return the files that the file takes values from."""
    try:
        named = files_of(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        named = []
    return [*named, *([config.keys.file] if isinstance(config.keys, KeyFile) else [])]


def _seen(file: Path) -> tuple[int, int, int, int] | None:
    try:
        stat = os.stat(file)  # noqa: PTH116  a path of many links is looked at every second or two
    except OSError:
        return None
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
