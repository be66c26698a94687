"""What the journal says and is told.

Words: a *route* is a configured bucket (or all others, "*") that has a fallback or mirrors. A *row* is the newest state
of a key while the primary lacks it. An *op* is an intent, committed before a write begins. A *task* says that a key may
differ on a mirror. A *node* is one worker process of one boot. Times are seconds of the database's clock, except where
a loop's clock is named.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, IntEnum, StrEnum
from typing import Final, NamedTuple

from gateway.storage import PRIVATE, Address, BucketInfo, ObjectInfo, WriteOptions


class Mode(IntEnum):
    """Where writes go: to the primary, to the fallback, or to both, key by key, until all is back on the primary."""

    NORMAL = 0
    FAILOVER = 1
    HEALING = 2
    RECONCILE = 3  # nowhere: the database was lost or set back, and nobody knows what is the newest state of a key


class Kind(IntEnum):
    """What was last done to a key, as far as is known; of two that overlapped, the greater."""

    COPY = 0  # nothing: a repair or a first copy wants the mirror looked at
    PUT = 1
    DELETE = 2  # only this lets a mirror's object be deleted


class Outcome(StrEnum):
    """What became of a write."""

    APPLIED = "applied"
    REFUSED = "refused"  # certainly not applied, now or later
    UNKNOWN = "unknown"  # may be applied, now or within Timing.hold


class Baseline(StrEnum):
    """Whether a mirror has been given what was there before it was one."""

    NONE = "none"
    RUNNING = "running"
    COMPLETE = "complete"  # only now may it answer for the primary
    INVALID = "invalid"


class Presence(IntEnum):
    """Whether the primary has a bucket, as far as the journal knows."""

    UNSURE = 0  # nobody has told
    KNOWN = 1  # it has, or may have it
    NEW = 2  # the bucket was made while the primary was down, which therefore lacks it and all that is in it
    COMING = 3  # as NEW, but it is being made at the primary: there it may be by now, empty
    GOING = 4  # it is being deleted at the primary, or was: it may be there, but nobody else may tell of it
    ABSENT = 5  # all buckets of the primary were told of, and this one was not

    @property
    def is_new(self) -> bool:
        """Whether a key of the bucket that has no row does not exist."""
        return self in {Presence.NEW, Presence.COMING}


class Status(StrEnum):
    """What S3 says of an object whose bucket is replicated.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-status.html
    """

    PENDING = "PENDING"
    COMPLETED = "COMPLETED"  # on every mirror
    FAILED = "FAILED"  # at one of them at least, which is not tried any more
    REPLICA = "REPLICA"  # what is shown is itself a mirror's


@dataclass(frozen=True, slots=True)
class Timing:
    """How long is waited, in seconds."""

    lease: float = 5.0  # a node may act by NORMAL so long after it asked
    poll: float = 1.0
    worker_poll: float = 1.0  # between two looks for work where there was none
    node_lease: float = 10.0  # a node's ops are its own so long after it asked
    hold: float = 600.0  # a write whose answer was lost may be applied so much later
    worker_lease: float = 60.0
    worker_margin: float = 20.0  # no write begins so shortly before the end of a worker's lease
    down_after: float = 10.0
    up_after: float = 60.0
    sweep_every: float = 5.0
    backoff: float = 1.0  # doubled with each failure, up to backoff_limit
    backoff_limit: float = 900.0
    dead_after: float = 3600.0  # a task is given up after so long, and
    dead_failures: int = 5  # so many answers that no retry will change
    drift: float = 0.1  # how far clocks may drift apart within a lease


class Standing(NamedTuple):
    """What a node may rely on, in seconds from before it asked; 0 where it must `look` each time."""

    mode: Mode
    epoch: int
    mode_for: float
    node_for: float


class Vote(NamedTuple):
    """For how long a node has seen the primary fail without exception, or answer; None: it does not."""

    down_for: float | None = None
    up_for: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """The newest state of a key that the primary lacks. `staged` is its object's key on the fallback."""

    at: Address
    gen: int
    staged: str  # "": deleted
    info: ObjectInfo | None  # None: deleted. With its parts, if it has some; the key is the client's

    @property
    def deleted(self) -> bool:
        """Whether the key was deleted: a tombstone."""
        return not self.staged


class Look(NamedTuple):
    """All that decides about a key, of one moment.

    `dirty` are the targets that are not known to equal the newest state: their baseline is not complete, they lack
    something, or a write to the primary is under way. `refused`: those of them where that was given up.
    """

    mode: Mode
    row: Row | None
    dirty: frozenset[str]
    presence: Presence = Presence.UNSURE
    epoch: int = 0  # how often the mode was changed
    refused: frozenset[str] = frozenset()

    @property
    def status(self) -> Status:
        """How far the newest state has got, by the journal's word of this moment."""
        if self.refused:
            return Status.FAILED
        return Status.PENDING if self.dirty else Status.COMPLETED

    @property
    def is_new(self) -> bool:
        """Whether the bucket is one that the primary lacks."""
        return self.presence.is_new


