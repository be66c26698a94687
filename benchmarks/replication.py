"""Measure what fallback and mirrors cost, and how fast an outage is healed: `make bench-replication`."""

import argparse
import asyncio
import os
import platform
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog
import uvloop

from gateway.backends.local import open_local
from gateway.backends.memory import Memory
from gateway.replication.healer import Healer
from gateway.replication.journal import Journal
from gateway.replication.member import Member
from gateway.replication.records import Kind, Mode, Outcome, Timing, Vote
from gateway.routing.replicated import Replicated, Storages
from gateway.state import Store, open_store
from gateway.storage import Address, Backend, Body, ObjectInfo

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "replication-performance.md"
BUCKET: Final = "media"
CALLERS, TURNS = 32, 150
AT_ONCE: Final = 64  # writes during the outage that is healed
ROUNDS: Final = 3
BODY: Final = bytes(1024)
INFO: Final = ObjectInfo(
    "key", 1024, "0f343b0931126a20f133d67c2b018a3b", datetime.now(UTC), {"content-type": "image/png"}
)
TIMING: Final = Timing(lease=3600.0, node_lease=3600.0, hold=0.0)
WITHOUT_LEASES: Final = replace(TIMING, lease=0.0, drift=0.0)  # a change of mode waits for no lease


@dataclass(frozen=True)
class Measure:
    """One number, and what it is to be."""

    what: str
    measured: float
    goal: float
    unit: str
    at_most: bool = True

    @property
    def row(self) -> str:
        is_met = self.measured <= self.goal if self.at_most else self.measured >= self.goal
        sign, verdict = "≤" if self.at_most else "≥", "" if is_met else " (missed)"
        told = f"{self.measured:,.0f}" if self.measured >= 100 else f"{self.measured:.2g}"
        return f"| {self.what} | {told} {self.unit} | {sign} {self.goal:,g} {self.unit}{verdict} |"


@dataclass(frozen=True)
class Cost:
    """What one of many calls took, in seconds."""

    cpu: float
    wall: float


class Nodes:
    """Makes routes of one state store, each with a name of its own."""

    def __init__(self, store: Store) -> None:
        self._store, self._made = store, 0

    async def journal(self, targets: Sequence[str] = (), timing: Timing = TIMING) -> Journal:
        self._made += 1
        journal = Journal(self._store, f"route {self._made}", "benchmark", targets, timing, fallback="fallback")
        await journal.beat(Vote(), automatic=False)
        return journal

    async def storage(self, storages: Storages, timing: Timing = TIMING) -> Replicated:
        journal = await self.journal(list(storages.mirrors), timing)
        member = Member(journal, Vote, timing, automatic=False)
        await member.beat()
        return Replicated(journal.route, storages, journal, member, timing)


def body() -> Body:
    async def pieces() -> AsyncIterator[bytes]:
        yield BODY

    return Body(pieces(), len(BODY))


async def cost_of(call: Callable[[str], Awaitable[object]], done: Callable[[], Awaitable[None]] | None = None) -> Cost:
    """Call from many callers at once, the last of several rounds counts least: the best one is returned."""
    costs = []
    for turn in range(ROUNDS):

        async def caller(number: int, turn: int = turn) -> None:
            for index in range(TURNS):
                await call(f"{turn}/{number}/{index}")

        began, used = time.perf_counter(), time.process_time()
        await asyncio.gather(*map(caller, range(CALLERS)))
        if done:
            await done()
        count = CALLERS * TURNS
        costs.append(Cost((time.process_time() - used) / count, (time.perf_counter() - began) / count))
    return min(costs, key=lambda cost: cost.cpu)


async def memory(name: str) -> Memory:
    storage = Memory(name)
    await storage.create_bucket(BUCKET, {})
    return storage


async def puts(nodes: Nodes) -> Measure:
    """Return the CPU that a mirror costs the request of a PUT; the copying comes later, and is not in it."""
    plain = await memory("primary")
    mirrored = await nodes.storage(Storages(await memory("primary"), mirrors={"mirror": await memory("mirror")}))

    def put(storage: Backend) -> Callable[[str], Awaitable[object]]:
        return lambda key: storage.put(Address(BUCKET, key), body())

    with_mirror = await cost_of(put(mirrored), mirrored.journal.drained)
    more = with_mirror.cpu - (await cost_of(put(plain))).cpu
    return Measure("CPU of a PUT with a mirror, more than of one without", more * 1e3, 0.4, "ms")


