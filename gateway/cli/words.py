"""How numbers, durations, keys and tables are shown in a terminal."""

from collections.abc import Iterator, Sequence
from typing import Final

_UNITS: Final = ("d", 86400), ("h", 3600), ("min", 60)
_STEP: Final = 1024


def duration(seconds: float) -> str:
    """Return 42 s, 3 min, 2 h 5 min, 1 d 4 h."""
    left = round(seconds)
    for index, (unit, length) in enumerate(_UNITS):
        if left >= length:
            whole = f"{left // length} {unit}"
            if index + 1 == len(_UNITS):
                return whole
            smaller, its_length = _UNITS[index + 1]
            rest = left % length // its_length
            return f"{whole} {rest} {smaller}" if rest else whole
    return f"{left} s"


def size(count: float) -> str:
    """Return 0 B, 512 B, 1.5 KiB, 3.0 GiB."""
    if count < _STEP:
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        count /= _STEP
        if count < _STEP:
            return f"{count:.1f} {unit}"
    return f"{count / _STEP:.1f} PiB"


def amount(count: int, noun: str) -> str:
    """Return 1 key, 2 keys."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def printable(key: str) -> str:
    """Return a key in which nothing moves the cursor or begins a line."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in key)


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows as lines whose cells stand below each other."""
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*shown, strict=True)]
    for row in shown:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
