"""The shared memory of a route: every transaction of the protocol, and nothing else."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Concatenate, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import ServiceUnavailable
from gateway.replication import (
    braking,
    garbage,
    looking,
    modes,
    ops,
    replicas,
    reporting,
    rows,
    sweeping,
    tasks,
    uploads,
    working,
)
from gateway.replication.excess import Excess
from gateway.replication.inventory import Inventory
from gateway.replication.ops import Settlement
from gateway.replication.part import P, Part
from gateway.replication.past import Past
from gateway.replication.records import (
    UNSET,
    Baseline,
    Begun,
    Claim,
    Dead,
    Dirty,
    Healing,
    Kind,
    Lag,
    Look,
    Mode,
    Op,
    Outcome,
    Replica,
    RouteState,
    Row,
    Seen,
    Standing,
    Timing,
    Trash,
    Turn,
    Unset,
    Vote,
    new_id,
    staged_key,
)
from gateway.replication.reporting import Report
from gateway.replication.rows import Terms
from gateway.replication.rules import Rules
from gateway.replication.scope import Scope, in_range
from gateway.replication.together import Together
from gateway.state.schema import OPS, ROWS, TASKS
from gateway.state.store import StateUnavailable, Store, Transaction
from gateway.storage import Address, ObjectInfo, UploadQuery

GATHER: Final = 0.03  # seconds in which reports of the healer come together: it goes on meanwhile
_FIRST_PAUSE: Final = 0.05  # seconds
_LAST_PAUSE: Final = 5.0
log = structlog.get_logger()


class Journal(Part):
    """What one node says and asks of one route."""

    def __init__(  # noqa: PLR0913  what tells a node and a route from all others
        self, store: Store, route: str, node: str, targets: Sequence[str], timing: Timing, *, fallback: str = ""
    ) -> None:
        super().__init__(store, Scope(route, node, tuple(targets), fallback, self.rules(timing)))
        self._timing = timing
        self.past = Past(store, self._scope)
        self.buckets = Inventory(store, self._scope)
        self.excess = Excess(store, self._scope)
        self._begun: set[str] = set()
        self._settled: deque[Settlement] = deque()
        self._settling: asyncio.Task[None] | None = None
        self._healed: Together[rows.Report, bool] = Together(lambda reports: self._run(rows.healed, reports), GATHER)

    def rules(self, timing: Timing) -> Rules:
        """Return what the transactions ask before they decide."""
        return Rules(timing)

    @property
    def route(self) -> str:
        """The name of the route."""
        return self._scope.route

    @property
    def targets(self) -> Sequence[str]:
        """The names of its mirrors."""
        return self._scope.targets

    # --- modes ---

    async def beat(self, vote: Vote | None, *, automatic: bool) -> Standing:
        """Renew the node's lease and say what it sees, if it votes; change the mode if it is due."""
        return await self._run(modes.beat, vote, automatic=automatic)

    async def turn(self, to: Mode, reason: str, *, pin: bool = False) -> Mode:
        """Change the mode by order of an operator, and say to which: the way from FAILOVER to NORMAL is HEALING.

        With `pin` the mode does not leave FAILOVER or NORMAL by itself until it is turned without.
        """
        return await self._run(modes.turn, to, reason, pin=pin)

    async def state(self) -> RouteState:
        """Return what an operator is told."""
        return await self._read(modes.state)

    async def report(self) -> Report:
        """Return how the route and its mirrors do."""
        return await self._read(reporting.report)

    async def writing(self) -> float:
        """Return for how many seconds the oldest write to the primary is under way that is not known to be over."""
        return await self._read(ops.oldest)

    # --- a client's write ---

    async def look(self, at: Address) -> Look:
        """Return all that decides about a key, of one moment."""
        look = await self._store.glance(lambda tx: looking.look(tx, self._scope, at))
        if look is None:
            await self._run(modes.introduce)
            look = await self._read(looking.look, at)
        if look is None:
            raise StateUnavailable("A route that was written down is not there.")
        return look

    async def begin(self, at: Address, kind: Kind, *, on_fallback: bool = False, staged: str = "") -> Op:
        """Write down an intent, before the first byte of it goes anywhere.

        On the fallback `op.staged` is where to write: a key never used before, unless an upload's is given. Raises:
        SlowDown, where too much waits for the database already.
        """
        self._store.admit()
        op_id = new_id()
        if on_fallback and not staged:
            staged = staged_key(op_id)
        op = Op(op_id, at, kind, on_fallback, staged, 0.0)
        self._begun.add(op_id)
        try:
            return await self._run(ops.begin, op)
        except StateUnavailable:
            self._begun.discard(op_id)
            raise
        except BaseException:  # it may be there, and nobody would ever settle it
            self.settle(op, Outcome.UNKNOWN)
            raise

    def settle(self, op: Op, outcome: Outcome, info: ObjectInfo | None = None) -> None:
        """Say what became of an op; it is written down soon, however often the database must be asked.

        To the primary: what was applied is now lacking on the mirrors, `info` being what a PUT left. On the fallback,
        where `commit` settles what was applied: the staged object goes to the trash.
        """
        self._settled.append(Settlement(op, outcome, info))
        if self._settling is None or self._settling.done():
            self._settling = asyncio.get_running_loop().create_task(self._settle())

    async def settled(self, op: Op, outcome: Outcome, info: ObjectInfo | None = None) -> None:
        """As `settle`, and return when it is written down. Whatever is raised, it will be."""
        try:
            await self._run(ops.settle, [Settlement(op, outcome, info)])
        except BaseException:
            self.settle(op, outcome, info)
            raise
        self._begun.discard(op.id)

    async def drained(self) -> None:
        """Wait until all that was settled, or healed, is written down."""
        while self._settling is not None and not self._settling.done():
            await asyncio.wait([self._settling])
        await self._healed.drained()

    async def commit(  # noqa: PLR0913  it is the one point at which all of this is decided
        self,
        op: Op,
        info: ObjectInfo,
        conditions: Conditions = ANY_STATE,
        known: Seen | Unset = UNSET,
        *,
        upload: str = "",
        gen: int | None = None,
    ) -> Row:
        """Make a staged object the newest state of its key, and end the upload that it comes from, if any.

        Conditions are decided by the row, or, while there is none, by `known`. With `gen` the row must be that one
        still. Whatever is raised, `settle` the op
        (UNKNOWN after StateUnknown or a cancellation, else REFUSED). Raises: PreconditionFailed, NoSuchKey,
        ConditionalRequestConflict (another row came up meanwhile), NoSuchUpload, NoSuchBucket, ServiceUnavailable (the
        mode is another, the op was swept, or nobody knows what the conditions are about).
        """
        row = await self._run(rows.commit, op, info, Terms(conditions, known, upload, gen))
        self._begun.discard(op.id)
        return row

    async def bury(
        self, ats: Sequence[Address], conditions: Conditions = ANY_STATE, known: Seen | Unset = UNSET
    ) -> Sequence[Row]:
        """Make absence the newest state of keys, all or none, and return it. Raises as `begin` and `commit` do."""
        if not ats:
            return ()
        self._store.admit()
        return await self._run(rows.bury, ats, Terms(conditions, known))

    # --- listings and buckets ---

    async def rows(
        self, bucket: str, prefix: str = "", after: str = "", limit: int = 1000, *, inclusive: bool = False
    ) -> Sequence[Row]:
        """Return rows in byte order of their keys, those after `after`, or with `inclusive` from it on."""
        span = in_range(ROWS, prefix, after, inclusive=inclusive)
        return await self._read(rows.page, bucket, span, limit)

    async def dirty_keys(
        self, bucket: str, prefix: str = "", after: str = "", limit: int = 1000, *, inclusive: bool = False
    ) -> Sequence[Dirty]:
        """Return, likewise, the keys that mirrors may lack, without those whose baseline is not complete."""
        span = {table.name: in_range(table, prefix, after, inclusive=inclusive) for table in (TASKS, OPS)}
        return await self._read(tasks.dirty_keys, bucket, span, limit)

    async def has_any(self, bucket: str) -> bool:
        """Say whether anything is written down of a bucket: then it must not be deleted."""
        return await self._read(looking.is_known, bucket)

    # --- healing ---

    async def unhealed(self) -> Healing:
        """Return how much the primary lacks."""
        return await self._read(rows.unhealed)

    async def claim_rows(self, limit: int) -> Sequence[Claim]:
        """Take leases on rows to be written to the primary: deletes first, then the oldest. None unless HEALING."""
        return await self._claimed(rows.claim, limit, self._deadline())

    async def healed(self, claim: Claim, outcome: Outcome, error: str = "") -> bool:
        """Say how the write went, and learn whether that row is done: if not, it will be claimed again."""
        return await self._healed.ask(rows.Report(claim, outcome, error))

    # --- mirroring ---

    async def claim_tasks(self, target: str, limit: int) -> Sequence[Claim]:
        """Take leases on what a target lacks; nothing while it is paused."""
        return await self._claimed(working.claim, target, limit, self._deadline())

    async def take(self, target: str, at: Address) -> Turn:
        """Take a lease on one key, if it is its turn or not; there is nothing to do for a target that is paused."""
        return await self._run(working.take, target, at, self._deadline())

    async def mirrored(self, claim: Claim, outcome: Outcome, error: str = "", *, permanent: bool = False) -> bool:
        """Say how the write went (APPLIED also where nothing had to be written), and learn whether the key is clean.

        `permanent`: no retry will change the answer; after some of them the task is dead.
        """
        return await self._run(working.mirrored, claim, outcome, error, permanent=permanent)

    async def renew(self, claim: Claim) -> Claim | None:
        """Return the claim with a later deadline, or None if the lease is lost: then write no more."""
        deadline, held = self._deadline(), (working if claim.target else rows).renew
        return replace(claim, deadline=deadline) if await self._run(held, claim) else None

    async def release(self, claim: Claim, after: float) -> None:
        """Give a lease back, nothing having been sent, to be claimed again in `after` seconds."""
        await self._run((working if claim.target else rows).release, claim, after)

    async def mark(self, target: str, ats: Sequence[Address], kind: Kind = Kind.COPY) -> None:
        """Have keys looked at by the workers of a target. Forgets nothing of what is known of them.

        DELETE: what the primary lacks may be deleted there, because it was a client that has deleted it.
        """
        await self._run(tasks.touch, [tasks.Touch(at, kind, 0.0) for at in ats], [target])

    async def lag(self) -> dict[str, Lag]:
        """Return how far each target is behind."""
        return await self._read(tasks.lag)

    async def behind(self) -> dict[str, float]:
        """Return for how long targets that are to be in step have been lacking something, in seconds."""
        return await self._read(tasks.behind)

    async def error_of(self, target: str, at: Address) -> str:
        """Return why a target still lacks a key, "" if nothing is known to be in the way."""
        return await self._read(tasks.error_of, target, at)

    async def dead(self, target: str, limit: int = 1000) -> Sequence[Dead]:
        """Return tasks that were given up."""
        return await self._read(tasks.dead, target, limit)

    async def revive(self, target: str) -> int:
        """Have all dead tasks of a target tried again, and return how many they are."""
        return await self._run(tasks.revive, target)

    async def replica(self, target: str) -> Replica:
        """Return the standing of a target."""
        return await self._read(replicas.find, target)

    async def set_baseline(self, target: str, baseline: Baseline) -> None:
        """Say whether a target has been given all that was there before."""
        await self._run(replicas.change, target, "baseline", baseline.value)

    async def know(self, target: str, keys: int) -> None:
        """Say how many keys a target holds, so that it can be told how many deletes are too many."""
        await self._run(braking.know, target, keys)

    async def count(self, target: str, made: int, deleted: int) -> bool:
        """Say how many keys a target has got and lost, and learn whether from now on no more may be deleted there."""
        return await self._run(braking.count, target, made, deleted)

    async def pause(self, target: str, *, paused: bool = True) -> None:
        """Let nobody work for a target until it is let go on; then what waits to be deleted there is, too."""
        await self._run(replicas.pause, target, paused=paused)

    # --- leftovers ---

    async def sweep(self) -> Sequence[Trash]:
        """Turn ops that nobody will settle into tasks and trash; return trash that is due, to be deleted."""
        return await self._run(sweeping.sweep, frozenset(self._begun))

    async def discard(self, trash: Trash) -> None:
        """Write down an object to be deleted after Timing.hold."""
        await self._run(garbage.discard, [trash])

    async def swept(self, trash: Trash) -> None:
        """Say that an object is deleted."""
        await self._run(garbage.swept, trash)

    # --- multipart uploads that were begun on the fallback ---

    async def begin_upload(self, begun: Begun) -> None:
        """Write down an upload. Its id is of `new_id()`, its `staged` of `staged_key(id)`."""
        await self._run(uploads.begin, begun)

    async def find_upload(self, upload_id: str) -> Begun | None:
        """Return an upload, if it is open."""
        return await self._read(uploads.find, upload_id)

    async def uploads(self, bucket: str, query: UploadQuery) -> Sequence[Begun]:
        """Return open uploads by key and age; the delimiter of the query is not looked at."""
        return await self._read(uploads.page, bucket, query)

    async def end_upload(self, upload_id: str) -> bool:
        """Forget an upload that was aborted, or copied to the primary; what it staged goes to the trash."""
        return await self._run(uploads.end, upload_id)

    # --- how all of them are done ---

    async def _claimed(
        self, work: Callable[Concatenate[Transaction, Scope, P], Sequence[Claim]], *args: P.args, **kwargs: P.kwargs
    ) -> Sequence[Claim]:
        """Take leases. Who is cancelled meanwhile gives them back: nobody is to wait for their end."""
        asking = asyncio.ensure_future(self._run(work, *args, **kwargs))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            with suppress(ServiceUnavailable):
                for claim in await asking:
                    await self.release(claim, 0.0)
            raise

    def _deadline(self) -> float:
        """Return until when writes may begin under a lease that is asked for now."""
        return asyncio.get_running_loop().time() + self._timing.worker_lease - self._timing.worker_margin

    async def _settle(self) -> None:
        """Write down what was settled, all that has come together at once."""
        while self._settled:
            batch = [self._settled.popleft() for _ in range(min(len(self._settled), ops.AT_ONCE))]
            await self._settle_surely(batch)
            self._begun.difference_update(settlement.op.id for settlement in batch)

    async def _settle_surely(self, batch: Sequence[Settlement]) -> None:
        """Try until the database has taken it. What it never takes is given up, and swept one day as unknown."""
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._run(ops.settle, batch)
            except ServiceUnavailable:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LAST_PAUSE)
            except SQLAlchemyError as error:
                log.warning("not_settled", ops=[settlement.op.id for settlement in batch], error=str(error))
                return
            else:
                return
