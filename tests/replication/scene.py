"""Three storages, the journal between them, and clients that write the primary as the protocol asks them to."""

from dataclasses import replace

from gateway.errors import S3Error
from gateway.replication.healer import Healer
from gateway.replication.journal import Journal
from gateway.replication.mirroring import Mirroring
from gateway.replication.records import Baseline, Kind, Mode, Outcome, Timing
from gateway.storage import Address, WriteOptions
from tests.backends.given import body, completed, read
from tests.replication.given import NOTHING, settled
from tests.routing.replicated.world import Faulty

BUCKET = "media"
AT = Address(BUCKET, "designs/42.png")
TARGET = "copy"
TIMING = Timing(backoff=0.0, worker_poll=0.01)
MIB = 1024 * 1024


class Scene:
    """Nothing happens by itself: `mirrored` and `healed` let the workers do what there is to be done now."""

    def __init__(self, store, timing=TIMING):
        self.store, self.timing = store, timing
        self.primary, self.fallback, self.mirror = Faulty("primary"), Faulty("disk"), Faulty(TARGET)
        self.journal = Journal(store, "media", "one", [TARGET], timing, fallback="disk")
        self.mirroring = self.worker()

    @property
    def storages(self):
        return {"primary": self.primary, "fallback": self.fallback, "mirror": self.mirror}

    def worker(self, kind=Mirroring, **changed):
        return kind(self.journal, TARGET, self.timing, **self.storages | changed)

    async def ready(self):
        await self.journal.beat(NOTHING, automatic=False)
        await self.journal.set_baseline(TARGET, Baseline.COMPLETE)
        for storage in self.storages.values():
            await storage.inner.create_bucket(BUCKET, {})
        return self

    # --- clients ---

    async def put(self, data=b"data", at=AT, options=WriteOptions()):
        op = await self.journal.begin(at, Kind.PUT)
        stored = await self.primary.inner.put(at, body(data), options)
        await settled(self.journal, (op, Outcome.APPLIED, stored))
        return stored

    async def upload(self, sizes, at=AT, options=WriteOptions()):
        op = await self.journal.begin(at, Kind.PUT)
        stored = await completed(self.primary.inner, at, parts(sizes), options)
        await settled(self.journal, (op, Outcome.APPLIED, stored))
        return stored

    async def delete(self, at=AT):
        op = await self.journal.begin(at, Kind.DELETE)
        await self.primary.inner.delete(at)
        await settled(self.journal, (op, Outcome.APPLIED, None))

    async def put_on_fallback(self, data=b"data", at=AT, options=WriteOptions()):
        op = await self.journal.begin(at, Kind.PUT, on_fallback=True)
        stored = await self.fallback.inner.put(Address(at.bucket, op.staged), body(data), options)
        return await self.journal.commit(op, replace(stored, key=at.key))

    # --- the gateway ---

    async def turn(self, mode):
        await self.journal.turn(mode, "a test")
        self.store.later(self.timing.lease + self.timing.drift)

    async def fail_over(self):
        await self.turn(Mode.FAILOVER)

    async def claim(self):
        [claim] = await self.journal.claim_tasks(TARGET, 10)
        return claim

    async def claim_row(self):
        [claim] = await self.journal.claim_rows(10)
        return claim

    async def mirrored(self, mirroring=None):
        """Let the mirror catch up, and say whether it has."""
        for _ in range(5):
            if not await (mirroring or self.mirroring).round():
                break
        return not await self.pending()

    async def healed(self):
        """Let the primary catch up, once the rows have rested, and say whether it has."""
        self.store.later(self.timing.hold + 1)
        await Healer(self.journal, self.primary, self.fallback, self.timing).round()
        healing = await self.journal.unhealed()
        return not healing.objects + healing.tombstones

    async def pending(self):
        return (await self.journal.lag())[TARGET].pending

    async def is_clean(self, at=AT):
        return TARGET not in (await self.journal.look(at)).dirty


def parts(sizes):
    """Return parts of these sizes."""
    return [(number, bytes([number]) * size) for number, size in enumerate(sizes, start=1)]


async def found(storage, at=AT):
    """What a storage holds there; None, or the name of the error, where it holds nothing."""
    try:
        return await read(getattr(storage, "inner", storage), at)
    except S3Error as error:
        return None if error.code == "NoSuchKey" else error.code
