"""One schedule of a bucket that moves: gateways, clients, copies that come late, and what must hold in the end."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gateway.backends.memory import Memory
from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import NoSuchKey, PreconditionFailed, S3Error
from gateway.migration.copying import Copier
from gateway.migration.tombs import Tombs
from gateway.replication.records import Timing
from gateway.replication.rules import Rules as Numbers
from gateway.replication.scope import Scope
from gateway.routing.lazy import Lazy, Storages
from gateway.storage import Address, WriteOptions
from gateway.transfer import bytes_of
from tests.simulation.faults import LATEST, Faulty, Weather
from tests.simulation.linear import Operation, is_linearizable
from tests.simulation.store import Database, NodeStore
from tests.simulation.virtual import VirtualLoop, simulate
from tests.simulation.world import _body

AT: Final = Address("bucket", "key")
GATEWAYS: Final = 2
CLIENTS: Final = 3
OPERATIONS: Final = 7  # of each client
PATIENCE: Final = 30.0  # seconds a client waits for an answer
KINDS: Final = (("get", 9), ("delete", 5), ("put", 4), ("create", 2), ("swap", 2))


@dataclass
class Rules:
    """The classes a world is made of: the real ones, or others that lack one rule."""

    lazy: type[Lazy] = Lazy
    copier: Callable[[Faulty, Faulty], Copier] = Copier
    tombs: type[Tombs] = Tombs


@dataclass
class World:
    """All there is."""

    loop: VirtualLoop
    seed: int
    rules: Rules
    history: list[Operation] = field(default_factory=lambda: [Operation("put", "old", None, -2, -1, ok=True)])
    acknowledged: int = 0

    def __post_init__(self) -> None:
        self.weather = Weather(self.seed)
        self.database = Database()
        self.new, self.old = Memory("new"), Memory("old")
        self.copies: list[asyncio.Task[None]] = []
        self.gateways = [self._gateway(number) for number in range(GATEWAYS)]

    def _gateway(self, number: int) -> Lazy:
        new, old = (Faulty(memory, self.weather, set(), lambda: None) for memory in (self.new, self.old))
        copier = self.rules.copier(old, new)
        store = NodeStore(self.database, self.weather)
        tombs = self.rules.tombs(store, Scope("route", str(number), (), "", Numbers(Timing())))

        def wanted(at: Address) -> None:
            self.copies.append(self.loop.create_task(self._copy(copier, at)))

        return self.rules.lazy("route", Storages(new, old, wanted), tombs, LATEST + 2)

    async def _copy(self, copier: Copier, at: Address) -> None:
        try:
            await asyncio.sleep(self.weather.dice.uniform(0, 3))
            await copier.copy(at, at)
        except S3Error:
            pass

    async def run(self) -> str:
        """Return "ok" and how many calls were acknowledged, or what went wrong."""
        for memory in (self.new, self.old):
            await memory.create_bucket(AT.bucket, {})
        await self.old.put(AT, _body(b"old", 0))
        clients = [self.loop.create_task(self._client(number)) for number in range(CLIENTS)]
        storms = self.loop.create_task(self._storms())
        await asyncio.gather(*clients)
        storms.cancel()
        self.weather.quiet = True
        self.weather.down.clear()
        await asyncio.sleep(LATEST + 60 + LATEST + 5)
        await asyncio.gather(*self.copies)
        await asyncio.sleep(LATEST + 2)
        for gateway in self.gateways:
            await self._call(gateway, "get", "")
        held = (await self.old.head(AT)).size
        if held != len("old") or not is_linearizable(self.history):
            return f"violation: {self.history}"
        return f"ok {self.acknowledged}"

    async def _storms(self) -> None:
        while True:
            await self.weather.passes(0.1)
            self.weather.down ^= {"old"}

    async def _client(self, number: int) -> None:
        dice = self.weather.dice
        kinds, weights = zip(*KINDS, strict=True)
        for turn in range(OPERATIONS):
            await self.weather.passes(1)
            await self._call(dice.choice(self.gateways), dice.choices(kinds, weights)[0], f"{number}.{turn}")

    async def _call(self, gateway: Lazy, kind: str, value: str) -> None:
        began = self.loop.time()
        expected, etag = await _expected(gateway) if kind == "swap" else (None, "")
        task = self.loop.create_task(_work(gateway, kind, value, etag))
        await asyncio.wait([task], timeout=PATIENCE)
        error = task.exception() if task.done() else None
        if error and not isinstance(error, S3Error):
            raise error
        ok = task.done() and not error
        ended = self.loop.time() if ok else float("inf")
        self.acknowledged += ok
        if kind == "create" and isinstance(error, PreconditionFailed):
            self.history.append(Operation("found", None, None, began, self.loop.time(), ok=True))
        elif kind in {"create", "swap"} and not isinstance(error, (PreconditionFailed, NoSuchKey)):
            self.history.append(Operation(kind, value, expected, began, ended, ok))
        elif kind in {"get", "put", "delete"}:
            result = task.result() if ok else None
            self.history.append(Operation(kind, value if kind == "put" else None, result, began, ended, ok))


async def _work(gateway: Lazy, kind: str, value: str, etag: str) -> str | None:
    conditions = {"create": Conditions(if_none_match=("*",)), "swap": Conditions(if_match=(etag,))}
    if kind == "get":
        return (await _seen(gateway))[0]
    if kind == "delete":
        await gateway.delete(AT)
        return None
    if kind == "swap" and not etag:
        raise PreconditionFailed
    await gateway.put(AT, _body(value.encode(), 0), WriteOptions(conditions=conditions.get(kind, ANY_STATE)))
    return None


async def _expected(gateway: Lazy) -> tuple[str | None, str]:
    try:
        return await _seen(gateway)
    except S3Error:
        return None, ""


async def _seen(gateway: Lazy) -> tuple[str | None, str]:
    try:
        async with gateway.get(AT) as download:
            return (await bytes_of(download)).decode(), download.info.etag
    except NoSuchKey:
        return None, ""


def outcome(seed: int, rules: Rules) -> str:
    """Run one schedule, the same for the same seed."""
    random.seed(seed)

    async def world(loop: VirtualLoop) -> str:
        return await World(loop, seed, rules).run()

    return str(simulate(world))
