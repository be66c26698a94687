import re
from pathlib import Path

from gateway.config.keys import all_keys
from gateway.config.units import Endpoint

PAGE = (Path(__file__).parent.parent / "docs" / "configuration.md").read_text()
ROWS = dict(re.findall(r"^\| `([^`]+)` \|[^|]*\|([^|]*)\|", PAGE, re.MULTILINE))


def written(names):
    return ".".join(names).replace("keys.*", "keys[]")


def test_every_key_is_in_the_documentation():
    assert {written(names) for names, _ in all_keys()} == set(ROWS)


def test_the_documentation_gives_the_defaults_that_hold():
    checked = 0
    for names, info in all_keys():
        told = re.fullmatch(r"`([^`]*)`", ROWS[written(names)].strip())
        if told is None or not isinstance(info.default, (str, int, float, Endpoint)):
            continue
        assert told[1] in spellings(info.default), names
        checked += 1
    assert checked > 15


def spellings(value):
    """Return how a default may be written."""
    if isinstance(value, bool):
        return {"on" if value else "off"}
    if isinstance(value, float):
        return {f"{value:g}", f"{value:g}s", f"{value / 86400:g}d"}
    if isinstance(value, int):
        return {
            str(value),
            f"{value // 1024}KiB",
            f"{value // 1024**2}MiB",
            f"{value // 10**6}MB",
            f"{value // 10**6}MP",
        }
    return {str(value)}
