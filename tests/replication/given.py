"""What the tests of the journal begin with."""

from datetime import UTC, datetime

from gateway.checksums import Checksum
from gateway.replication.journal import Journal
from gateway.replication.records import Kind, Mode, Seen, Timing, Vote
from gateway.storage import Address, ObjectInfo, Part

TIMING = Timing(backoff=1.0)
TARGETS = ["copy", "vault"]
DOWN, UP, NOTHING = Vote(down_for=100.0), Vote(up_for=100.0), Vote()
KEY = Address("media", "designs/42.png")
AGES = 10_000.0


def journal(store, node="one", targets=TARGETS, route="media", timing=TIMING):
    return Journal(store, route, node, targets, timing, fallback="disk")


def info(key=KEY.key, size=3, etag="900150983cd24fb0d6963f7d28e17f72"):
    return ObjectInfo(
        key,
        size,
        etag,
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        {"content-type": "image/png"},
        {"colour": "blå"},
        {"owner": "me"},
        Checksum("CRC64NVME", "AAAAAAAAAAA="),
        1,
        [Part(1, etag, size, checksum=Checksum("CRC64NVME", "AAAAAAAAAAA="))],
    )


async def failed_over(store, node="one", **options):
    """Return the journal of a route whose primary is down, the barrier being passed."""
    here = journal(store, node, **options)
    await here.beat(NOTHING, automatic=False)
    await here.turn(Mode.FAILOVER, "a test")
    store.later(TIMING.lease + TIMING.drift)
    return here


async def committed(here, at=KEY, **options):
    """Write an object to the fallback."""
    op = await here.begin(at, Kind.PUT, on_fallback=True)
    return await here.commit(op, info(at.key), **options)


async def seen(here, held):
    """Say what a clean mirror holds."""
    return Seen(held, (await here.look(KEY)).epoch)


async def settled(here, *settlements):
    """Say what became of ops, and wait until it is written down."""
    for settlement in settlements:
        here.settle(*settlement)
    await here.drained()
