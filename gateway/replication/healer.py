"""Brings what was written during an outage back to the primary: in HEALING, it alone writes these keys there."""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

import structlog

from gateway import metrics
from gateway.errors import InternalError, NoSuchKey, S3Error, ServiceUnavailable
from gateway.replication.copier import Carriage
from gateway.replication.crew import Crew
from gateway.replication.echo import Echo, Entry
from gateway.replication.journal import Journal
from gateway.replication.lease import Lease
from gateway.replication.making import have
from gateway.replication.outcome import name_of, result_of
from gateway.replication.records import Claim, Outcome, Recorded, Row, Timing
from gateway.replication.window import Window
from gateway.storage import Address, Backend

log = structlog.get_logger()
BUCKETS: Final = 32  # at once
AGAIN: Final = 5.0  # times Timing.backoff, until a bucket is tried again


class Tried(NamedTuple):
    """How a turn at a key ended."""

    outcome: Outcome
    failure: str = ""


class Healer:
    """Heals keys, a few at once, each under a claim of its row."""

    def __init__(  # noqa: PLR0913  two storages are what it is between
        self,
        journal: Journal,
        primary: Backend,
        fallback: Backend,
        timing: Timing,
        echo: Echo | None = None,
        *,
        window: Window | None = None,
    ) -> None:
        self._window = window or Window()
        self._journal, self._timing, self._echo = journal, timing, echo
        self._primary, self._fallback = primary, fallback

    async def run(self) -> None:
        """Heal for ever whatever there is to heal."""
        await Crew(self._window, self._take, self._try, self._tell).run()

    async def round(self) -> int:
        """Heal the keys whose turn it is, and return how many were tried."""
        claims = await self._take(self._window.size)
        await asyncio.gather(*map(self.heal, claims))
        return len(claims)

    async def _take(self, most: int) -> Sequence[Claim]:
        """Make what buckets are to be made, and return keys that are to be healed then."""
        try:
            buckets = await self._journal.buckets.claim(BUCKETS)
            await asyncio.gather(*map(self.make, buckets))
            return await self._journal.claim_rows(most)
        except ServiceUnavailable:
            return ()

    async def make(self, bucket: Recorded) -> None:
        """Make the primary have a bucket, before any key of it is healed.

        The fallback, which had it first, learns its labels: it will be asked for them in the next outage.
        """
        try:
            for storage in (self._fallback, self._primary):
                await have(storage, bucket.name, bucket.labels)
        except S3Error as error:
            log.warning("bucket_not_healed", bucket=bucket.name, error=name_of(error))
            await self._journal.buckets.again(bucket, self._timing.backoff * AGAIN)
        else:
            await self._journal.buckets.healed(bucket)

    async def heal(self, claim: Claim) -> None:
        """Make the primary hold what the row says, and tell the journal what became of it."""
        await self._tell(claim, await self._try(claim))

    async def _try(self, claim: Claim) -> Tried:
        """Make the primary hold what the row says, if it can be done now."""
        lease = Lease(self._journal, claim, self._timing)
        async with lease.held():
            try:
                await self.write(claim, lease)
                await self._note(claim)
            except asyncio.CancelledError as error:  # nobody is to wait for the end of a lease that has no worker
                await self._record(claim, Tried(lease.outcome_of(error), name_of(error)))
                raise
            except Exception as error:  # noqa: BLE001  whatever it was: the row stays, and is healed again
                log.warning("heal_failed", bucket=claim.at.bucket, key=claim.at.key, error=name_of(error))
                return Tried(lease.outcome_of(error), name_of(error))
        return Tried(Outcome.APPLIED)

    async def _tell(self, claim: Claim, tried: Tried) -> None:
        """Tell the journal, and who counts, what became of a claim."""
        is_done = await self._record(claim, tried)
        metrics.HEALED.labels(self._journal.route, result_of(tried.outcome, is_done=is_done)).inc()

    async def _record(self, claim: Claim, tried: Tried) -> bool:
        """Tell the journal what became of a claim, and return whether the key is healed."""
        try:
            return await self._journal.healed(claim, *tried)
        except ServiceUnavailable as error:  # the claim is taken over when its lease is over
            log.warning("heal_not_recorded", bucket=claim.at.bucket, key=claim.at.key, error=name_of(error))
            return False

    async def _note(self, claim: Claim) -> None:
        """Have the echo say that the primary has the row: what clients write there from now on is newer than that."""
        if self._echo is None or claim.row is None or not claim.counts:
            return
        entry = Entry(claim.row, healed=True)
        if claim.row.deleted:
            await self._echo.note_if_possible(entry)
        else:
            await self._echo.note(entry)

    async def write(self, claim: Claim, lease: Lease) -> None:
        """Write the primary as the row says. Raises: what the storages raise, Fenced."""
        row = claim.row
        if row is None:
            raise InternalError("A row was claimed without being there.")
        if row.staged:
            await self._copy(row, lease)
        else:
            await lease.check()
            await self._delete(row.at)

    async def _copy(self, row: Row, lease: Lease) -> None:
        staged = Address(row.at.bucket, row.staged)
        parts = row.info.parts if row.info else ()
        carriage = Carriage(self._fallback, staged, self._primary, row.at, lease.check, parts=parts)
        try:
            await carriage.run()
        except NoSuchKey as error:  # superseded and collected: the next look at the row tells
            raise ServiceUnavailable from error

    async def _delete(self, at: Address) -> None:
        await self._primary.delete(at)
        try:
            await self._primary.head(at)
        except NoSuchKey:
            return
        except ServiceUnavailable as error:  # nobody was asked, but something was written
            raise InternalError from error
        raise InternalError("A key that was deleted is still there.")
