"""What the machine, or the container, gives this process."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

CGROUPS: Final = Path("/sys/fs/cgroup")
OWN: Final = Path("/proc/self/cgroup")


def available_memory(cgroups: Path = CGROUPS, own: Path = OWN) -> int:
    """Return how many bytes of memory this process may take: those of the machine, or those of its container.

    https://docs.kernel.org/admin-guide/cgroup-v2.html
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_limits(cgroups, own)])


def _limits(cgroups: Path, own: Path) -> Iterator[int]:
    """Yield the limits of the groups that this process is in, which hold for all that are within them."""
    try:
        lines = own.read_text().splitlines()
    except OSError:  # not on Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in {"", "memory"}:
            root, name = (cgroups / "memory", "memory.limit_in_bytes") if controllers else (cgroups, "memory.max")
            group = root / path.lstrip("/")
            for folder in [group, *group.parents]:
                yield from _limit(folder / name)
                if folder == root:
                    break


def _limit(file: Path) -> Iterator[int]:
    try:
        text = file.read_text().strip()
    except OSError:  # a container sees its own group as the root, and the path of the machine leads nowhere
        return
    if text.isdecimal():
        yield int(text)
