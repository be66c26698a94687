"""What a server costs: CPU and memory of it and of all its descendants, from the kernel's books."""

from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. `peak` adds up the high-water marks of the processes, `shared` counts what they share only once (PSS)."""

    peak: int
    shared: int
    processes: int


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of a process tree, those that have ended included."""
    total = 0.0
    for process in _tree(pid):
        times = process.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


def memory(pid: int) -> Memory:
    """Return what a process tree holds, and held at most since the last `forget_peak`."""
    tree = _tree(pid)
    return Memory(
        peak=sum(_kilobytes(process.pid, "status", "VmHWM") for process in tree) * 1024,
        shared=sum(_kilobytes(process.pid, "smaps_rollup", "Pss") for process in tree) * 1024,
        processes=len(tree),
    )


def forget_peak(pid: int) -> None:
    """Let the high-water marks begin again from what is held now."""
    for process in _tree(pid):
        Path(f"/proc/{process.pid}/clear_refs").write_text("5", encoding="ascii")


def _tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def _kilobytes(pid: int, file: str, name: str) -> int:
    for line in Path(f"/proc/{pid}/{file}").read_text(encoding="ascii").splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    return 0
