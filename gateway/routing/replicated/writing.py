"""PUT and DELETE in a replicated bucket: on the primary under an intent, or staged and made current at once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import NoReturn, TypeVar

import structlog

from gateway.checksums import MD5
from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import (
    BucketAlreadyExists,
    ConditionalRequestConflict,
    InternalError,
    NoSuchBucket,
    NoSuchKey,
    S3Error,
    ServiceUnavailable,
)
from gateway.replication.echo import Entry
from gateway.replication.making import have
from gateway.replication.outcome import Fenced, name_of, outcome_of
from gateway.replication.records import UNSET, Kind, Look, Mode, Op, Outcome, Row, Seen, Unset
from gateway.routing.replicated.answers import failed, not_current, refused, unavailable, unknown
from gateway.routing.replicated.places import Copy
from gateway.routing.replicated.reading import Reading
from gateway.routing.replicated.route import NO_ANSWER
from gateway.state.store import StateUnknown
from gateway.storage import Address, Body, ObjectInfo, ReadOptions, WriteOptions

log = structlog.get_logger()
T = TypeVar("T")
Gate = Callable[[], Awaitable[None]]
Stage = Callable[[Op], Awaitable[ObjectInfo]]
Commit = Callable[[ObjectInfo], Awaitable[Row]]


class Writing(Reading):
    """PUT and DELETE, and what all writes share."""

    async def put(self, at: Address, body: Body, options: WriteOptions = WriteOptions()) -> ObjectInfo:
        async def write(gate: Gate) -> ObjectInfo:
            body.gate(gate)
            return await self.primary.put(at, body, options)

        async def stage(op: Op) -> ObjectInfo:
            body.digest.want(MD5)
            staged = replace(options, conditions=ANY_STATE)
            stored = await self.fallback.put(Address(at.bucket, op.staged), body, staged)
            if stored.size != body.received:
                raise InternalError
            return replace(stored, key=at.key, etag=body.digest[MD5].hex())

        look = await self.look(at)
        if not self.is_on_fallback(look):
            try:
                return await self._to_primary(at, Kind.PUT, write)
            except ServiceUnavailable:
                look = await self.look(at)
                if body.started or not self.is_on_fallback(look):
                    raise
        return await self._to_fallback(at, stage, options.conditions, look)

    async def delete(self, at: Address, conditions: Conditions = ANY_STATE) -> None:
        async def write(gate: Gate) -> None:
            await gate()
            await self.primary.delete(at, conditions)

        look = await self.look(at)
        if not self.is_on_fallback(look):
            try:
                await self._to_primary(at, Kind.DELETE, write)
            except ServiceUnavailable:
                look = await self.look(at)
                if not self.is_on_fallback(look):
                    raise
            else:
                return
        await self._bury(at, conditions, look)

    # --- the primary ---

    async def _to_primary(self, at: Address, kind: Kind, write: Callable[[Gate], Awaitable[T]]) -> T:
        """Write the primary. `write` awaits the gate it is given when all but the last bytes are there.

        What fails before that was certainly not done; what fails later, without a definite answer, may have been, and
        is tried nowhere else.
        """
        self._check_pace(kind)
        term = self.member.term
        op = await self._intend(at, kind)
        passed = over = False

        async def gate() -> None:
            nonlocal passed
            if over:  # it was refused, and the body goes to the fallback
                return
            if not await self.may_write_primary(at, term):
                raise Fenced
            passed = True

        try:
            stored = await write(gate)
        except BaseException as error:  # noqa: BLE001  _fail raises it
            over = True
            outcome = outcome_of(error) if passed else Outcome.REFUSED
            self._settle(op, outcome, None)
            self._fail(error, outcome)
        info = stored if isinstance(stored, ObjectInfo) else None
        if op and self.follow:
            await self._be_followed(op, info)
        else:
            self._settle(op, Outcome.APPLIED, info)
        await self._record(at.bucket)
        if self.pace and kind is Kind.PUT:
            await self.pace.delay()
        return stored

    def _check_pace(self, kind: Kind) -> None:
        """Refuse to write what a mirror would lack even longer. What is deleted is: it makes nobody wait."""
        if self.pace and kind is Kind.PUT:
            with refused():
                self.pace.check()

    async def _record(self, bucket: str) -> None:
        """Have it written down that the primary has a bucket, before anybody relies on what is in it.

        Most are when they are made; somebody may have made this one at the primary itself.
        """
        if self._fallback is None or bucket in self._recorded:
            return
        try:
            await self.journal.buckets.know([bucket])
        except ServiceUnavailable as error:
            raise unknown() from error
        self._recorded.add(bucket)

    async def _be_followed(self, op: Op, info: ObjectInfo | None) -> None:
        """Return when the mirrors that are to hold a write before it is acknowledged do so.

        Raises: InternalError, if one could not be brought to that: nothing is taken back, and it is tried on.
        """
        try:
            await self.journal.settled(op, Outcome.APPLIED, info)
            await asyncio.gather(*(follow(op.at) for follow in self.follow))
        except S3Error as error:
            log.warning("write_not_followed", route=self.name, error=name_of(error))
            raise unknown() from error

    async def _intend(self, at: Address, kind: Kind) -> Op | None:
        """Write an intent down before the first byte goes anywhere, so that no mirror misses it."""
        if not self.mirrors:
            return None
        with refused():
            return await self.journal.begin(at, kind)

    def _settle(self, op: Op | None, outcome: Outcome, info: ObjectInfo | None) -> None:
        if op:
            self.journal.settle(op, outcome, info)

    # --- the fallback ---

    async def _to_fallback(self, at: Address, stage: Stage, conditions: Conditions, look: Look) -> ObjectInfo:
        """Stage an object under a name of its own, then make it current: before that nobody sees it."""
        known = await self._known(at, look, conditions)
        op = await self._begin_staging(at, look)
        return await self._make_current(op, stage, partial(self._commit, op, conditions, known))

    async def _begin_staging(self, at: Address, look: Look) -> Op:
        self._check_pace(Kind.PUT)
        await self._prepare(at.bucket, look)
        with refused():
            return await self.journal.begin(at, Kind.PUT, on_fallback=True)

    async def _make_current(self, op: Op, stage: Stage, commit: Commit) -> ObjectInfo:
        staged = False
        try:
            info = await stage(op)
            staged = True
            row = await commit(info)
        except BaseException as error:
            is_unknown = isinstance(error, (StateUnknown, asyncio.CancelledError))
            outcome = Outcome.UNKNOWN if is_unknown else Outcome.REFUSED
            self.journal.settle(op, outcome)
            if not staged and isinstance(error, (*NO_ANSWER, NoSuchBucket)):
                self._prepared.discard(op.at.bucket)
                raise unavailable() from error  # nobody points to it, whatever is stored there
            self._fail(error, outcome)
        await self._echo(row)
        if self.pace:
            await self.pace.delay()
        return replace(info, parts=())

    async def _echo(self, row: Row) -> None:
        """Have the fallback say, too, what was made current. Raises: InternalError; it is current all the same."""
        if self.echo:
            try:
                await self.echo.note(Entry(row))
            except S3Error as error:
                log.warning("write_not_echoed", route=self.name, error=name_of(error))
                raise unknown() from error

    async def _commit(
        self, op: Op, conditions: Conditions, known: Seen | Unset, info: ObjectInfo, *, upload: str = ""
    ) -> Row:
        try:
            return await self.journal.commit(op, info, conditions, known, upload=upload)
        except ConditionalRequestConflict:  # a row came up: now that decides
            return await self.journal.commit(op, info, conditions, UNSET, upload=upload)

    def _fail(self, error: BaseException, outcome: Outcome) -> NoReturn:
        """Raise what is told of a write that failed."""
        if outcome is Outcome.UNKNOWN:
            log.warning("write_unknown", route=self.name, error=name_of(error), exc_info=not isinstance(error, S3Error))
        told = failed(error, outcome) if isinstance(error, Exception) else error
        raise told from (error.__cause__ if told is error else error)

    async def _bury(self, at: Address, conditions: Conditions, look: Look) -> None:
        """Make absence current: no storage needs to be asked or told until the primary is healed."""
        if self._fallback is None:
            raise unavailable()
        known = await self._known(at, look, conditions)
        try:
            with refused():
                rows = await self._bury_once(at, conditions, known)
        except StateUnknown as error:
            raise unknown() from error
        if self.echo and self.echo_deletes:
            for row in rows:
                await self.echo.note_if_possible(Entry(row))

    async def _bury_once(self, at: Address, conditions: Conditions, known: Seen | Unset) -> Sequence[Row]:
        try:
            return await self.journal.bury([at], conditions, known)
        except ConditionalRequestConflict:  # a row came up: now that decides
            return await self.journal.bury([at], conditions, UNSET)

    async def _known(self, at: Address, look: Look, conditions: Conditions) -> Seen | Unset:
        """Return what a clean mirror holds, if the conditions are about that, having checked them already.

        Raises: PreconditionFailed, NoSuchKey; ServiceUnavailable, if nobody knows.
        """
        if not conditions:
            return UNSET
        if look.row:
            conditions.check_write(at.key, look.row.info)
            return UNSET
        if look.is_new:
            conditions.check_write(at.key, None)
            return UNSET
        held = await self._held(at, look)
        conditions.check_write(at.key, held)
        return Seen(held, look.epoch)

    async def _held(self, at: Address, look: Look) -> ObjectInfo | None:
        for name in self.clean(look):
            try:
                return await Copy(self.mirrors[name], at).head(ReadOptions())
            except NoSuchKey:
                return None
            except S3Error:
                continue
        raise not_current()

    async def _prepare(self, bucket: str, look: Look) -> None:
        """Have the bucket on the fallback. Raises: NoSuchBucket by the primary's word only."""
        if bucket in self._prepared:
            return
        try:
            await self.fallback.head_bucket(bucket)
        except NoSuchBucket as error:
            if look.is_new:
                await self._create_as_recorded(bucket)
            elif look.mode is Mode.FAILOVER:
                raise unavailable() from error
            else:
                await self._create_as_on_primary(bucket)
        except NO_ANSWER as error:
            raise unavailable() from error
        self._prepared.add(bucket)

    async def _create_as_on_primary(self, bucket: str) -> None:
        try:
            labels = (await self.primary.head_bucket(bucket)).labels
            with suppress(BucketAlreadyExists):
                await self.fallback.create_bucket(bucket, labels)
        except NO_ANSWER as error:
            raise unavailable() from error

    async def _create_as_recorded(self, bucket: str) -> None:
        with refused():
            made = await self.journal.buckets.find(bucket)
        if made is None:
            raise NoSuchBucket(BucketName=bucket)
        try:
            await have(self.fallback, bucket, made.labels)
        except NO_ANSWER as error:
            raise unavailable() from error
