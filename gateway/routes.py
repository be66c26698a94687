"""From a Config to the storages behind each bucket, each with what stands around it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from gateway.beside import Work, beside
from gateway.config import Config
from gateway.config.models import EVERY_OTHER, Bucket, Copying, Elsewhere, Mirror, Origin
from gateway.errors import ServiceUnavailable
from gateway.migration.filling import Filling
from gateway.migration.tombs import Tombs
from gateway.rates import Ledger
from gateway.replication.baseline import Baseline
from gateway.replication.beacon import PATIENCE, Beacon
from gateway.replication.echo import Echo
from gateway.replication.ground import Ground
from gateway.replication.healer import Healer
from gateway.replication.journal import Journal
from gateway.replication.keeping import Keeping
from gateway.replication.measure import Measure, Tell, unheard
from gateway.replication.member import Member
from gateway.replication.mirroring import Mirroring
from gateway.replication.pace import Most, Pace
from gateway.replication.records import Timing, new_id
from gateway.replication.rules import Rules
from gateway.replication.scope import Scope
from gateway.replication.sweeper import Sweeper
from gateway.replication.window import Window
from gateway.routing import lazy
from gateway.routing.breaking import Breaking
from gateway.routing.lazy import Lazy
from gateway.routing.place import Place
from gateway.routing.private import Private
from gateway.routing.rename import Rename
from gateway.routing.replicated import Replicated, Storages
from gateway.routing.sparing import Allowance, Sparing
from gateway.server.bind import StartError
from gateway.sharing import Sharing
from gateway.state import Store, open_store
from gateway.storage import Backend

# Seconds for which a storage may still apply a write whose answer was lost: on a disk, while a process is held up.
HOLD: Final[Mapping[str, float]] = {"local": 30.0, "memory": 0.0}
LONGEST_HOLD: Final = 600.0
LEASE_ON_ONE_HOST: Final = 2.0  # seconds, where no network is between nodes and state
LAST_WORDS: Final = 5.0  # seconds for what is still to be written down when the gateway ends

log = structlog.get_logger()


def is_replicated(bucket: Bucket) -> bool:
    """Say whether the objects of a bucket are at more than one backend."""
    return bool(bucket.copies)


@asynccontextmanager
async def replicated_routes(  # noqa: PLR0913  what is the whole gateway's, handed on
    config: Config,
    backends: Mapping[str, Backend],
    worker: int,
    sharing: Sharing,
    *,
    ledger: Ledger,
    tell: Tell = unheard,
    votes: bool = True,
) -> AsyncIterator[Mapping[str, Backend]]:
    """Open what stands behind each bucket of several storages, by its name in the configuration.

    What is open already and the same is shared, so that it goes on as the node that it is. The first worker hears of
    each bucket how it does, by `tell`. Who answers no clients has no vote on failing over. Raises: StartError.
    """
    wanted = {name: bucket for name, bucket in config.buckets.items() if bucket.elsewhere}
    if not wanted:
        yield {}
        return
    async with AsyncExitStack() as opened:
        try:
            store = await opened.enter_async_context(sharing.use(config.state, partial(open_store, config.state)))
        except (OSError, ServiceUnavailable, ValueError) as error:
            raise StartError(f"state: cannot be opened: {error}") from error
        storages: dict[str, Backend] = {}
        for name, bucket in wanted.items():
            if bucket.migrate_from:
                running = partial(_moving, config, name, backends, store, ledger=ledger)
            else:
                made = partial(_Route, config, name, backends, store, ledger=ledger, tell=tell, votes=votes)
                running = partial(_running, made, first=worker == 0)
            storages[name] = await opened.enter_async_context(sharing.use(_made_of(config, name), running))
        yield {name: Private(storage) for name, storage in storages.items()}


def _made_of(config: Config, name: str) -> Hashable:
    """Return all that a bucket of several storages depends on."""
    bucket = config.buckets[name]
    places = (bucket, *bucket.elsewhere.values())
    used = frozenset((where.backend, config.backends[where.backend]) for where in places)
    rest = frozenset(config.buckets) if name == EVERY_OTHER else frozenset[str]()
    return name, bucket, used, rest, config.replication, config.state


@asynccontextmanager
async def _moving(
    config: Config, name: str, backends: Mapping[str, Backend], store: Store, *, ledger: Ledger
) -> AsyncIterator[Backend]:
    """Open a bucket that moves, and copy in the background what is read there."""
    bucket = config.buckets[name]
    origin = origin_of(bucket)
    new, old = placed(name, bucket, backends), placed(name, origin, backends)
    tombs, spared = tombs_of(config, name, store), _sparing(new, origin.limits, name, ledger)
    filling = Filling(name, old, spared, tombs, spared.window)
    try:
        async with beside(filling.run):
            yield Lazy(name, lazy.Storages(new, old, filling.want), tombs, timing_of(config, bucket).hold)
    finally:
        spared.window.close()


def origin_of(bucket: Bucket) -> Origin:
    """Return where a bucket that moves comes from."""
    if bucket.migrate_from is None:
        raise ValueError("the bucket does not move")
    return bucket.migrate_from


def tombs_of(config: Config, name: str, store: Store) -> Tombs:
    """Return what is written down of a bucket that moves: of this move, and of no other that it ever makes."""
    bucket = config.buckets[name]
    origin = origin_of(bucket)
    way = [name, *((each.backend, each.name or name, each.prefix) for each in (bucket, origin))]
    return Tombs(store, Scope(json.dumps(way), new_id(), (), "", Rules(timing_of(config, bucket))))


@asynccontextmanager
async def _running(made: Callable[[], "_Route"], *, first: bool) -> AsyncIterator[Backend]:
    route = made()
    async with route.running(first=first):
        yield route.storage


class _Route:
    """All that one replicated bucket is made of, in this process."""

    def __init__(  # noqa: PLR0913  what is the whole gateway's, handed on
        self,
        config: Config,
        name: str,
        backends: Mapping[str, Backend],
        store: Store,
        *,
        ledger: Ledger,
        tell: Tell,
        votes: bool,
    ) -> None:
        bucket, node = config.buckets[name], new_id()
        self._config, self._name, self._automatic = config, name, bucket.failover == "auto"
        self._tell = tell
        self._primary = Breaking(placed(name, bucket, backends), node)
        self._fallback = Breaking(placed(name, bucket.fallback, backends), node) if bucket.fallback else None
        self._mirrors = {mirror.backend: Breaking(placed(name, mirror, backends), node) for mirror in bucket.mirrors}
        self._spared = {
            mirror.backend: _sparing(self._mirrors[mirror.backend], mirror.limits, name, ledger)
            for mirror in bucket.mirrors
        }
        self._healed = _sparing(self._primary, bucket.healing, name, ledger)
        self._most = {mirror.backend: mirror.max_pending for mirror in bucket.mirrors}
        self._protect = {mirror.backend: mirror.protect for mirror in bucket.mirrors}
        self._timing = timing_of(config, bucket)
        fallback = bucket.fallback.backend if bucket.fallback else ""
        self._journal = Journal(store, name, node, list(self._mirrors), self._timing, fallback=fallback)
        vote = self._primary.vote if votes else None
        self._member = Member(self._journal, vote, self._timing, automatic=self._automatic)
        self._mirroring = {mirror.backend: self._mirroring_of(mirror) for mirror in bucket.mirrors}
        follow = [self._mirroring[mirror.backend].follow for mirror in bucket.mirrors if mirror.mode == "sync"]
        self._echo = Echo(name, self._fallback) if self._fallback else None
        self._beacon = Beacon(self._journal, self._fallback, list(self._mirrors.values()), self._buckets_on, self._echo)
        most = {each.backend: Most(each.max_lag, each.on_lag) for each in bucket.mirrors if each.max_lag}
        self._pace = Pace(self._journal, most)
        storages = Storages(
            self._primary,
            self._fallback,
            self._mirrors,
            bucket.stale_reads,
            follow,
            echo=self._echo,
            echo_deletes=echoes_deletes(config),
            pace=self._pace,
            status=bucket.replication_status,
        )
        self.storage = Replicated(name, storages, self._journal, self._member, self._timing)

    @asynccontextmanager
    async def running(self, *, first: bool) -> AsyncIterator[None]:
        """Work in the background. `first` does what one process of a host is enough for."""
        await self._beacon.round(first=first, patience=PATIENCE)
        await self._member.beat()
        try:
            async with beside(*self._work(first=first)):
                yield
        finally:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._journal.drained(), LAST_WORDS)
            for storage in self._storages():
                storage.close()
            for spared in (self._healed, *self._spared.values()):
                spared.window.close()

    def _work(self, *, first: bool) -> Sequence[Work]:
        storages = self._storages()
        work: list[Work] = [self._member.run, partial(self._beacon.run, first=first), self._pace.run]
        work += [storage.run for storage in storages]
        if self._fallback:
            healed = self._healed
            healer = Healer(self._journal, healed, self._fallback, self._timing, self._echo, window=healed.window)
            work.append(partial(self._when_certain, healer.run))
        if self._fallback and first:
            work.append(Ground(self._journal, self._primary, self._fallback, self._buckets).run)
        for target, mirror in self._spared.items():
            work.append(partial(self._when_certain, self._mirroring[target].run))
            if first:
                work.append(partial(Keeping(mirror, self._protect[target]).run, self._buckets))
                most = self._most[target]
                work.append(Baseline(self._journal, target, self._primary, mirror, self._buckets, most=most).run)
        if first:
            work.append(Measure(self._journal, self._tell).run)
        named = {storage.name: storage for storage in storages}
        work.append(partial(self._when_certain, Sweeper(self._journal, named, self._timing).run))
        return work

    async def _when_certain(self, work: Work) -> None:
        """Do something when the database is known to have forgotten nothing: it overwrites and deletes by its word."""
        await self._beacon.certain.wait()
        await work()

    def _storages(self) -> Sequence[Breaking]:
        return [self._primary, *([self._fallback] if self._fallback else []), *self._mirrors.values()]

    def _mirroring_of(self, mirror: Mirror) -> Mirroring:
        spared = self._spared[mirror.backend]
        return Mirroring(
            self._journal,
            mirror.backend,
            self._timing,
            primary=self._primary,
            fallback=self._fallback,
            mirror=spared,
            protect=mirror.protect,
            window=spared.window,
        )

    async def _buckets(self) -> Sequence[str]:
        return await self._buckets_on(self._primary)

    async def _buckets_on(self, storage: Backend) -> Sequence[str]:
        return await buckets_on(self._config, self._name, storage)


def _sparing(storage: Backend, said: Copying, route: str, ledger: Ledger) -> Sparing:
    """Return a storage as it is asked in the background."""
    allowance = Allowance(ledger, route, storage.name, said.rate or 0, said.bandwidth or 0)
    return Sparing(storage, Window(allowance.at_once(said.concurrency), route=route, target=storage.name), allowance)


async def buckets_on(config: Config, entry: str, storage: Backend) -> Sequence[str]:
    """Return the buckets of an entry that are on a storage, or would be."""
    if entry != EVERY_OTHER:
        return [entry]
    return [info.name for info in await storage.list_buckets() if info.name not in config.buckets]


def shares_fallback(config: Config, entry: str) -> bool:
    """Say whether another entry's objects may wait for their primary in the same buckets of the fallback."""
    mine = config.buckets[entry].fallback
    others = [(name, said.fallback) for name, said in config.buckets.items() if said.fallback and name != entry]
    return mine is not None and any(
        (other.backend, other.prefix) == (mine.backend, mine.prefix)
        and (EVERY_OTHER in {name, entry} or (other.name or name) == (mine.name or entry))
        for name, other in others
    )


def echoes_deletes(config: Config) -> bool:
    """Say whether a delete in an outage is acknowledged when the fallback, too, can tell of it."""
    said = config.replication.echo_deletes
    return config.state.startswith("sqlite") if said is None else said


def placed(bucket: str, where: Elsewhere, backends: Mapping[str, Backend]) -> Backend:
    """Return a backend in which the bucket has its name here."""
    if not (where.name or where.prefix):
        return backends[where.backend]
    return Rename(backends[where.backend], {bucket: Place(where.name or bucket, where.prefix)})


def timing_of(config: Config, bucket: Bucket) -> Timing:
    """Return how long is waited for what, given what the storages of a bucket are."""
    said = config.replication
    types = {config.backends[where.backend].type for where in (bucket, *bucket.copies.values())}
    hold = max(HOLD.get(kind, LONGEST_HOLD) for kind in types) if said.hold is None else said.hold
    timing = Timing(down_after=said.down_after, up_after=said.up_after, hold=hold)
    return (
        replace(timing, lease=LEASE_ON_ONE_HOST, poll=LEASE_ON_ONE_HOST / 4)
        if config.state.startswith("sqlite")
        else timing
    )
