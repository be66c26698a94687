"""Reads of a replicated bucket: from where the newest state is known to be, or not at all."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache, partial
from typing import Final, TypeVar

from prometheus_client import Counter

from gateway import metrics
from gateway.errors import (
    InvalidPartNumber,
    InvalidRange,
    NoSuchBucket,
    NoSuchKey,
    NotImplementedByGateway,
    NotModified,
    PreconditionFailed,
    S3Error,
    ServiceUnavailable,
)
from gateway.replication.records import Look, Mode, Row
from gateway.routing.replicated.answers import not_current, unanswered
from gateway.routing.replicated.places import Asked, Copy, Own, Place, Staged
from gateway.routing.replicated.route import NO_ANSWER, Route
from gateway.storage import Address, Download, ObjectInfo, ReadOptions

T = TypeVar("T")
Ask = Callable[[Place], Awaitable[T]]
ROUNDS: Final = 6  # how often it is looked again for what moves while it is looked for
_DEFINITE: Final = (NoSuchKey, NotModified, PreconditionFailed, InvalidRange, InvalidPartNumber)


class Reading(Route):
    """HEAD and GET."""

    @asynccontextmanager
    async def get(self, at: Address, options: ReadOptions = ReadOptions()) -> AsyncIterator[Download]:
        async with AsyncExitStack() as stack:
            yield await self._read(at, lambda place: stack.enter_async_context(place.get(options)))

    async def head(self, at: Address, options: ReadOptions = ReadOptions()) -> ObjectInfo:
        return await self._read(at, lambda place: place.head(options))

    async def _read(self, at: Address, ask: Ask[T]) -> T:
        """Ask the place where the newest state is, and count what became of it."""
        try:
            found, source = await self._find(at, ask)
        except NO_ANSWER as error:
            reason = error.headers.get("x-gw-reason", "no_answer").replace("-", "_")
            metrics.READS_REFUSED.labels(self.name, reason).inc()
            raise
        _reads(self.name, source).inc()
        return found

    async def _find(self, at: Address, ask: Ask[T]) -> tuple[T, str]:
        """Return what was found, and where. An error is never taken for absence."""
        look = await self.look(at)
        for _ in range(ROUNDS):
            self._check_version(at, look)
            if look.row:
                found = await self._from_row(look.row, look.status if self.mirrors else "", ask)
                if found is not None:
                    return found, "fallback"
                look = await self.look_anew(at)
                continue
            if look.is_new:
                raise NoSuchKey(Key=at.key)
            if look.mode is Mode.FAILOVER:
                return await self._from_mirrors(at, look, ask, not_current())
            try:
                return await ask(self._own(at)), "primary"
            except NO_ANSWER as error:
                if look.mode is Mode.HEALING or not self.mirrors:
                    raise unanswered(error) from error
                look = await self.look_anew(at)
                if look.mode is Mode.NORMAL:
                    return await self._from_mirrors(at, look, ask, unanswered(error))
        raise not_current()

    def _own(self, at: Address) -> Place:
        own = Own(self.primary, at)
        return Asked(own, partial(self._status, at)) if self.tells_status else own

    async def _status(self, at: Address) -> str:
        """Return how far what the primary holds has got; "" where the journal does not say.

        It is asked after the primary: what is clean then was so with what the primary has shown before, or newer.
        """
        try:
            look = await self.journal.look(at)
        except ServiceUnavailable:
            return ""
        return look.status if self.is_on_primary(look) and look.mode is not Mode.RECONCILE else ""

    async def _from_row(self, row: Row, status: str, ask: Ask[T]) -> T | None:
        """Ask the fallback; None if it has been superseded and collected since. Raises: NoSuchKey, if it is deleted."""
        if row.info is None:
            raise NoSuchKey(Key=row.at.key)
        try:
            return await ask(Staged(self.fallback, Address(row.at.bucket, row.staged), row.info, status))
        except NoSuchKey:
            return None
        except NoSuchBucket as error:
            raise not_current() from error
        except NO_ANSWER as error:
            raise unanswered(error) from error

    async def _from_mirrors(self, at: Address, look: Look, ask: Ask[T], otherwise: S3Error) -> tuple[T, str]:
        """Ask the mirrors that are clean; absence is theirs to tell as well."""
        for name in self.clean(look):
            try:
                return await ask(Copy(self.mirrors[name], at)), "mirror"
            except _DEFINITE:
                raise
            except S3Error:
                continue
        for mirror in self.mirrors.values() if self.stale_reads else ():
            try:
                return await ask(Copy(mirror, at, stale=True)), "stale_mirror"
            except S3Error:
                continue
        raise otherwise

    @staticmethod
    def _check_version(at: Address, look: Look) -> None:
        if at.version not in {None, "null"} and look.mode is not Mode.NORMAL:
            raise NotImplementedByGateway("Versions cannot be read while the storage of this bucket is not available.")


@cache
def _reads(route: str, source: str) -> Counter:
    return metrics.READS.labels(route, source)  # looking labels up costs more than counting
