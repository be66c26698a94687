"""What the bookkeeping of replicated buckets costs: `python -m benchmarks.journal [URL of a state store]`."""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from gateway.replication.journal import Journal
from gateway.replication.records import Kind, Outcome, Timing, Vote
from gateway.state import open_store
from gateway.storage import Address, ObjectInfo

CALLERS, TURNS = 32, 100
INFO = ObjectInfo("key", 100, "900150983cd24fb0d6963f7d28e17f72", datetime.now(UTC), {"content-type": "image/png"})


async def put(journal: Journal, at: Address) -> None:
    """What is written down of a PUT to a bucket with a mirror."""
    op = await journal.begin(at, Kind.PUT)
    journal.settle(op, Outcome.APPLIED, INFO)


async def look(journal: Journal, at: Address) -> None:
    await journal.look(at)


async def measure(name: str, journal: Journal, call: Callable[[Journal, Address], Awaitable[None]]) -> None:
    async def caller(number: int) -> None:
        for turn in range(TURNS):
            await call(journal, Address("media", f"{name}/{number}/{turn}"))

    began, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*map(caller, range(CALLERS)))
    await journal.drained()
    count = CALLERS * TURNS
    rate, each = count / (time.perf_counter() - began), (time.process_time() - used) / count
    print(f"{name}: {rate:.0f}/s with {CALLERS} callers, {each * 1e6:.0f} µs CPU each")


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_store(sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{folder}/state.db") as store:
            journal = Journal(store, "media", "benchmark", ["copy"], Timing(), fallback="disk")
            await journal.beat(Vote(), automatic=False)
            await measure("warming up", journal, put)
            await measure("PUT", journal, put)
            await measure("look", journal, look)


if __name__ == "__main__":
    asyncio.run(main())
