"""The shared memory of a route: every transaction of the protocol, and nothing else."""

import asyncio
from collections.abc import Sequence

from gateway.conditions import ANY_STATE, Conditions
from gateway.replication.records import (
    UNSET,
    Baseline,
    Begun,
    Claim,
    Dead,
    Dirty,
    Healing,
    Kind,
    Known,
    Lag,
    Look,
    Mode,
    Op,
    Outcome,
    Replica,
    RouteState,
    Row,
    Standing,
    Timing,
    Trash,
    Vote,
)
from gateway.state.store import Store
from gateway.storage import Address, ObjectInfo, WriteOptions


class Journal:
    """What one node says and asks of one route.

    Every method may raise StateUnavailable (it was certainly not done) or StateUnknown (nobody knows), both
    ServiceUnavailable. After a cancellation nobody knows either.
    """

    def __init__(self, store: Store, route: str, node: str, targets: Sequence[str], timing: Timing) -> None:
        raise NotImplementedError

    # --- modes ---

    async def beat(self, vote: Vote, *, automatic: bool) -> Standing:
        """Renew the node's lease and say what it sees; change the mode if it is due."""
        raise NotImplementedError

    async def turn(self, to: Mode, reason: str, *, pin: bool = False) -> Mode:
        """Change the mode by order of an operator, and say to which: the way from FAILOVER to NORMAL is HEALING.

        With `pin` the mode does not leave FAILOVER or NORMAL by itself until it is turned without.
        """
        raise NotImplementedError

    async def state(self) -> RouteState:
        """Return what an operator is told."""
        raise NotImplementedError

    # --- a client's write ---

    async def look(self, at: Address) -> Look:
        """Return all that decides about a key, of one moment."""
        raise NotImplementedError

    async def begin(self, at: Address, kind: Kind, *, on_fallback: bool = False, staged: str = "") -> Op:
        """Write down an intent, before the first byte of it goes anywhere.

        On the fallback `op.staged` is where to write: a key never used before, unless an upload's is given.
        """
        raise NotImplementedError

    def settle(self, op: Op, outcome: Outcome, info: ObjectInfo | None = None) -> None:
        """Say what became of an op; it is written down soon, however often the database must be asked.

        To the primary: what was applied is now lacking on the mirrors, `info` being what a PUT left. On the fallback,
        where `commit` settles what was applied: the staged object goes to the trash.
        """
        raise NotImplementedError

    async def drained(self) -> None:
        """Wait until all that was settled is written down."""
        raise NotImplementedError

    async def commit(
        self, op: Op, info: ObjectInfo, conditions: Conditions = ANY_STATE, known: Known = UNSET, *, upload: str = ""
    ) -> Row:
        """Make a staged object the newest state of its key, and end the upload that it comes from, if any.

        Conditions are decided by the row, or, while there is none, by `known`. Whatever is raised, `settle` the op
        (UNKNOWN after StateUnknown or a cancellation, else REFUSED). Raises: PreconditionFailed, NoSuchKey,
        ConditionalRequestConflict (a row came up meanwhile), NoSuchUpload, ServiceUnavailable (the mode is another, the
        op was swept, or nobody knows what the conditions are about).
        """
        raise NotImplementedError

    async def bury(self, ats: Sequence[Address], conditions: Conditions = ANY_STATE, known: Known = UNSET) -> None:
        """Make absence the newest state of keys, all or none. Raises as `commit` does."""
        raise NotImplementedError

    # --- listings and buckets ---

    async def rows(
        self, bucket: str, prefix: str = "", after: str = "", limit: int = 1000, *, inclusive: bool = False
    ) -> Sequence[Row]:
        """Return rows in byte order of their keys, those after `after`, or with `inclusive` from it on."""
        raise NotImplementedError

    async def dirty_keys(
        self, bucket: str, prefix: str = "", after: str = "", limit: int = 1000, *, inclusive: bool = False
    ) -> Sequence[Dirty]:
        """Return, likewise, the keys that mirrors may lack, without those whose baseline is not complete."""
        raise NotImplementedError

    async def has_any(self, bucket: str) -> bool:
        """Say whether anything is written down of a bucket: then it must not be deleted."""
        raise NotImplementedError

    # --- healing ---

    async def unhealed(self) -> Healing:
        """Return how much the primary lacks."""
        raise NotImplementedError

    async def claim_rows(self, limit: int) -> Sequence[Claim]:
        """Take leases on rows to be written to the primary: deletes first, then the oldest. None unless HEALING."""
        raise NotImplementedError

    async def healed(self, claim: Claim, outcome: Outcome, error: str = "") -> bool:
        """Say how the write went, and learn whether that row is done: if not, it will be claimed again."""
        raise NotImplementedError

    # --- mirroring ---

    async def claim_tasks(self, target: str, limit: int) -> Sequence[Claim]:
        """Take leases on what a target lacks; nothing while it is paused."""
        raise NotImplementedError

    async def mirrored(self, claim: Claim, outcome: Outcome, error: str = "", *, permanent: bool = False) -> bool:
        """Say how the write went (APPLIED also where nothing had to be written), and learn whether the key is clean.

        `permanent`: no retry will change the answer; after some of them the task is dead.
        """
        raise NotImplementedError

    async def renew(self, claim: Claim) -> Claim | None:
        """Return the claim with a later deadline, or None if the lease is lost: then write no more."""
        raise NotImplementedError

    async def release(self, claim: Claim, after: float) -> None:
        """Give a lease back, nothing having been sent, to be claimed again in `after` seconds."""
        raise NotImplementedError

    async def mark(self, target: str, ats: Sequence[Address]) -> None:
        """Have keys looked at by the workers of a target. Forgets nothing of what is known of them."""
        raise NotImplementedError

    async def lag(self) -> dict[str, Lag]:
        """Return how far each target is behind."""
        raise NotImplementedError

    async def dead(self, target: str, limit: int = 1000) -> Sequence[Dead]:
        """Return tasks that were given up."""
        raise NotImplementedError

    async def revive(self, target: str) -> int:
        """Have all dead tasks of a target tried again, and return how many they are."""
        raise NotImplementedError

    async def replica(self, target: str) -> Replica:
        """Return the standing of a target."""
        raise NotImplementedError

    async def set_baseline(self, target: str, baseline: Baseline) -> None:
        """Say whether a target has been given all that was there before."""
        raise NotImplementedError

    async def pause(self, target: str, *, paused: bool = True) -> None:
        """Let nobody work for a target until it is let go on."""
        raise NotImplementedError

    # --- leftovers ---

    async def sweep(self) -> Sequence[Trash]:
        """Turn ops that nobody will settle into tasks and trash; return trash that is due, to be deleted."""
        raise NotImplementedError

    async def discard(self, trash: Trash) -> None:
        """Write down an object to be deleted after Timing.hold."""
        raise NotImplementedError

    async def swept(self, trash: Trash) -> None:
        """Say that an object is deleted."""
        raise NotImplementedError

    # --- multipart uploads that were begun on the fallback ---

    async def begin_upload(self, begun: Begun) -> None:
        """Write down an upload. Its `staged` is `staged_key(new_id())`."""
        raise NotImplementedError

    async def find_upload(self, upload_id: str) -> Begun | None:
        """Return an upload, if it is open."""
        raise NotImplementedError

    async def uploads(
        self, bucket: str, prefix: str = "", after: str = "", after_id: str = "", limit: int = 1000
    ) -> Sequence[Begun]:
        """Return open uploads by key and age: those of keys after `after`, or of it and after `after_id`, if given."""
        raise NotImplementedError

    async def end_upload(self, upload_id: str) -> bool:
        """Forget an upload that was aborted, or copied to the primary; what it staged goes to the trash."""
        raise NotImplementedError
