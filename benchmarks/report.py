"""The numbers as tables, for a terminal and for docs/performance.md: one text for both."""

import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from benchmarks.cloud import Measured
from benchmarks.load import Outcome
from benchmarks.processes import Memory
from benchmarks.scenarios import Sample

OURS, UNSYNCED, PEER = "gateway", "gateway, fsync: false", "rclone"
MB = 1e6


@dataclass(frozen=True, slots=True)
class Setting:
    """Under what the numbers were taken."""

    command: str
    load: float  # of the machine, before anything was measured
    versions: Mapping[str, str]
    workers: int
    rounds: int
    peer_checks_payload: bool


@dataclass(slots=True)
class Results:
    """Everything measured; what was not asked for stays empty and is not shown. Inner keys are names of servers."""

    setting: Setting
    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    starts: dict[str, list[float]] = field(default_factory=dict)
    after_start: dict[str, Memory] = field(default_factory=dict)
    after_load: dict[str, Memory] = field(default_factory=dict)
    uploads: dict[str, dict[str, tuple[Outcome, Memory]]] = field(default_factory=dict)
    completes: dict[str, dict[str, Sample]] = field(default_factory=dict)
    first_pages: dict[str, dict[str, float]] = field(default_factory=dict)
    cloud: Measured = field(default_factory=Measured)

    def in_front(self) -> "Results":
        """Return what was measured in front of a storage that speaks S3."""
        return Results(self.setting, self.cloud.samples, uploads=self.cloud.streams)

    def value(self, scenario: str, server: str, of: Callable[[Sample], float]) -> float | None:
        """Return the median of the rounds, None where nothing was measured."""
        rounds = self.samples.get(scenario, {}).get(server)
        return median(of(sample) for sample in rounds) if rounds else None

    def ratio(self, scenario: str, of: Callable[[Sample], float], server: str = OURS) -> float | None:
        """Return how many times the peer's value ours is."""
        ours, theirs = self.value(scenario, server, of), self.value(scenario, PEER, of)
        return ours / theirs if ours and theirs else None


def rate(sample: Sample) -> float:
    return sample.rate


def throughput(sample: Sample) -> float:
    return sample.throughput


def cpu(sample: Sample) -> float:
    return sample.cpu_per_request


def latency(sample: Sample) -> float:
    return sample.latency


def page(results: Results) -> str:
    """Return the whole report as Markdown."""
    sections = [_heading(results.setting), _targets(results), _requests(results), _memory(results), _cloud(results)]
    return "\n".join(section for section in sections if section)


def _heading(setting: Setting) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in setting.versions.items())
    payload = "checked by both" if setting.peer_checks_payload else "checked by the gateway, not by rclone"
    return f"""# Performance

Written by `{setting.command}` on {datetime.now(UTC):%Y-%m-%d}; do not edit.

{os.cpu_count()} cores ({_processor()}), {_memory_total()} GiB, Linux {platform.release()},
Python {platform.python_version()}; {versions}.

The gateway ran with `workers: {setting.workers}`, rclone (`rclone serve s3`) with its defaults; both on the same disk,
asked in turn by the same client over 8 keep-alive connections (listings: 1), medians of {setting.rounds} rounds.
Every request carries a SigV4 signature, which both servers check: a wrong one was refused by both before anything was
measured. A PUT also signs the SHA-256 of its body: {payload}.
The client shares the machine, which had a load of {setting.load:.1f} before, so the ratios say more than the rest.
rclone never syncs a file to the disk; the gateway does before it answers, unless told `fsync: false`: both are shown.
The ratio is the gateway's (as it comes, with fsync) to rclone's.
"""


@dataclass(frozen=True, slots=True)
class _Target:
    what: str
    measured: float | None
    bound: float
    unit: str
    at_most: bool = True

    def row(self) -> str:
        assert self.measured is not None
        met = self.measured <= self.bound if self.at_most else self.measured >= self.bound
        sign = "≤" if self.at_most else "≥"
        verdict = "met" if met else "**missed**"
        return f"| {self.what} | {sign} {self.bound:g} {self.unit} | {self.measured:.4g} {self.unit} | {verdict} |"


def _targets(results: Results) -> str:
    goals = [goal for goal in _goals(results) if goal.measured is not None]
    if not goals:
        return ""
    lines = [
        "## Goals",
        "",
        "| what | goal | measured | |",
        "| --- | --- | --- | --- |",
        *(goal.row() for goal in goals),
    ]
    return "\n".join([*lines, ""])


def _goals(results: Results) -> Iterator[_Target]:
    seconds = results.value("GET 1 KiB", OURS, cpu)
    yield _Target("GET 1 KiB, CPU per request", seconds and seconds * 1e6, 110, "µs")
    yield _Target(
        "GET 1 MiB, throughput to rclone's", results.ratio("GET 1 MiB", throughput), 1.5, "times", at_most=False
    )
    for name in (OURS, UNSYNCED):
        ratio = results.ratio("PUT 1 MiB", throughput, name)
        yield _Target(f"PUT 1 MiB, throughput to rclone's ({name})", ratio, 1.5, "times", at_most=False)
    for scenario in results.samples:
        if scenario.startswith("list"):
            seconds = results.value(scenario, OURS, latency)
            yield _Target(f"{scenario}, after the first page", seconds and seconds * 1e3, 30, "ms")
    for what, measured in results.uploads.items():
        if OURS in measured:
            yield _Target(f"{what}, memory at most", measured[OURS][1].peak / MB, 120, "MB")
    starts = results.starts.get(OURS)
    yield _Target("start to first answer", median(starts) if starts else None, 1.5, "s")
    yield from _cloud_goals(results)


