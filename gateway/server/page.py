"""What /status tells, for people: one page without anything that has to be loaded, taken anew by itself."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
STYLE: Final = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; --dim: #7a7a7a; --line: #8884; }
body { max-width: 74rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
p { margin: .2rem 0; color: var(--dim); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 500; color: var(--dim); }
th, td { padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td:not(.prose) { white-space: nowrap; }
b { font-weight: 600; padding: .1rem .5rem; border-radius: 1rem; color: #fff; background: #6b7280; }
b.good { background: #15803d; } b.fair { background: #b45309; } b.bad { background: #b91c1c; }
"""
GOOD: Final = {"ready", "reachable", "NORMAL", "answers", "complete"}
BAD: Final = {"not ready", "unreachable", "FAILOVER", "RECONCILE", "does not answer"}
STEP: Final = 1024
MINUTE: Final = 60

Cell = str | tuple[str]  # text, or in a tuple what is HTML already
PROSE: Final = 40  # characters from which on text may take several lines


def page(status: Mapping[str, Any]) -> str:
    """Return the page."""
    ready = "ready" if status["ready"] else "not ready"
    replicated = {name: one for name, one in status["buckets"].items() if "mode" in one or "database" in one}
    workers, loaded = ", ".join(status["workers"]), _time(str(status["config"]["loaded"]))
    about = f"{status['version']} · workers: {workers} · configuration of {loaded} · now {_time(status['time'])}"
    parts = [
        f"<h1>S3 Gateway {_badge(ready)[0]} {_badge('degraded')[0] if status['degraded'] else ''}</h1>",
        f"<p>{escape(about)}</p>",
        _table("Backends", BACKEND, map(_backend, *_columns(status["backends"]))),
    ]
    if replicated:
        parts.append(_table("Fallback and mirrors", ROUTE, map(_route, *_columns(replicated))))
        mirrors = [
            _mirror(name, target, mirror)
            for name, one in replicated.items()
            for target, mirror in one.get("mirrors", {}).items()
        ]
        parts.append(_table("Mirrors", MIRROR, mirrors) if mirrors else "")
    others = {name: one for name, one in status["buckets"].items() if name not in replicated}
    if others:
        parts.append(_table("Other buckets", ("", "backend", ""), map(_bucket, *_columns(others))))
    body = "\n".join(parts)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="10">'
        f"<title>S3 Gateway: {ready}</title><style>{STYLE}</style><body>{body}</body></html>\n"
    )


BACKEND: Final = ("", "", "type", "breakers open", "calls in flight")
ROUTE: Final = ("", "", "since", "because", "primary", "fallback", "primary lacks", "for", "database")
NOTHING: Final = {"objects": 0, "deletions": 0, "buckets": 0, "bytes": 0, "oldest_seconds": 0}
MIRROR: Final = ("", "mirror", "baseline", "lacks", "bytes", "behind", "given up", "")


def _columns(rows: Mapping[str, Any]) -> tuple[Iterable[str], Iterable[Any]]:
    return rows.keys(), rows.values()


def _backend(name: str, one: Mapping[str, Any]) -> Sequence[Cell]:
    breakers = ", ".join(f"{calls} {count}" for calls, count in one["breakers_open"].items() if count) or "none"
    return name, _badge(one["reach"]), one["type"], breakers, str(one["calls_in_flight"])


def _route(name: str, one: Mapping[str, Any]) -> Sequence[Cell]:
    unhealed = one.get("unhealed", NOTHING)
    lacks = f"{unhealed['objects']} objects ({_size(unhealed['bytes'])}), {unhealed['deletions']} deletions"
    if unhealed["buckets"]:
        lacks += f", {unhealed['buckets']} buckets"
    no_key = not (unhealed["objects"] or unhealed["deletions"])
    nothing = no_key and not unhealed["buckets"]
    reason = f"{one.get('reason', '')}{', until told otherwise' if one.get('by_order') else ''}"
    return (
        *(name, _badge(one.get("mode", "unknown")), _time(one.get("since") or "ever"), reason),
        *(one["backend"], one.get("fallback", "none"), "nothing" if nothing else lacks),
        "" if no_key else _duration(unhealed["oldest_seconds"]),
        _badge(one["database"]),
    )


def _mirror(name: str, target: str, one: Mapping[str, Any]) -> Sequence[Cell]:
    notes = (
        "paused" if one["paused"] else "",
        "deletes wait for an order" if one["deletes_braked"] else "",
        "lacks more than is counted" if one["overflowed"] else "",
    )
    behind = _duration(one["behind_seconds"]) if one["pending"] else "no"
    return (
        *(name, target, _badge(one["baseline"]), str(one["pending"]), _size(one["bytes"]), behind),
        *(str(one["given_up"]), ", ".join(filter(None, notes))),
    )


def _bucket(name: str, one: Mapping[str, Any]) -> Sequence[Cell]:
    return name, one["backend"], "read-only" if one.get("read_only") else ""


def _table(title: str, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    head = "".join(f"<th>{escape(cell)}" for cell in header)
    lines = "".join("<tr>" + "".join(map(_cell, row)) for row in rows)
    return f"<h2>{escape(title)}</h2><table><tr>{head}{lines}</table>"


def _cell(cell: Cell) -> str:
    if isinstance(cell, tuple):
        return f"<td>{cell[0]}"
    return f"<td class=prose>{escape(cell)}" if len(cell) > PROSE else f"<td>{escape(cell)}"


def _badge(word: str) -> tuple[str]:
    kind = "good" if word in GOOD else "bad" if word in BAD else "fair"
    return (f'<b class="{kind}">{escape(word)}</b>',)


def _time(moment: str) -> str:
    return moment.replace("T", " ").replace("Z", " UTC")


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < STEP:
            return f"{count:.0f} {unit}"
        count /= STEP
    return f"{count:.1f} TiB"


def _duration(seconds: float) -> str:
    minutes, left = divmod(round(seconds), MINUTE)
    hours, minutes = divmod(minutes, MINUTE)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {left} s" if minutes else f"{left} s"
