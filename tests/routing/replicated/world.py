"""A replicated bucket on storages that fail when they are told to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum
from itertools import count

from gateway.backends.memory import Memory
from gateway.errors import InternalError, S3Error, ServiceUnavailable, SlowDown
from gateway.replication.healer import Healer
from gateway.replication.journal import Journal
from gateway.replication.member import Member
from gateway.replication.mirroring import Mirroring
from gateway.replication.records import Baseline, Mode, Timing, Vote
from gateway.replication.sweeper import Sweeper
from gateway.replication.window import Window
from gateway.routing.replicated import Replicated, Storages
from gateway.state.store import StateUnavailable, StateUnknown
from gateway.storage import Address, Body
from tests.simulation.store import Database

TIMING = Timing(lease=0, drift=0, hold=0, backoff=0, worker_poll=0.01)
BUCKET = "bucket"
AT = Address(BUCKET, "key")


class Fault(Enum):
    REFUSES = "nothing is done, and that is said"
    LOSES_ANSWER = "it is done, and nobody is told"
    LOSES_QUESTION = "it is not done, and nobody is told"


WRITES = ("put", "delete", "annotate", "copy", "create_upload", "put_part", "copy_part", "complete_upload")


class Faulty:
    """A storage with faults; `told` are the calls that reached it, by name and key."""

    def __init__(self, name, inner=None):
        self.name = name
        self.inner = inner or Memory(name)
        self.fault: Fault | None = None
        self.only: tuple[str, ...] | None = None  # the calls that the fault befalls; None: all
        self.told: list[tuple[str, str]] = []
        self.holds: dict[str, Hold] = {}

    def fails(self, fault, *only):
        self.fault, self.only = fault, only or None

    def works(self):
        self.fault = self.only = None

    def hold(self, name):
        """Have the next call of this name wait before anything is done."""
        self.holds[name] = Hold()
        return self.holds[name]

    @property
    def writes(self):
        return [call for call in self.told if call[0] in WRITES]

    def get(self, at, *args):
        return self._get(at, *args)

    @asynccontextmanager
    async def _get(self, at, *args) -> AsyncIterator:
        self._note("get", at)
        fault = self._fault("get")
        if fault:
            raise ServiceUnavailable if fault is Fault.REFUSES else InternalError
        async with self.inner.get(at, *args) as download:
            yield download

    def __getattr__(self, name):
        method = getattr(self.inner, name)

        async def call(*args, **kwargs):
            self._note(name, args[1] if name == "copy" else args[0] if args else "")
            if hold := self.holds.pop(name, None):
                hold.reached.set()
                await hold.go_on.wait()
            fault = self._fault(name)
            if fault is Fault.REFUSES:
                raise ServiceUnavailable
            if fault is Fault.LOSES_QUESTION:
                for sent in (arg for arg in args if isinstance(arg, Body)):
                    await sent.read()
                raise InternalError
            if fault is Fault.LOSES_ANSWER:
                with suppress(S3Error):
                    await method(*args, **kwargs)
                raise InternalError
            return await method(*args, **kwargs)

        return call

    def _fault(self, name):
        return self.fault if self.only is None or name in self.only else None

    def _note(self, name, of):
        at = getattr(of, "at", of)
        self.told.append((name, getattr(at, "key", str(at))))


class Hold:
    def __init__(self):
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()


class State:
    """A database that does everything at once, unless it is told to fail."""

    def __init__(self):
        self.database = Database()
        self.fails: type[Exception] | None = None
        self.is_busy = False

    def admit(self):
        if self.is_busy:
            raise SlowDown

    async def run(self, work):
        if self.fails is StateUnavailable:
            raise StateUnavailable
        result = self.database.do(work)
        if self.fails is StateUnknown:
            raise StateUnknown
        return result

    async def read(self, work):
        if self.fails:
            raise StateUnavailable
        return self.database.do(work)

    async def glance(self, work):
        return await self.read(work)


class World:
    """A route with its storages, its journal, and one node."""

    numbers = count()

    def __init__(self, *, mirrors=("mirror",), fallback=True, stale_reads=False, kind=Replicated, timing=TIMING):
        self.state = State()
        self.primary, self.fallback = Faulty("primary"), Faulty("fallback")
        self.mirrors = {name: Faulty(name) for name in mirrors}
        self.storages = Storages(self.primary, self.fallback if fallback else None, self.mirrors, stale_reads)
        self.timing = timing
        self.journal, self.member = self.node()
        self.storage = kind("route", self.storages, self.journal, self.member, timing)
        self.storage.patience = 1

    @property
    def mirror(self):
        return self.mirrors["mirror"]

    def node(self):
        name = f"node-{next(self.numbers)}"
        journal = Journal(self.state, "route", name, list(self.mirrors), self.timing, fallback="fallback")
        return journal, Member(journal, Vote, self.timing, automatic=False)

    async def ready(self, *buckets):
        """Begin in NORMAL, with buckets, the mirrors having been given everything."""
        await self.member.beat()
        for name in self.mirrors:
            await self.journal.set_baseline(name, Baseline.COMPLETE)
        for bucket in buckets:
            await self.storage.create_bucket(bucket, {})
        return self

    async def turn(self, mode):
        await self.journal.turn(mode, "test")
        await self.member.beat()

    async def fail(self):
        """Let the primary go down, and everybody know it."""
        self.primary.fails(Fault.REFUSES)
        await self.turn(Mode.FAILOVER)

    async def recover(self):
        """Let the primary come back, to be healed."""
        self.primary.works()
        await self.turn(Mode.HEALING)

    async def heal(self):
        """Heal until nothing is left to be healed."""
        healer = Healer(self.journal, self.primary, self.fallback, self.timing)
        while (left := await self.journal.unhealed()) != left._replace(objects=0, tombstones=0, buckets=0):
            await healer.round()
        await self.member.beat()

    async def heal_some(self, rounds):
        """Heal so many keys at most."""
        healer = Healer(self.journal, self.primary, self.fallback, self.timing, window=Window(1))
        for _ in range(rounds):
            await healer.round()

    async def mirrored(self):
        """Let the mirrors catch up."""
        await self.journal.drained()
        for name, mirror in self.mirrors.items():
            fallback = self.storages.fallback
            places = {"primary": self.primary, "fallback": fallback, "mirror": mirror}
            mirroring = Mirroring(self.journal, name, self.timing, **places)
            for _ in range(20):
                if not await mirroring.round():
                    break

    async def sweep(self):
        """Clear away what nobody will finish."""
        await self.journal.drained()
        backends = {"primary": self.primary, "fallback": self.fallback, **self.mirrors}
        await Sweeper(self.journal, backends, self.timing).round()

    async def mode(self):
        return (await self.journal.state()).mode
