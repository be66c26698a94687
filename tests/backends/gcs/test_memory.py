"""Bodies of any length pass at constant memory."""

import asyncio
import sys

import psutil
import pytest

from gateway.backends.gcs import open_gcs
from gateway.storage import Address, Body
from tests.backends.given import MIB

SIZE = 200 * MIB
MORE = 24 * MIB  # what a stream may need: some pieces, and what the machine keeps of them


@pytest.fixture
async def far():
    """The double in a process of its own, so that what it keeps is not counted."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.doubles.gcs", stdout=asyncio.subprocess.PIPE
    )
    url = (await process.stdout.readline()).decode().strip()
    async with open_gcs("gcs", project="acme", endpoint=url) as storage:
        await storage.create_bucket("bucket", {})
        yield storage
    process.terminate()
    await process.wait()


class Watch:
    def __init__(self):
        self.process = psutil.Process()
        self.begun = self.most = self.process.memory_info().rss

    async def sent(self, size):
        piece = bytes(MIB)
        for _ in range(size // MIB):
            self.look()
            yield piece

    def look(self):
        self.most = max(self.most, self.process.memory_info().rss)


@pytest.mark.slow
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
async def test_a_long_stream_needs_no_more_memory_than_a_short_one(far, known):
    at = Address("bucket", "key")
    await far.put(at, Body(Watch().sent(8 * MIB), 8 * MIB if known else None))
    watch = Watch()
    assert (await far.put(at, Body(watch.sent(SIZE), SIZE if known else None))).size == SIZE
    received = 0
    async with far.get(at) as download:
        async for chunk in download.content:
            received += len(chunk)
            watch.look()
    assert received == SIZE
    assert watch.most - watch.begun < MORE
