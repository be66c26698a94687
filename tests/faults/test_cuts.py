"""The connection to a storage is cut at any byte: nothing short looks complete, nothing half is stored or kept."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from gateway.backends.gcs import client, open_gcs, resumable
from gateway.backends.memory import Memory
from gateway.backends.s3.backend import open_s3
from gateway.routing.wrapper import Wrapper
from gateway.storage import PIECE, SMALL, Address, Backend
from tests.backends.given import MIB, body, keys, read, some
from tests.doubles.gcs import Gcs
from tests.faults.proxy import Fault, Proxy, proxied
from tests.server.harness import ACCESS_KEY, SECRET_KEY, Reply, Site, receive, serving

CUTS = int(os.environ.get("FAULT_CUTS", "150"))  # of GETs, and as many of PUTs
SIZES = (0, 1, 1000, SMALL, SMALL + 1, PIECE, PIECE + 1, MIB)
HEADS = 700  # bytes: about what stands before a body
BUCKET = "open"


@dataclass(frozen=True)
class Afar:
    """A storage behind a proxy, and what it really holds."""

    storage: Backend
    proxy: Proxy
    held: Callable[[], Awaitable[Mapping[str, bytes]]]


class There(Wrapper):
    """Has the bucket already that whoever serves it wants to make."""

    async def create_bucket(self, bucket: str, labels: Mapping[str, str]) -> None:
        pass


@asynccontextmanager
async def s3_afar() -> AsyncIterator[Afar]:
    memory = Memory()

    async def held() -> Mapping[str, bytes]:
        return {key: await read(memory, Address(BUCKET, key)) for key in await keys(memory, BUCKET)}

    account = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "dialect": "aws", "addressing": "path"}
    async with (
        serving(memory) as site,
        proxied(site.port) as proxy,
        open_s3("afar", endpoint=proxy.url, **account) as storage,
    ):
        yield Afar(storage, proxy, held)


@asynccontextmanager
async def gcs_afar() -> AsyncIterator[Afar]:
    async def held() -> Mapping[str, bytes]:
        return {name: blob.data for name, blob in fake.buckets[BUCKET].blobs.items()}

    async with (
        Gcs().running() as fake,
        proxied(int(fake.url.rpartition(":")[2])) as proxy,
        open_gcs("afar", project="acme", endpoint=proxy.url) as storage,
    ):
        await storage.create_bucket(BUCKET, {})
        yield Afar(storage, proxy, held)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    for module in (client, resumable):
        monkeypatch.setattr(module, "PAUSES", (0.001, 0.002))
    monkeypatch.setattr("gateway.backends.s3.client.PAUSE", 0.001)


@pytest.fixture(autouse=True)
async def nothing_is_left():
    sockets = _sockets()
    yield
    for _ in range(200):
        if _sockets() <= sockets and not _tasks():
            break
        await asyncio.sleep(0.01)
    gc.collect()  # what was never awaited or closed warns, which fails the test
    assert not _tasks()
    assert _sockets() <= sockets


def _tasks() -> set[asyncio.Task[object]]:
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


def _sockets() -> int:
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found += str(link.readlink()).startswith("socket:")
    return found


async def ask(site: Site, method: str, key: str, data: bytes = b"") -> Reply | None:
    """Return an answer, None for one that is cut off."""
    reader, writer = await site.connect()
    try:
        writer.write(site.signed(method, f"/{BUCKET}/{key}", {"Content-Length": str(len(data))}) + data)
        return await receive(reader)
    except (asyncio.IncompleteReadError, OSError):
        return None
    finally:
        site.clients.remove(writer)
        writer.close()


@pytest.mark.parametrize("afar", [s3_afar, gcs_afar])
async def test_a_get_that_is_cut_at_any_byte_never_looks_complete(afar):
    random, broken = Random(1), 0
    async with afar() as there, serving(There(there.storage)) as site:
        for size in SIZES:
            await there.storage.put(Address(BUCKET, str(size)), body(some(size)))
        for _ in range(CUTS):
            size = random.choice(SIZES)
            there.proxy.fault = Fault(answer=random.randrange(size + HEADS), reset=random.random() < 0.5)
            reply = await ask(site, "GET", str(size))
            broken += reply is None
            assert reply is None or reply.status in {200, 503}
            assert reply is None or reply.status != 200 or reply.body == some(size)
            assert there.proxy.connections <= 2
        there.proxy.fault = Fault()
        for size in SIZES:
            reply = await ask(site, "GET", str(size))
            assert reply
            assert reply.body == some(size)
    assert broken > CUTS // 10


@pytest.mark.parametrize("afar", [s3_afar, gcs_afar])
@pytest.mark.parametrize("direction", ["request", "answer"])
async def test_a_put_that_is_cut_at_any_byte_stores_all_or_nothing(afar, direction):
    random, refused = Random(2), 0
    old, new = b"old", b""
    async with afar() as there, serving(There(there.storage)) as site:
        await there.storage.put(Address(BUCKET, "key"), body(old))
        for number in range(CUTS // 2):
            new = some(random.choice(SIZES), number)
            cut = random.randrange(len(new) + HEADS) if direction == "request" else random.randrange(HEADS)
            there.proxy.fault = Fault(reset=random.random() < 0.5, **{direction: cut})
            reply = await ask(site, "PUT", "key", new)
            assert reply
            assert reply.status in {200, 500, 503}
            refused += reply.status != 200
            held = await there.held()
            assert held == {"key": new} or (reply.status != 200 and held == {"key": old})
            old = held["key"]
            assert there.proxy.connections <= 2
        there.proxy.fault = Fault()
        assert (await ask(site, "GET", "key")).body == old
    assert refused > CUTS // 10
