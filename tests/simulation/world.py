"""One schedule: nodes, clients and bad luck in virtual time, out of one seed; and what must hold in the end."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Final

import pytest
from sqlalchemy import select

from gateway.backends.memory import Memory
from gateway.errors import NoSuchKey, S3Error
from gateway.replication import records
from gateway.replication.healer import Healer
from gateway.replication.journal import Journal
from gateway.replication.member import Member
from gateway.replication.mirroring import Mirroring
from gateway.replication.records import Baseline, Mode, Timing, Vote
from gateway.replication.sweeper import Sweeper
from gateway.routing.replicated import Replicated, Storages
from gateway.state.schema import ROUTES
from gateway.storage import Address, Body
from tests.simulation.faults import LATEST, Faulty, Weather
from tests.simulation.linear import Operation, is_linearizable
from tests.simulation.store import Database, NodeStore
from tests.simulation.virtual import Life, VirtualLoop, simulate

BUCKET: Final = "bucket"
ROUTE: Final = "route"
NODES: Final = 3
CLIENTS: Final = 3
KEYS: Final = ("a", "b")
KEY: Final = KEYS[0]
OPERATIONS: Final = 9  # of each client
HOUR: Final = 3600.0
FIRST_HOUR: Final = 2 * HOUR  # by the wall clock, at the beginning
BUSY: Final = 70.0  # seconds of bad luck
PATIENCE: Final = 45.0  # seconds a client waits for an answer
SETTLED_AFTER: Final = 800.0  # seconds in which all must be in order again when the bad luck has ended
SOON: Final = 150.0  # likewise, when there was none but what was made by hand

TIMING: Final = Timing(
    lease=3.0,
    poll=1.0,
    node_lease=4.0,
    hold=14.0,
    worker_lease=6.0,
    worker_margin=3.0,
    down_after=1.0,
    up_after=2.0,
    sweep_every=1.5,
    backoff=0.5,
    backoff_limit=2.0,
)


@dataclass
class Rules:
    """The classes a world is made of: the real ones, or others that lack one rule."""

    journal: type[Journal] = Journal
    member: type[Member] = Member
    replicated: type[Replicated] = Replicated
    healer: type[Healer] = Healer
    mirroring: type[Mirroring] = Mirroring
    sweeper: type[Sweeper] = Sweeper
    timing: Timing = TIMING
    mirrored: bool = True
    slow: bool = False  # workers stall around their writes
    long_pauses: bool = False
    protect: float = 0.0  # what goes from the mirror is copied aside first
    sync: bool = False  # a write to the primary is acknowledged when the mirror has it, too
    longest_body: float = 0.0  # seconds that clients take over what they send
    wrong_clocks: bool = False  # the wall clock is an hour ahead or behind, and steps


class Outlook:
    """What a node has seen of the primary."""

    def __init__(self, primary: Faulty) -> None:
        self._primary = primary
        self._up_since: float | None = None
        self._down_since: float | None = None

    async def watch(self) -> None:
        """Look again and again."""
        while True:
            await asyncio.sleep(0.7)
            now = asyncio.get_running_loop().time()
            try:
                await self._primary.head_bucket(BUCKET)
            except S3Error:
                self._up_since, self._down_since = None, self._down_since or now
            else:
                self._up_since, self._down_since = self._up_since or now, None

    def vote(self) -> Vote:
        """Return it as the journal is told."""
        now = asyncio.get_running_loop().time()
        return Vote(
            None if self._down_since is None else now - self._down_since,
            None if self._up_since is None else now - self._up_since,
        )


class Node:
    """A replica of the gateway, which can be killed, paused and started again."""

    def __init__(self, world: "World", number: int) -> None:
        self._world, self._number, self._boots = world, number, 0
        self.cut: set[str] = set()
        self.store = NodeStore(world.database, world.weather)
        self.life = Life(world.loop)
        self.life.dead = True
        self.storage: Replicated
        self.clients: Mapping[str, Faulty] = {}
        self.workers: Mapping[str, Faulty] = {}

    @property
    def alive(self) -> bool:
        return not self.life.dead

    def start(self) -> None:
        """Boot."""
        self._boots += 1
        self.life = Life(self._world.loop)
        self.work = self.life.run(self._run)

    async def _run(self) -> None:
        rules, timing = self._world.rules, self._world.rules.timing
        self.clients, self.workers = self._storages(stalls=False), self._storages(stalls=rules.slow)
        primary, fallback, mirror = self.clients.values()
        mirrors = {"M": mirror} if rules.mirrored else {}
        journal = rules.journal(self.store, ROUTE, f"{self._number}.{self._boots}", list(mirrors), timing, fallback="F")
        outlook = Outlook(primary)
        member = rules.member(journal, outlook.vote, timing)
        places = {"primary": primary, "fallback": fallback, "mirror": mirror}
        following = rules.mirroring(journal, "M", timing, **places, protect=rules.protect)
        storages = Storages(primary, fallback, mirrors, follow=[following.follow] if rules.sync and mirrors else [])
        self.storage = rules.replicated(ROUTE, storages, journal, member, timing)
        primary, fallback, mirror = self.workers.values()
        work = [
            outlook.watch(),
            member.run(),
            rules.healer(journal, primary, fallback, timing).run(),
            rules.sweeper(journal, {"F": fallback}, timing).run(),
        ]
        for name in mirrors:
            places = {"primary": primary, "fallback": fallback, "mirror": mirror}
            mirroring = rules.mirroring(journal, name, timing, **places, protect=rules.protect)
            work.append(mirroring.run())
        await asyncio.gather(*work)

    def _storages(self, *, stalls: bool) -> Mapping[str, Faulty]:
        world, die = self._world, partial(setattr, self.life, "dead", True)
        memories = (world.p, world.f, world.m)
        return {memory.name: Faulty(memory, world.weather, self.cut, die, stalls=stalls) for memory in memories}


@dataclass
class World:
    """All there is."""

    loop: VirtualLoop
    seed: int
    rules: Rules
    schedule: Callable[["World"], Awaitable[None]] | None = None  # without, all is left to chance
    history: dict[str, list[Operation]] = field(default_factory=lambda: {key: [] for key in KEYS})
    acknowledged: int = 0

    def __post_init__(self) -> None:
        self.weather = Weather(self.seed)
        self.database = Database()
        self.p, self.f, self.m = Memory("P"), Memory("F"), Memory("M")
        self.nodes = [Node(self, number) for number in range(NODES)]

    async def run(self) -> str:
        """Return "ok", or what went wrong."""
        for memory in (self.p, self.f, self.m):
            await memory.create_bucket(BUCKET, {})
        await self._prepare()
        for node in self.nodes:
            node.start()
        clients = await (self._by_hand(self.schedule) if self.schedule else self._by_chance())
        await self._good_luck()
        if not await self._settles():
            return f"stuck: {self.database.unrest()}"
        await asyncio.gather(*clients)
        await asyncio.sleep(LATEST + 2)
        if ended := [node.work.exception() for node in self.nodes if node.work.done()]:
            return f"a node ended: {ended}"
        return await self._verdict()

    async def _by_chance(self) -> Sequence["asyncio.Task[None]"]:
        clients = [self.loop.create_task(self._client(number)) for number in range(CLIENTS)]
        await self._bad_luck()
        await asyncio.sleep(50)
        return clients

    async def _by_hand(self, schedule: Callable[["World"], Awaitable[None]]) -> Sequence["asyncio.Task[None]"]:
        self.weather.quiet = True
        await asyncio.sleep(self.rules.timing.poll * 2)
        await schedule(self)
        return ()

    # --- for schedules made by hand ---

    def mode(self) -> Mode:
        """Return the mode that holds."""
        found = self.database.do(lambda tx: tx.connection.execute(select(ROUTES)).first())
        if found is None:
            return Mode.NORMAL
        return Mode(found.mode if found.effective <= self.loop.time() else found.previous)

    async def put(self, node: int, value: str, seconds: float = 0.0) -> None:
        """Have a client write the key, and take so many seconds over what it sends."""
        await asyncio.sleep(0.01)  # it begins after what was before has ended
        await self._call(self.nodes[node], "put", KEY, value, seconds)

    async def delete(self, node: int) -> None:
        await asyncio.sleep(0.01)
        await self._call(self.nodes[node], "delete", KEY)

    async def get(self, node: int) -> None:
        await asyncio.sleep(0.01)
        await self._call(self.nodes[node], "get", KEY)

    # --- by chance ---

    async def _prepare(self) -> None:
        store = NodeStore(self.database, Weather(0))
        journal = self.rules.journal(store, ROUTE, "setup", ["M"] if self.rules.mirrored else [], self.rules.timing)
        if self.rules.mirrored:
            await journal.set_baseline("M", Baseline.COMPLETE)

    async def _client(self, number: int) -> None:
        dice = self.weather.dice
        for turn in range(OPERATIONS):
            await self.weather.passes(0.35)
            alive = [node for node in self.nodes if node.alive and hasattr(node, "storage")]
            if not alive:
                continue
            kind = dice.choices(("get", "delete", "put"), (45, 20, 35))[0]
            seconds = dice.uniform(0, self.rules.longest_body) if self.rules.longest_body else 0.0
            await self._call(dice.choice(alive), kind, dice.choice(KEYS), f"{number}.{turn}", seconds)

    async def _call(self, node: Node, kind: str, key: str, value: str = "", seconds: float = 0.0) -> None:
        began, at, storage = self.loop.time(), Address(BUCKET, key), node.storage
        result: list[str | None] = []

        async def call() -> None:
            if kind == "put":
                await storage.put(at, _body(value.encode(), seconds))
            elif kind == "delete":
                await storage.delete(at)
            result.append(await _got(storage, at) if kind == "get" else None)

        task = node.life.run(call)
        await asyncio.wait([task], timeout=PATIENCE)
        ok = bool(result)
        if task.done() and not ok and not isinstance(task.exception(), S3Error):
            raise task.exception() or RuntimeError
        ended = self.loop.time() if ok else float("inf")
        self.acknowledged += ok
        put = value if kind == "put" else None
        self.history[key].append(Operation(kind, put, result[0] if ok else None, began, ended, ok))

    async def _bad_luck(self) -> None:
        while self.loop.time() < BUSY:
            await self.weather.passes(0.25)
            self._strike()

    def _strike(self) -> None:
        dice, down = self.weather.dice, self.weather.down
        node = dice.choice(self.nodes)
        what = dice.choices(("P", "F", "M", "kill", "state", "cut", "pause"), (35, 10, 5, 20, 15, 8, 7))[0]
        if what in {"P", "F", "M"}:
            down ^= {what}
        elif what == "kill" and node.alive:
            node.life.dead = True
        elif what == "kill":
            node.start()
        elif what == "state":
            node.store.cut = not node.store.cut
        elif what == "cut":
            node.cut ^= {dice.choice("PPFM")}
        else:
            longest = 40 if self.rules.long_pauses else 4
            node.life.paused_until = self.loop.time() + dice.uniform(0.5, longest)

    async def _good_luck(self) -> None:
        self.weather.quiet = True
        self.weather.down.clear()
        for node in self.nodes:
            node.cut.clear()
            node.store.cut = False
            if not node.alive:
                node.start()

    async def _settles(self) -> bool:
        """Wait until nothing is left to be done, and say whether that came about."""
        until = self.loop.time() + (SOON if self.schedule else SETTLED_AFTER)
        while self.loop.time() < until:
            await asyncio.sleep(5)
            if not self.database.unrest():
                return True
        return False

    async def _verdict(self) -> str:
        for key in KEYS:
            at, now = Address(BUCKET, key), self.loop.time()
            ends = [await _got(memory, at) for memory in ((self.p, self.m) if self.rules.mirrored else (self.p,))]
            reads = [Operation("get", None, end, now + i, now + i + 0.5, ok=True) for i, end in enumerate(ends)]
            if not is_linearizable([*self.history[key], *reads]):
                return f"violation of {key}: {[*self.history[key], *reads]}"
        return f"ok {self.acknowledged}"


async def _got(storage: Memory | Replicated, at: Address) -> str | None:
    try:
        async with storage.get(at) as download:
            content = download.content
            if isinstance(content, bytes):
                return content.decode()
            assert isinstance(content, AsyncIterator)
            return b"".join([piece async for piece in content]).decode()
    except NoSuchKey:
        return None


def _body(data: bytes, seconds: float) -> Body:
    async def chunks() -> AsyncIterator[bytes]:
        yield data[:1]
        if seconds:
            await asyncio.sleep(seconds)
        yield data[1:]

    return Body(chunks(), len(data))


def outcome(seed: int, rules: Rules, schedule: Callable[[World], Awaitable[None]] | None = None) -> str:
    """Run one schedule, the same for the same seed; return "ok" and how many calls were acknowledged, or a fault."""
    chance = random.Random(seed)
    random.seed(seed)

    async def world(loop: VirtualLoop) -> str:
        off = partial(chance.choice, (HOUR, -HOUR)) if rules.wrong_clocks else float
        clock = SimpleNamespace(time_ns=lambda: int((FIRST_HOUR + loop.now + off()) * 1e9))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(records, "os", SimpleNamespace(urandom=chance.randbytes))
            patch.setattr(records, "time", clock)
            return await World(loop, seed, rules, schedule).run()

    return simulate(world)
