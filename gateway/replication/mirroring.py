"""Keeps a mirror in step: each key that is dirty is made there what it is now, whatever happened in between."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import Final, NamedTuple

import structlog

from gateway import metrics
from gateway.errors import (
    BucketAlreadyExists,
    CredentialsRefused,
    InternalError,
    NoSuchBucket,
    NoSuchKey,
    S3Error,
    ServiceUnavailable,
)
from gateway.replication.copier import Carriage, is_copy, stamped
from gateway.replication.crew import Crew
from gateway.replication.journal import Journal
from gateway.replication.keeping import Keeping
from gateway.replication.lease import Lease
from gateway.replication.outcome import Braked, name_of, result_of
from gateway.replication.records import SOURCE_MISSING, Claim, Kind, Outcome, Timing
from gateway.replication.window import Window
from gateway.storage import Address, Backend, ObjectInfo

log = structlog.get_logger()
_PERMANENT: Final = frozenset({400, 403})  # statuses of answers that no retry will change
PATIENCE: Final = 20.0  # seconds that a client waits while somebody else is at its key
NEXT: Final = 0.02  # seconds between two looks whether that is over


class SourceMissing(ServiceUnavailable):
    """The primary lacks an object that no client has deleted: a mirror keeps it."""

    code = SOURCE_MISSING


class Done(StrEnum):
    """What was done at a key."""

    COPIED = "copied"
    DELETED = "deleted"
    NOOP = "noop"  # the mirror had it already


class Tried(NamedTuple):
    """How a turn at a key ended."""

    outcome: Outcome
    failure: str = ""
    is_permanent: bool = False
    done: Done = Done.NOOP


class Mirroring:
    """Works off the tasks of one mirror, a few at once, each under a claim of its key.

    What it replaces or deletes there is kept for `protect` seconds; 0: it is not.
    """

    def __init__(  # noqa: PLR0913  three storages are what it is between
        self,
        journal: Journal,
        target: str,
        timing: Timing,
        *,
        primary: Backend,
        fallback: Backend | None,
        mirror: Backend,
        protect: float = 0.0,
        window: Window | None = None,
    ) -> None:
        self._journal, self._target, self._timing = journal, target, timing
        self._primary, self._fallback, self._mirror = primary, fallback, mirror
        self._keeping = Keeping(mirror, protect) if protect else None
        self._window = window or Window()
        self._working: set[asyncio.Task[Outcome]] = set()
        self._made = self._deleted = 0  # keys, not yet counted in the journal

    async def run(self) -> None:
        """Mirror for ever whatever is dirty."""
        await Crew(self._window, self._take, self._try, self._tell).run()

    async def round(self) -> int:
        """Mirror the keys whose turn it is, and return how many were tried."""
        claims = await self._take(self._window.size)
        await asyncio.gather(*map(self.work, claims))
        await self._count()
        return len(claims)

    async def _take(self, most: int) -> Sequence[Claim]:
        """Have counted what was done so far, which may hold deletes back, and return keys that are to be mirrored."""
        await self._count()
        try:
            return await self._journal.claim_tasks(self._target, most)
        except ServiceUnavailable:
            return ()

    async def follow(self, at: Address) -> None:
        """Return when the mirror holds what the key is now, or was since, whoever has seen to it.

        For a mirror that is paused there is nothing to wait for, nor for a delete that the brake holds. Raises:
        ServiceUnavailable, if it was tried in vain, or somebody else takes too long; it is tried again later.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE
        while not (turn := await self._journal.take(self._target, at)).is_over:
            if turn.claim:
                await self._follow_by(turn.claim)
                return
            if loop.time() >= until:
                raise ServiceUnavailable
            await asyncio.sleep(NEXT)

    async def _follow_by(self, claim: Claim) -> None:
        working = asyncio.create_task(self.work(claim))  # goes on to its end when the client goes away
        self._working.add(working)
        working.add_done_callback(self._working.discard)
        if await asyncio.shield(working) is not Outcome.APPLIED:
            raise ServiceUnavailable

    async def work(self, claim: Claim) -> Outcome:
        """Make the mirror hold what the key is now, and tell the journal what became of it."""
        tried = await self._try(claim)
        await self._tell(claim, tried)
        return tried.outcome

    async def _try(self, claim: Claim) -> Tried:
        """Make the mirror hold what the key is now, if it can be done now."""
        lease = Lease(self._journal, claim, self._timing)
        async with lease.held():
            try:
                return Tried(Outcome.APPLIED, done=await self.write(claim, lease))
            except Braked as error:
                return Tried(Outcome.REFUSED, name_of(error))
            except asyncio.CancelledError as error:  # nobody is to wait for the end of a lease that has no worker
                await self._record(claim, Tried(lease.outcome_of(error), name_of(error)))
                raise
            except Exception as error:  # noqa: BLE001  whatever it was: the task stays, and is tried again
                log.warning("mirror_failed", target=self._target, key=claim.at.key, error=name_of(error))
                return Tried(lease.outcome_of(error), name_of(error), _is_permanent(error))

    async def _tell(self, claim: Claim, tried: Tried) -> None:
        """Tell the journal, and who counts, what became of a claim."""
        is_done = await self._record(claim, tried)
        result = tried.done.value if is_done else result_of(tried.outcome, is_done=False)
        metrics.MIRRORED.labels(self._journal.route, self._target, result).inc()

    async def _record(self, claim: Claim, tried: Tried) -> bool:
        """Tell the journal what became of a claim, and return whether the key is clean."""
        try:
            return await self._journal.mirrored(claim, tried.outcome, tried.failure, permanent=tried.is_permanent)
        except ServiceUnavailable as error:  # the claim is taken over when its lease is over
            log.warning("mirror_not_recorded", target=self._target, key=claim.at.key, error=name_of(error))
            return False

    async def write(self, claim: Claim, lease: Lease) -> Done:
        """Write the mirror. Raises: what the storages raise, Fenced, Braked, SourceMissing."""
        if claim.row is None:
            return await self._follow_primary(claim, lease)
        if not claim.row.staged:
            return await self._delete(claim.at, lease)
        if self._fallback is None:
            raise InternalError("A row points to a fallback that is configured no more.")
        staged = Address(claim.at.bucket, claim.row.staged)
        return await self._copy(self._fallback, staged, claim, lease, claim.row.info)

    async def _follow_primary(self, claim: Claim, lease: Lease) -> Done:
        try:
            return await self._copy(self._primary, claim.at, claim, lease)
        except NoSuchKey:
            if claim.kind is not Kind.DELETE:
                await self._miss(claim.at)
                return Done.NOOP
            with _of_source():
                await self._primary.head_bucket(claim.at.bucket)  # with a bucket that is gone, nothing is deleted
            return await self._delete(claim.at, lease)

    async def _miss(self, at: Address) -> None:
        """Accept that nothing is there, if the mirror holds nothing either. Raises: SourceMissing."""
        if await self._held(at):
            raise SourceMissing

    async def _copy(
        self, source: Backend, at: Address, claim: Claim, lease: Lease, told: ObjectInfo | None = None
    ) -> Done:
        """Copy an object as what its storage says of it, or as what is `told` of it."""
        with _of_source():
            wanted = told or await source.head(at)
        held = await self._held(claim.at, make=True)
        if held and is_copy(held, wanted):
            return Done.NOOP
        if held and self._keeping:
            await self._keeping.keep(claim.at, held)
        carriage = Carriage(
            source,
            at,
            self._mirror,
            claim.at,
            lease.check,
            labels=lambda info: stamped(told or info, claim.gen),
            parts=told.parts if told else (),
        )
        await carriage.run()
        self._made += held is None and claim.kind is not Kind.COPY  # those of a baseline are counted by that
        return Done.COPIED

    async def _held(self, at: Address, *, make: bool = False) -> ObjectInfo | None:
        """Return what the mirror holds. `make`: have the bucket there."""
        try:
            return await self._mirror.head(at)
        except NoSuchKey:
            return None
        except NoSuchBucket:
            if make:
                await self._make(at.bucket)
            return None

    async def _make(self, bucket: str) -> None:
        """Make a bucket that the mirror lacks, because it did not answer when all others were told of it."""
        found = await self._journal.buckets.find(bucket)
        labels = found.labels if found and found.presence.is_new else (await self._primary.head_bucket(bucket)).labels
        with suppress(BucketAlreadyExists):
            await self._mirror.create_bucket(bucket, labels)

    async def _delete(self, at: Address, lease: Lease) -> Done:
        if lease.claim.braked:
            raise Braked
        if self._keeping:
            held = await self._held(at)
            if held is None:
                return Done.NOOP
            await self._keeping.keep(at, held)
        await lease.check()
        with suppress(NoSuchBucket):
            await self._mirror.delete(at)
        self._deleted += 1
        return Done.DELETED

    async def _count(self) -> None:
        """Have the journal count what was made and deleted. What it cannot be told now is told the next time."""
        made, deleted = self._made, self._deleted
        if not (made or deleted):
            return
        try:
            is_braked = await self._journal.count(self._target, made, deleted)
        except ServiceUnavailable:
            return
        self._made, self._deleted = self._made - made, self._deleted - deleted
        if is_braked:
            log.error("deletes_braked", route=self._journal.route, target=self._target)


def _is_permanent(error: Exception) -> bool:
    """Say whether no retry will change an answer of the mirror, until somebody has mended the reason."""
    return isinstance(error, CredentialsRefused) or (isinstance(error, S3Error) and error.status in _PERMANENT)


@contextmanager
def _of_source() -> Iterator[None]:
    """Have what the source refuses be no answer: only for what the mirror refuses a key is given up."""
    try:
        yield
    except S3Error as error:
        if _is_permanent(error):
            raise ServiceUnavailable from error
        raise
