"""What all that is done to a bucket that moves shares: where a key's state is, and how the old storage is asked."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from gateway.errors import (
    BucketAlreadyExists,
    InvalidPartNumber,
    InvalidRange,
    NoSuchBucket,
    NoSuchKey,
    NotModified,
    PreconditionFailed,
    S3Error,
    SlowDown,
)
from gateway.migration.copying import is_migrated
from gateway.migration.tombs import Burial, Tombs
from gateway.replication.copier import MIGRATED
from gateway.routing.replicated.answers import not_current, refused, unavailable, unknown
from gateway.routing.together import Together
from gateway.state.store import StateUnknown
from gateway.storage import Address, Backend, ObjectInfo, ReadOptions

ABOUT_IT: Final = (NotModified, PreconditionFailed, InvalidRange, InvalidPartNumber)  # said of an object that is there
PATIENCE: Final = 20  # how often it is tried to bury a key about which somebody decides
PAUSE: Final = 0.1  # seconds
_ALL: Final = ReadOptions()


@dataclass(frozen=True, slots=True)
class Storages:
    """Where the objects of a route are. Both take the gateway's names of buckets.

    `wanted` is told of a key that only the old one has, for it to be copied; it returns at once.
    """

    new: Backend
    old: Backend
    wanted: Callable[[Address], None]


class Seen(NamedTuple):
    """What is known of a key: what each storage has, the old one's where that counts; `info` is what a client sees."""

    new: ObjectInfo | None
    buried: bool = False
    old: ObjectInfo | None = None

    @property
    def is_own(self) -> bool:
        """Say whether a client has written it to the new storage: then that alone tells of it."""
        return self.new is not None and not is_migrated(self.new)

    @property
    def info(self) -> ObjectInfo | None:
        return None if self.buried and not self.is_own else self.new or self.old


class Moving:
    """The rules that reading, writing and listing ask."""

    def __init__(self, name: str, storages: Storages, tombs: Tombs, hold: float) -> None:
        """`hold`: for how many seconds the new storage may still apply a write whose answer was lost."""
        self.name = name
        self.new, self.old, self.wanted = storages.new, storages.old, storages.wanted
        self.tombs, self.hold = tombs, hold
        self._together = Together()
        self._prepared: set[str] = set()  # buckets that the new storage has

    async def prepare(self, bucket: str) -> None:
        """Have the bucket on the new storage, if there is one that nobody deleted. Raises: NoSuchBucket."""
        if bucket in self._prepared:
            return
        try:
            await self.new.head_bucket(bucket)
        except NoSuchBucket:
            if await self.is_buried(Address(bucket)):
                raise
            labels = await self._labels_on_old(bucket)
            with suppress(BucketAlreadyExists):
                await self.new.create_bucket(bucket, labels)
        self._prepared.add(bucket)

    async def _labels_on_old(self, bucket: str) -> Mapping[str, str]:
        try:
            return (await self.old.head_bucket(bucket)).labels
        except NoSuchBucket:
            raise
        except S3Error as error:
            raise not_current() from error

    async def look(self, at: Address, options: ReadOptions = _ALL) -> Seen:
        """Return what is known of a key.

        Whether it is buried is asked after what the new storage has: what is copied meanwhile must not hide a delete.
        If it is, the new one is asked once more, and alone.
        """
        new = await self.look_new(at, options)
        if new and not is_migrated(new):
            return Seen(new)
        if await self.is_buried(at):
            return Seen(await self.look_new(at, options), buried=True)
        return Seen(new) if new else Seen(None, old=await self.look_old(at, options))

    async def look_new(self, at: Address, options: ReadOptions = _ALL) -> ObjectInfo | None:
        """Return what the new storage has."""
        try:
            return await self.new.head(at, options)
        except NoSuchKey:
            return None

    async def look_old(self, at: Address, options: ReadOptions = _ALL) -> ObjectInfo | None:
        """Return what the old storage has."""
        try:
            with of_old():
                return await self.old.head(at, options)
        except NoSuchKey:
            return None

    async def bury(self, at: Address) -> tuple[Seen, Burial]:
        """Have a key be dead in the old storage, and return what the new one had just before that.

        It is looked first: what a client puts there between the two outlives the delete. Raises: ServiceUnavailable, if
        somebody decides about the key for long; InternalError, if nobody knows.
        """
        for _ in range(PATIENCE):
            seen = Seen(await self.look_new(at) if at.key else None)
            try:
                with refused():
                    burial = await self.tombs.bury(at)
            except StateUnknown as error:
                raise unknown() from error
            if burial is not Burial.HELD:
                return seen, burial
            await asyncio.sleep(PAUSE)
        raise unavailable()

    async def is_buried(self, at: Address) -> bool:
        """Say whether a key is dead in the old storage."""
        return await self.tombs.is_buried(at)


def unmarked(info: ObjectInfo) -> ObjectInfo:
    """Return a copy as what it is to clients, and to who labels it for them."""
    return replace(info, labels={name: value for name, value in info.labels.items() if name != MIGRATED})


@contextmanager
def of_old() -> Iterator[None]:
    """Have no error of the old storage be an absence, nor a client's fault: that it lacks or denies the bucket, say."""
    try:
        yield
    except (NoSuchKey, SlowDown, *ABOUT_IT):
        raise
    except S3Error as error:
        raise not_current() from error
