"""Where a state of an object that a manifest names still is: in its place, or among what a mirror keeps for a while."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Final

from gateway.errors import NoSuchKey
from gateway.replication.comparing import have_other_checksums
from gateway.replication.keeping import kept_days, kept_under
from gateway.snapshots.manifest import Entry
from gateway.snapshots.taking import entry_of, state
from gateway.storage import Address, Backend, ObjectInfo

_SKEW: Final = timedelta(days=1)  # the clock by which a mirror keeps is not the one by which a snapshot was taken


class Past:
    """The bucket that a snapshot is of, as it is now, and what its storage keeps of the time since."""

    def __init__(self, storage: Backend, bucket: str, since: datetime) -> None:
        self.storage, self._bucket = storage, bucket
        self._since = (since - _SKEW).date()
        self._days: list[str] | None = None

    async def find(self, entry: Entry) -> Address | None:
        """Return where that state is; None if it is lost. Raises: S3Error."""
        at = Address(self._bucket, entry.key)
        found = await state(self.storage, at)
        if found and is_state(found.info, entry.info):
            return at
        return await self.kept(entry)

    async def kept(self, entry: Entry) -> Address | None:
        """Return where the mirror keeps that state; None if it does not. Raises: S3Error."""
        async for at in self._names(entry):
            try:
                found = await self.storage.head(at)
            except NoSuchKey:
                continue
            if is_state(entry_of(found).info, entry.info):
                return at
        return None

    async def _names(self, entry: Entry) -> AsyncIterator[Address]:
        if self._days is None:
            self._days = list(await kept_days(self.storage, self._bucket, self._since))
        for day in self._days:
            yield Address(self._bucket, kept_under(day, entry.key, entry.gen, entry.etag))


def is_state(found: ObjectInfo, wanted: ObjectInfo) -> bool:
    """Say whether an object is in a state, whenever and under whichever name it was written."""
    beside = [(info.size, info.headers, info.metadata, info.labels) for info in (found, wanted)]
    if beside[0] != beside[1] or have_other_checksums(found, wanted):
        return False
    return found.etag == wanted.etag or _have_one_checksum(found, wanted)


def _have_one_checksum(found: ObjectInfo, wanted: ObjectInfo) -> bool:
    """Say whether both have the same checksum of all the bytes: a copy of what was made of parts has another ETag."""
    return found.checksum is not None and not found.checksum.composite and found.checksum == wanted.checksum