class Recorded(NamedTuple):
    """What is written down of a bucket; labels and age only while it is new."""

    name: str
    presence: Presence
    gen: int
    labels: Mapping[str, str]
    created: datetime

    @property
    def info(self) -> BucketInfo:
        """The bucket as it is told to clients."""
        return BucketInfo(self.name, self.created, self.labels)


class Intent(NamedTuple):
    """That the primary is about to be asked to make a bucket. `is_first`: nothing was written down of it before."""

    bucket: str
    presence: Presence
    gen: int
    is_first: bool


class Op(NamedTuple):
    """An intent. The id is made by the node and never used again."""

    id: str
    at: Address
    kind: Kind
    on_fallback: bool
    staged: str  # the key on the fallback that is about to be written
    began: float


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease on a row (then `target` is "") or on a task.

    A write for it must begin before `deadline`, of the loop's clock. `row` is the state to write, None if that is the
    primary's. `in_flight`: a client's write to the primary is under way, so what it holds may change. `braked`: nothing
    may be deleted from the target. `counts`: what is written now is the last word, unless the key is written again.
    """

    at: Address
    gen: int
    token: str
    claimed: float
    deadline: float
    row: Row | None
    kind: Kind
    target: str = ""
    attempts: int = 0
    in_flight: bool = False
    braked: bool = False
    counts: bool = True


class Turn(NamedTuple):
    """Whose turn it is at a key: that of who holds `claim`; without one, somebody else's, or nobody's."""

    claim: Claim | None
    is_over: bool = False  # nothing is to be waited for


class Trash(NamedTuple):
    """An object of our own that nobody needs any more, by the name of its backend; without a key, a bucket."""

    backend: str
    at: Address


class Dirty(NamedTuple):
    """A key that mirrors may lack. `certain`: `info` (None: deleted) is what the last finished write left."""

    key: str
    targets: frozenset[str]
    certain: bool
    info: ObjectInfo | None


class Dead(NamedTuple):
    """A task given up until somebody revives it."""

    at: Address
    target: str
    error: str
    since: float


class Lag(NamedTuple):
    """How far a target is behind: keys, their bytes as far as known, seconds since the oldest, keys given up."""

    pending: int = 0
    bytes: int = 0
    oldest: float = 0.0
    dead: int = 0


class Replica(NamedTuple):
    """The standing of a target. While it is paused nobody works for it; what it lacks is still written down."""

    baseline: Baseline = Baseline.NONE
    paused: bool = False
    braked: bool = False  # so much was deleted there at once that nothing more is until somebody says so
    overflowed: bool = False  # it lacks so much that no more of it is written down


class Overflow(NamedTuple):
    """That a target lacks more than is written down. `ended`: what happens now is; `deletes`: some of it were that."""

    ended: bool
    deletes: bool


class Healing(NamedTuple):
    """What the primary still lacks."""

    objects: int = 0
    tombstones: int = 0
    bytes: int = 0
    oldest: float = 0.0  # seconds
    buckets: int = 0  # that it lacks themselves


class Lineage(NamedTuple):
    """Which database the journal of a route is kept in, and how far it has got; a beacon on a storage says the same.

    Up to `floor` all that the echo says is over. `id` is "" where the storages tell of another database.
    """

    id: str
    number: int  # grows whenever something has happened
    gen: int  # no gen of that time is greater
    floor: int


class RouteState(NamedTuple):
    """What an operator is told of a route."""

    mode: Mode
    epoch: int
    since: float  # seconds ago
    reason: str
    pinned: bool


@dataclass(frozen=True, slots=True)
class Begun:
    """A multipart upload on the fallback; `inner` is its id there, `staged` the key that it writes."""

    id: str
    at: Address
    inner: str
    staged: str
    initiated: datetime
    options: WriteOptions = field(default_factory=WriteOptions)


class Unset(Enum):
    """Tells that nothing was said, where None says something."""

    UNSET = 0


UNSET: Final = Unset.UNSET

Known = ObjectInfo | None | Unset
"""What a clean mirror holds of a key: None is absence, UNSET that nobody knows."""


class Seen(NamedTuple):
    """What a clean mirror held of a key, and in which epoch: in another one the primary may have taken writes since."""

    info: ObjectInfo | None
    epoch: int


Targets = Sequence[str]
Lags = Mapping[str, Lag]

SOURCE_MISSING: Final = "SourceMissing"  # the error of a task whose object only the mirror has
BRAKE: Final = "brake"  # the error of a task whose delete waits for an operator

STAGE: Final = f"{PRIVATE}stage/"

_BASE32: Final = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id() -> str:
    """Return an id that nobody ever made before; later ones sort behind earlier ones, to the millisecond."""
    number = (time.time_ns() // 1_000_000 << 80) | int.from_bytes(os.urandom(10), "big")
    return "".join(_BASE32[number >> shift & 31] for shift in range(125, -1, -5))


def staged_key(identity: str) -> str:
    """Return the key on the fallback under which what `identity` names is staged."""
    return f"{STAGE}{identity[-2:]}/{identity}"
