"""What a mirror held before it was overwritten or deleted: kept for a while, hidden from clients."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Final

import structlog

from gateway.errors import NoSuchBucket, NoSuchKey, S3Error
from gateway.replication import corner
from gateway.replication.copier import described, gen_of
from gateway.replication.outcome import name_of
from gateway.storage import PRIVATE, Address, Backend, ListQuery, ObjectInfo

log = structlog.get_logger()
TRASH: Final = f"{PRIVATE}trash/"
EVERY: Final = timedelta(hours=6).total_seconds()  # between two looks at what is old
LONGEST: Final = 512  # bytes of a name; a bucket's prefix at its backend may take as many
_DAY: Final = "%Y%m%d"


@dataclass(frozen=True, slots=True)
class Keeping:
    """Copies aside what is about to go from a mirror, and deletes it when it was there for `protect` seconds.

    With 0, nothing is kept. `buckets` names what there is to look through.
    """

    mirror: Backend
    protect: float

    async def keep(self, at: Address, held: ObjectInfo) -> None:
        """Have the mirror copy what it holds there by itself. It may be asked any number of times."""
        name = kept_key(at.key, held, datetime.now(UTC).date())
        with suppress(NoSuchKey):  # then there is nothing to be kept
            await self.mirror.copy(at, Address(at.bucket, name), described(held), held.etag)

    async def run(self, buckets: Callable[[], Awaitable[Sequence[str]]]) -> None:
        """Delete for ever what has become old."""
        while True:
            try:
                for bucket in await buckets():
                    await self.clear(bucket)
            except S3Error as error:
                log.warning("kept_too_long", target=self.mirror.name, error=name_of(error))
            await asyncio.sleep(EVERY)

    async def clear(self, bucket: str) -> None:
        """Delete what was put aside on days that are long enough ago. Raises: S3Error."""
        last = _last_day(datetime.now(UTC), self.protect)
        with suppress(NoSuchBucket):
            for prefix in (await self.mirror.list_objects(bucket, ListQuery(TRASH, "/"))).prefixes:
                if _is_until(prefix, last):
                    await corner.remove(self.mirror, bucket, prefix)


async def kept_days(mirror: Backend, bucket: str, since: date) -> Sequence[str]:
    """Return the prefixes under which a mirror keeps what went on that day, or on a later one. Raises: S3Error."""
    page = await mirror.list_objects(bucket, ListQuery(TRASH, "/"))
    return [prefix for prefix in page.prefixes if (day := _day_of(prefix)) and day >= since]


def kept_key(key: str, held: ObjectInfo, day: date) -> str:
    """Return the name under which a state of a key is kept: never that of another state, and never too long."""
    return kept_under(f"{TRASH}{day.strftime(_DAY)}/", key, gen_of(held), held.etag)


def kept_under(start: str, key: str, gen: int, etag: str) -> str:
    """Likewise, by the prefix of a day, and by what tells states of a key apart."""
    end = f"@{gen}-{etag[:8]}"
    room = LONGEST - len(start) - len(end)
    if len(key.encode()) <= room:
        return f"{start}{key}{end}"
    digest = f"~{sha256(key.encode()).hexdigest()[:32]}"
    return f"{start}{key.encode()[: room - len(digest)].decode(errors='ignore')}{digest}{end}"


def _is_until(prefix: str, last: date) -> bool:
    """Say whether a prefix is a day, and not after that one."""
    day = _day_of(prefix)
    return day is not None and day <= last


def _day_of(prefix: str) -> date | None:
    try:
        return datetime.strptime(prefix, f"{TRASH}{_DAY}/").replace(tzinfo=UTC).date()
    except ValueError:
        return None


def _last_day(now: datetime, protect: float) -> date:
    """Return the last day all of which is old enough."""
    return (now - timedelta(seconds=protect)).date() - timedelta(days=1)
