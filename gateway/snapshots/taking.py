"""What a storage holds, asked of it object by object, and written down."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from gateway.errors import NoSuchKey, PreconditionFailed, ServiceUnavailable
from gateway.replication.copier import gen_of, unstamped
from gateway.replication.walk import batches, listed
from gateway.snapshots.manifest import Draft, Entry, Head, Subject
from gateway.snapshots.shelf import Shelf, new_id
from gateway.storage import Address, Backend, ObjectInfo, ReadOptions

AT_ONCE: Final = 64  # objects that are asked for
ATTEMPTS: Final = 5
WITH_PARTS: Final = ReadOptions(parts=True)
Tell = Callable[[Draft], None]


async def take(storage: Backend, subject: Subject, shelf: Shelf, since: datetime, tell: Tell) -> Head:
    """Write down what a bucket holds, put that on the shelf, and return its head. Memory: a page of the listing.

    What the storage holds has been the newest state of its object at `since` or later. `tell` hears how far it is.
    Raises: S3Error, where anything cannot be asked; then there is no snapshot.
    """
    began = datetime.now(UTC)
    with tempfile.TemporaryFile() as file:
        draft = Draft(file)
        async for entries in states(storage, subject):
            await asyncio.to_thread(draft.add, entries)
            tell(draft)
        head = await asyncio.to_thread(draft.end, new_id(began), subject, since, datetime.now(UTC))
        await shelf.put(draft, head)
        return head


async def states(storage: Backend, subject: Subject) -> AsyncIterator[Sequence[Entry]]:
    """Give all objects of a bucket in order, some at once. Raises: S3Error."""
    async for infos in batches(listed(storage, subject.bucket, subject.prefix), AT_ONCE):
        found = await asyncio.gather(*(state(storage, Address(subject.bucket, info.key)) for info in infos))
        yield [entry for entry in found if entry]


async def state(storage: Backend, at: Address) -> Entry | None:
    """Return what is there; None if nothing is. Raises: S3Error."""
    for _ in range(ATTEMPTS):
        try:
            return entry_of(await storage.head(at, WITH_PARTS))
        except NoSuchKey:
            return None
        except PreconditionFailed:  # it was replaced while its parts were asked for
            continue
    raise ServiceUnavailable(f"{at.key} is written all the time.")


def entry_of(info: ObjectInfo) -> Entry:
    """Return what is written down of an object."""
    origin = unstamped(info)
    return Entry(origin, gen_of(info), info.etag if info.etag != origin.etag else "")
