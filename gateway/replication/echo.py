"""What the journal says of keys that the primary lacks, said once more on the fallback, in case its database is lost.

An entry is stored before what it says is acknowledged, many of a moment in one object. Of a key, the entry with the
highest gen holds; one that says that a state is healed takes back what has that gen or a lower one.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import structlog

from gateway.errors import NoSuchBucket, S3Error, ServiceUnavailable
from gateway.replication.encoding import decode, encode
from gateway.replication.outcome import name_of
from gateway.replication.records import Row, new_id
from gateway.storage import PRIVATE, Address, Backend, Body, ListQuery
from gateway.transfer import bytes_of

log = structlog.get_logger()
AT_ONCE: Final = 8  # objects written at once
MOST: Final = 1000  # entries in one object
LONGEST: Final = 100_000  # entries that are owed
PATIENCE: Final = 2.0  # seconds for which an entry is waited for that may also come later
_DIGITS: Final = 20


class Entry(NamedTuple):
    """A row, as it was made current, or as it was healed."""

    row: Row
    healed: bool = False


@dataclass(slots=True, eq=False)
class _Page:
    """Entries that go into one object."""

    entries: list[Entry] = field(default_factory=list)
    stored: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Echo:
    """The echo of one route."""

    def __init__(self, route: str, fallback: Backend) -> None:
        self._fallback = fallback
        self.prefix = echo_prefix(route)
        self._pages: dict[str, _Page] = {}
        self._owed: list[Entry] = []
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._writing: set[asyncio.Task[None]] = set()

    async def note(self, entry: Entry) -> None:
        """Return when an entry is stored. Raises: S3Error."""
        bucket = entry.row.at.bucket
        page = self._pages.get(bucket)
        if page is None or len(page.entries) >= MOST:
            page = self._pages[bucket] = _Page()
            writing = asyncio.create_task(self._write(bucket, page))
            self._writing.add(writing)
            writing.add_done_callback(self._writing.discard)
        page.entries.append(entry)
        await asyncio.shield(page.stored)

    async def note_if_possible(self, entry: Entry) -> None:
        """Return when an entry is stored, or when that takes too long or fails: then it is owed, and stored later.

        For what the fallback is not needed for otherwise, and must not keep from being done.
        """
        try:
            await asyncio.wait_for(self.note(entry), PATIENCE)
        except (TimeoutError, S3Error) as error:
            log.warning("echo_not_written", fallback=self._fallback.name, error=name_of(error))
            if len(self._owed) < LONGEST:
                self._owed.append(entry)

    async def settle(self) -> None:
        """Store what is owed. Raises: S3Error."""
        owed, self._owed = self._owed, []
        results = await asyncio.gather(*map(self.note, owed), return_exceptions=True)
        failed = [(entry, error) for entry, error in zip(owed, results, strict=True) if error]
        self._owed += [entry for entry, _ in failed]
        for _, error in failed[:1]:
            raise error if isinstance(error, Exception) else ServiceUnavailable

    async def pages(self, bucket: str) -> AsyncIterator[Sequence[str]]:
        """Give the keys of its objects in a bucket, a page at a time, the lowest gens first. Raises: S3Error."""
        query = ListQuery(self.prefix)
        while True:
            try:
                page = await self._fallback.list_objects(bucket, query)
            except NoSuchBucket:
                return
            yield [info.key for info in page.objects]
            if not page.last:
                return
            query = query._replace(after=page.last)

    async def is_any(self, bucket: str) -> bool:
        """Say whether there is anything in a bucket. Raises: S3Error."""
        with suppress(NoSuchBucket):
            return bool((await self._fallback.list_objects(bucket, ListQuery(self.prefix, limit=1))).objects)
        return False

    async def read(self, bucket: str, key: str) -> Sequence[Entry]:
        """Return what one of its objects says. Raises: S3Error; ValueError, if it is none."""
        async with self._fallback.get(Address(bucket, key)) as download:
            text = await bytes_of(download)
        return [_entry(bucket, json.loads(line)) for line in text.splitlines()]

    async def clear(self, bucket: str, floor: int) -> int:
        """Delete the objects that say nothing above a gen, and return how many those were. Raises: S3Error."""
        count = 0
        async for keys in self.pages(bucket):
            over = [key for key in keys if highest_gen(key) <= floor]
            for start in range(0, len(over), AT_ONCE):
                some = over[start : start + AT_ONCE]
                await asyncio.gather(*(self._fallback.delete(Address(bucket, key)) for key in some))
            count += len(over)
            if len(over) < len(keys):
                break  # behind it are higher gens only
        return count

    async def _write(self, bucket: str, page: _Page) -> None:
        async with self._slots:
            if self._pages.get(bucket) is page:
                del self._pages[bucket]  # who comes from now on begins the next one
            highest = max(entry.row.gen for entry in page.entries)
            at = Address(bucket, f"{self.prefix}{highest:0{_DIGITS}}-{new_id()}")
            try:
                await self._fallback.put(at, _body(page.entries))
            except Exception as error:  # noqa: BLE001  whatever it was: those who wait are told
                page.stored.set_exception(error)
                page.stored.exception()  # nobody may wait any more
            else:
                page.stored.set_result(None)


def echo_prefix(route: str) -> str:
    """Return how the keys of a route's echo begin."""
    return f"{PRIVATE}echo/{own_name(route)}/"


def own_name(route: str) -> str:
    """Return a route's name as a part of a key: that of all other buckets is none that a bucket may have."""
    return "_" if route == "*" else route


def highest_gen(key: str) -> int:
    """Return the highest gen of which an object of a echo tells; 0 where it is none of ours."""
    gen = key.rpartition("/")[2].partition("-")[0]
    return int(gen) if gen.isdecimal() else 0


def _body(entries: Sequence[Entry]) -> Body:
    data = b"".join(json.dumps(_record(entry), separators=(",", ":")).encode() + b"\n" for entry in entries)

    async def chunks() -> AsyncIterator[bytes]:
        yield data

    return Body(chunks(), len(data))


def _record(entry: Entry) -> dict[str, Any]:
    row = entry.row
    record: dict[str, Any] = {"key": row.at.key, "gen": row.gen}
    if entry.healed:
        return record | {"healed": True}
    return record | {"staged": row.staged, "info": encode(row.info)} if row.info else record


def _entry(bucket: str, record: dict[str, Any]) -> Entry:
    at, info = Address(bucket, record["key"]), record.get("info")
    row = Row(at, record["gen"], record.get("staged", ""), decode(at.key, info) if info else None)
    return Entry(row, bool(record.get("healed")))