def _requests(results: Results) -> str:
    names = [name for name in (OURS, UNSYNCED, PEER) if any(name in by for by in results.samples.values())]
    head = ["", *names, "ratio"]
    blocks = [
        ("Requests per second", rate, lambda value: f"{value:,.0f}" if value >= 10 else f"{value:.2f}"),
        ("MB per second", throughput, lambda value: f"{value / MB:,.1f}"),
        ("CPU per request, µs", cpu, lambda value: f"{value * 1e6:,.0f}"),
        ("Time per request, ms (median)", latency, lambda value: f"{value * 1e3:,.2f}"),
    ]
    text = []
    for title, of, shown in blocks:
        rows = [_row(results, scenario, names, of, shown) for scenario in results.samples]
        text += [f"## {title}", "", *_table(head, rows), ""]
    return "\n".join([*text, *_errors(results, names)])


def _cloud(results: Results) -> str:
    """Return the part about a storage that speaks S3."""
    if not results.cloud.samples:
        return ""
    front = results.in_front()
    intro = """# In front of S3

The same in front of a storage that speaks S3: a sink on the same machine, which throws away what it is sent, sends
zeros and costs next to nothing, so that all of the cost is the gateway's, or rclone's. Bodies of large objects are not
signed (`UNSIGNED-PAYLOAD`); the gateway still hashes them once, for their ETag. rclone answers a HEAD out of a listing
that it keeps for some minutes; the gateway asks the storage each time.
"""
    return "\n".join([intro, _requests(front), *_streams(front)])


def _streams(front: Results) -> list[str]:
    rows = [
        [what, name, *_held(memory), f"{(outcome.sent + outcome.received) / outcome.seconds / MB:,.0f} MB/s"]
        for what, by_server in front.uploads.items()
        for name, (outcome, memory) in by_server.items()
    ]
    return ["## Memory in front of S3", "", *_table(["", "", "peak, MB", "PSS, MB", "processes", ""], rows), ""]


def _cloud_goals(results: Results) -> Iterator[_Target]:
    front, before = results.in_front(), "in front of S3: "
    for scenario in ("PUT 1 KiB", "GET 1 KiB", "HEAD"):
        seconds = front.value(scenario, OURS, cpu)
        yield _Target(f"{before}{scenario}, CPU per request", seconds and seconds * 1e6, 250, "µs")
    yield _Target(f"{before}GET 1 GiB, CPU", front.value("GET 1 GiB", OURS, cpu), 0.7, "s")
    yield _Target(f"{before}PUT 1 GiB, CPU", front.value("PUT 1 GiB", OURS, cpu), 2.2, "s")
    for scenario in ("PUT 1 KiB", "GET 1 KiB", "HEAD"):
        yield _Target(
            f"{before}{scenario}, requests to rclone's", front.ratio(scenario, rate), 2, "times", at_most=False
        )
    for scenario in ("PUT 1 GiB", "GET 1 GiB"):
        ratio = front.ratio(scenario, throughput)
        yield _Target(f"{before}{scenario}, throughput to rclone's", ratio, 2, "times", at_most=False)
    ours, direct = results.cloud.latency(OURS), results.cloud.latency("sink")
    yield _Target(f"{before}time added to a GET", (ours - direct) * 1e3 if ours and direct else None, 1, "ms")
    for what, measured in front.uploads.items():
        yield _Target(f"{before}{what}, memory at most", measured[OURS][1].peak / MB, 120, "MB")


def _errors(results: Results, names: Sequence[str]) -> list[str]:
    text = []
    for name in names:
        if failed := sum(sample.outcome.errors for by in results.samples.values() for sample in by.get(name, ())):
            text += [f"{name} answered {failed} requests with an error of its own (5xx); they were repeated.", ""]
    return text


def _row(
    results: Results, scenario: str, names: Sequence[str], of: Callable[[Sample], float], shown: Callable[[float], str]
) -> list[str]:
    values = [results.value(scenario, name, of) for name in names]
    ratio = results.ratio(scenario, of)
    cells = ["" if value is None else shown(value) for value in values]
    return [scenario, *cells, "" if ratio is None else f"{ratio:.2f}"]


def _memory(results: Results) -> str:
    rows = []
    for what, of in (("after the start", results.after_start), ("after the requests above", results.after_load)):
        rows += [[what, name, *_held(memory), ""] for name, memory in of.items()]
    for what, by_server in results.uploads.items():
        for name, (outcome, memory) in by_server.items():
            rows.append([what, name, *_held(memory), f"{outcome.sent / outcome.seconds / MB:,.0f} MB/s"])
    text = ["## Memory", "", "Peak: the high-water marks of all processes added up; PSS counts shared pages once.", ""]
    text += [*_table(["", "", "peak, MB", "PSS, MB", "processes", ""], rows), ""]
    return "\n".join(text + _times(results))


def _times(results: Results) -> list[str]:
    rows = [["start to first answer", name, f"{median(starts):.2f}", ""] for name, starts in results.starts.items()]
    for what, pages in results.first_pages.items():
        rows += [[f"{what}, first page", name, f"{seconds:.2f}", ""] for name, seconds in pages.items()]
    for what, by_server in results.completes.items():
        for name, sample in by_server.items():
            rows.append([what, name, f"{sample.outcome.seconds:.2f}", f"{sample.cpu:.2f}"])
    return ["## Other times", "", *_table(["", "", "seconds", "CPU seconds"], rows), ""]


def _held(memory: Memory) -> list[str]:
    return [f"{memory.peak / MB:.0f}", f"{memory.shared / MB:.0f}", str(memory.processes)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows]]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _memory_total() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
