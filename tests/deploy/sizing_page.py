"""Write docs/sizing.md from what docs/performance.md measured: `python -m tests.deploy.sizing_page`."""

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "sizing.md"
REQUESTS = ("GET 1 KiB", "HEAD", "GET 1 MiB", "PUT 1 KiB", "PUT 1 MiB", "list 1000 of 100,000 keys")

TEXT = """\
# Sizing

Written by `make docs` from [what was measured](performance.md); do not edit. That was on one machine, which the
client shared, on a local disk; yours differs, and `make bench` measures it.

**Processors.** Of one worker:

| request | CPU, µs | so on one core, a second |
| --- | --- | --- |
{requests}

Writes are synced to the disk before they are acknowledged. A worker is a process with one event loop, and hashes on
threads beside it. `workers: auto` takes all processors of a machine; in containers rather more replicas than more
workers, where [the backends allow it](deployment.md#replicas).

**Memory.** {start} MB after the start, {peak} MB at the peak of 20 parallel uploads of 64 MiB, for one worker. It
depends on how many bodies are under way and not on how large they are, and all of them together take no more than
[`limits.memory`](configuration.md#bodies-and-memory), half of what there is unless it says otherwise: beside it, leave
150 MB for each worker, 100 MB for [the process that makes variants](images.md#a-process-of-its-own) beside them, and
what `images.memory` says for each process that decodes images.

**Disk.** As much as the objects, and beside it the parts of uploads that are not completed. A
CompleteMultipartUpload of 64 parts of 16 MiB took {completion} s. Small objects are written as fast as the disk
syncs: {synced} PUTs of 1 KiB a second, {unsynced} with `fsync: off`.

**Network.** What clients send to a bucket on another storage goes out again, and the other way round: a gateway
there needs the line twice.

**Connections.** 10,000 for each worker unless [`limits.connections`](configuration.md#limits) says otherwise, and
no more than half of the descriptors that a process may have.
"""


def page() -> str:
    """Return what the page has to say."""
    measured = (DOCS / "performance.md").read_text()
    rates, memory = _section(measured, "Requests per second"), _section(measured, "Memory")
    synced, unsynced = re.findall(r"[\d,]+", _row(rates, "PUT 1 KiB"))[:2]
    return TEXT.format(
        requests="\n".join(_request(name, _section(measured, "CPU per request, µs")) for name in REQUESTS),
        start=_row(memory, "after the start | gateway").partition(" ")[0],
        peak=_row(memory, "20 parallel uploads of 64 MiB | gateway").partition(" ")[0],
        completion=_row(measured, "CompleteMultipartUpload of 64 parts of 16 MiB | gateway").partition(" ")[0],
        synced=synced,
        unsynced=unsynced,
    )


def _request(name: str, section: str) -> str:
    micros = _row(section, name).partition(" ")[0]
    return f"| {name} | {micros} | {1_000_000 / float(micros.replace(',', '')):,.0f} |"


def _section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def _row(text: str, name: str) -> str:
    """Return what stands behind a name in a table."""
    [found] = re.findall(rf"^\| {re.escape(name)} \| (.*) \|$", text, re.MULTILINE)
    return str(found)


if __name__ == "__main__":
    PAGE.write_text(page())
