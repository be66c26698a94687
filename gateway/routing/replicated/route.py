"""What all that is done to a replicated bucket shares: its storages, and the rules by which one is chosen."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.errors import InternalError, NoSuchBucket, ServiceUnavailable
from gateway.replication.echo import Echo
from gateway.replication.journal import Journal
from gateway.replication.member import Member
from gateway.replication.pace import Pace
from gateway.replication.records import Look, Mode, Presence, Timing
from gateway.routing.replicated.answers import not_current, not_reconciled, refused, unavailable
from gateway.storage import Address, Backend

NO_ANSWER: Final = (ServiceUnavailable, InternalError)
Follow = Callable[[Address], Awaitable[None]]
_NORMAL: Final = Look(Mode.NORMAL, None, frozenset())


@dataclass(frozen=True, slots=True)
class Storages:
    """Where the objects of a route are. All take the gateway's names of buckets.

    `stale_reads`: while the primary is down, a mirror may answer that lacks newer writes, though never with "not
    found". `follow`: what a write to the primary waits for before it is acknowledged, each for a mirror that is to hold
    it then; they raise S3Errors. `echo`: where what the primary lacks is said once more; `echo_deletes`: deletes, too.
    `pace`: what holds writes back while a mirror is too far behind. `status`: reads of the primary tell how far mirrors
    have got, which takes a question to the journal.
    """

    primary: Backend
    fallback: Backend | None = None
    mirrors: Mapping[str, Backend] = field(default_factory=dict)
    stale_reads: bool = False
    follow: Sequence[Follow] = ()
    echo: Echo | None = None
    echo_deletes: bool = True
    pace: Pace | None = None
    status: bool = False


class Route:
    """The rules that reading, writing and listing ask."""

    def __init__(self, name: str, storages: Storages, journal: Journal, member: Member, timing: Timing) -> None:
        self.name = name
        self.primary = storages.primary
        self.mirrors = storages.mirrors
        self.stale_reads, self.follow = storages.stale_reads, storages.follow
        self.pace = storages.pace
        self.tells_status = storages.status and bool(storages.mirrors)
        self.echo, self.echo_deletes = storages.echo, storages.echo_deletes
        self.journal, self.member, self.timing = journal, member, timing
        self._fallback = storages.fallback
        self._prepared: set[str] = set()  # buckets that the fallback has
        self._recorded: set[str] = set()  # and those of which the journal knows that the primary has them

    @property
    def fallback(self) -> Backend:
        """The storage that is written while the primary is down. Raises: ServiceUnavailable, if there is none."""
        if self._fallback is None:
            raise unavailable()
        return self._fallback

    @property
    def deputies(self) -> Sequence[Backend]:
        """The storages that tell of buckets while the primary is down: all that a bucket's labels are kept on."""
        return [self._fallback] if self._fallback else list(self.mirrors.values())

    async def look(self, at: Address) -> Look:
        """Return what decides where a key is read and written; what is dirty only where the journal was asked.

        Raises: NoSuchBucket, if the journal knows that there is none.
        """
        if self.member.mode is Mode.NORMAL:
            return _NORMAL
        return await self.look_anew(at)

    async def look_anew(self, at: Address) -> Look:
        """As `look`, by the journal's word, if that can be trusted."""
        with refused():
            look = await self.journal.look(at)
        if look.mode is Mode.RECONCILE:
            raise not_reconciled()
        if look.mode is Mode.FAILOVER and look.presence is Presence.ABSENT:
            raise NoSuchBucket(BucketName=at.bucket)
        if look.mode is Mode.FAILOVER and look.presence is Presence.GOING:
            raise not_current()
        return look

    def is_on_primary(self, look: Look) -> bool:
        """Say whether the primary has the newest state of a key."""
        return look.mode is not Mode.FAILOVER and look.row is None and not look.is_new

    def is_on_fallback(self, look: Look) -> bool:
        """Say where a key is to be written: a key that the primary lacks is the healer's there, and nobody else's.

        So is each key of a bucket that the primary lacks.
        """
        return look.mode is Mode.FAILOVER or (look.mode is Mode.HEALING and (look.row is not None or look.is_new))

    def clean(self, look: Look) -> Sequence[str]:
        """Return the mirrors that hold the newest state of a key for sure."""
        return [name for name in self.mirrors if name not in look.dirty]

    async def may_write_primary(self, at: Address, term: int) -> bool:
        """Say whether the primary may be written now, all but the last bytes being there."""
        return await self.member.may_write(at, term)