async def bookkeeping(nodes: Nodes) -> Sequence[Measure]:
    """Return how many PUTs the journal takes, and what CPU one of them takes."""
    journal = await nodes.journal(["mirror"])

    async def put(key: str) -> None:
        op = await journal.begin(Address(BUCKET, key), Kind.PUT)
        journal.settle(op, Outcome.APPLIED, INFO)

    cost = await cost_of(put, journal.drained)
    what = f"PUTs with a mirror that the database takes from {CALLERS} clients"
    return [
        Measure(what, 1 / cost.wall, 3000, "/s", at_most=False),
        Measure("CPU of writing down one of them", cost.cpu * 1e3, 0.4, "ms"),
    ]


async def gets(nodes: Nodes) -> Measure:
    """Return the CPU that a fallback costs a GET while all is well."""
    plain = await memory("primary")
    await plain.put(Address(BUCKET, "key"), body())
    backed = await nodes.storage(Storages(plain, await memory("fallback")))

    def get(storage: Backend) -> Callable[[str], Awaitable[None]]:
        async def read(_: str) -> None:
            async with storage.get(Address(BUCKET, "key")):
                pass

        return read

    more = (await cost_of(get(backed))).cpu - (await cost_of(get(plain))).cpu
    return Measure("CPU of a GET with a fallback, more than of one without", more * 1e6, 60, "µs")


async def heals(nodes: Nodes, folder: Path, keys: int) -> Sequence[Measure]:
    """Return how fast what was written in an outage is brought back, from disk to disk, and what CPU that takes."""
    async with AsyncExitStack() as opened:
        places = []
        for name in ("primary", "fallback"):
            (folder / name / BUCKET).mkdir(parents=True)
            places.append(await opened.enter_async_context(open_local(name, folder / name)))
        primary, fallback = places
        storage = await nodes.storage(Storages(primary, fallback), WITHOUT_LEASES)
        journal = storage.journal
        await journal.turn(Mode.FAILOVER, "benchmark")
        await write_in_outage(storage, keys)
        await journal.turn(Mode.HEALING, "benchmark")
        began, used = time.perf_counter(), time.process_time()
        healing = asyncio.create_task(Healer(journal, primary, fallback, WITHOUT_LEASES).run())
        while await journal.rows(BUCKET, limit=1):  # noqa: ASYNC110  nobody tells when all is healed
            await asyncio.sleep(0.1)
        rate, cpu = keys / (time.perf_counter() - began), (time.process_time() - used) / keys
        healing.cancel()
        await asyncio.wait([healing])
    got = f"with {rate * cpu:.1f} of the {os.cpu_count()} cores"
    return [
        Measure(f"keys of 1 KiB healed from disk to disk, of {keys:,}, {got}", rate, 500, "/s", at_most=False),
        Measure("CPU of healing one of them", cpu * 1e3, 2, "ms"),
    ]


async def write_in_outage(storage: Replicated, keys: int) -> None:
    """Write keys to the fallback, which holds their newest state then."""
    names = iter(range(keys))

    async def write() -> None:
        for number in names:
            await storage.put(Address(BUCKET, f"{number % 100}/{number}"), body())

    await asyncio.gather(*(write() for _ in range(AT_ONCE)))


async def page(keys: int, state: str | None) -> str:
    """Measure all of it, and return the page that tells."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        async with open_store(state or f"sqlite:///{folder}/state.db") as store:
            nodes = Nodes(store)
            measured = [await puts(nodes), *await bookkeeping(nodes), await gets(nodes)]
            measured += await heals(nodes, Path(folder), keys)
    about = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    database = "PostgreSQL" if (state or "").startswith("postgresql") else "SQLite, every commit on disk"
    return TOP.format(about=about, database=database, load=load, rows="\n".join(each.row for each in measured))


TOP: Final = """\
# What fallback and mirrors cost

Written by `make bench-replication`, and measured only: {about}; the database is {database}.
The load of the machine was {load:.1f} when it began: what others do meanwhile makes all numbers worse, those of CPU
least.

The storages of the first four cost nothing, so what is left is what [fallback and mirrors](replication.md) add. The
last two are of the healing after an outage, by one process: the fallback and the primary are folders of one disk, which
syncs each object.

| what | measured | wanted |
| --- | --: | --: |
{rows}
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-replication", description=__doc__)
    parser.add_argument("--keys", type=int, default=20_000, help="to be healed")
    parser.add_argument("--state", help="URL of a state store")
    parser.add_argument("--quick", action="store_true", help="to see that it works; writes no page")
    asked = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    text = uvloop.run(page(100 if asked.quick else asked.keys, asked.state))
    print(text)
    if not asked.quick:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
