"""A bucket in memory, and a shelf for its snapshots."""

from datetime import UTC, datetime

from gateway.backends.memory import Memory
from gateway.snapshots.manifest import Subject
from gateway.snapshots.shelf import Shelf
from gateway.snapshots.signing import Signer
from gateway.snapshots.taking import take
from gateway.storage import Address, ListQuery, WriteOptions
from tests.backends.given import keys, put, read

BUCKET = "media"
SUBJECT = Subject(BUCKET, BUCKET, "memory")
KEY, OTHER = b"k" * 32, b"o" * 32
KEPT = ListQuery(".gw/snapshot/media/")


class Shelved:
    """What is kept where it can be got at."""

    def __init__(self, *signing):
        self.storage = Memory()
        self.shelf = Shelf(self.storage, BUCKET, BUCKET, Signer(signing or [KEY]))

    async def ready(self, *names):
        await self.storage.create_bucket(BUCKET, {"owner": "me"})
        for name in names:
            await put(self.storage, Address(BUCKET, name), name.encode())
        return self

    async def take(self, subject=SUBJECT, since=None):
        return await take(self.storage, subject, self.shelf, since or datetime.now(UTC), lambda _: None)

    async def names(self):
        return await keys(self.storage, BUCKET, KEPT)

    async def bytes_of(self, head):
        return await read(self.storage, self.at(head))

    async def replace(self, head, data):
        await put(self.storage, self.at(head), data, WriteOptions())

    @staticmethod
    def at(head):
        return Address(BUCKET, f".gw/snapshot/media/{head.id}.jsonl.gz")


async def named(shelf, identity, prefix=""):
    async with shelf.opened(identity) as manifest:
        return [entry.key for entry in manifest.entries(prefix)]
