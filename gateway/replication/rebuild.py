"""Brings back, from the echo on the fallback, what a database that was lost or set back does not say any more."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from enum import StrEnum
from typing import Final, NamedTuple

import structlog

from gateway.errors import NoSuchBucket, NoSuchKey, S3Error
from gateway.replication.beacon import Beacon
from gateway.replication.echo import Echo, Entry
from gateway.replication.encoding import decode, encode
from gateway.replication.ground import lacking
from gateway.replication.journal import Journal
from gateway.replication.outcome import name_of
from gateway.replication.records import STAGE, Mode, Row
from gateway.storage import Address, Backend, ListQuery

log = structlog.get_logger()
BATCH: Final = 500  # rows written in one transaction
AT_ONCE: Final = 16
_TABLE: Final = """
CREATE TABLE newest (
    bucket TEXT, key BLOB, gen INTEGER, healed INTEGER, staged TEXT, info TEXT, was INTEGER DEFAULT 0,
    PRIMARY KEY (bucket, key)
) WITHOUT ROWID
"""
_TELL: Final = """
INSERT INTO newest (bucket, key, gen, healed, staged, info, was) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET gen = excluded.gen, healed = excluded.healed, staged = excluded.staged, info = excluded.info
WHERE excluded.gen > gen OR (excluded.gen = gen AND excluded.healed)
"""


class Found(StrEnum):
    """What has become of a key."""

    OBJECT = "object"  # its newest state is on the fallback
    DELETED = "deleted"
    OVER = "over"  # the database has a row that is healed
    MISSING = "missing"  # its newest state is told of, and not there


class Step(NamedTuple):
    """How far it is: objects of the echo that were read, or what was found out about a key."""

    read: int
    found: Found | None = None
    at: Address | None = None


class Rebuild:
    """One rebuilding. It may be broken off and begun anew at any time; only `end` lets anybody read or write again.

    `alone`: all that is staged in its buckets on the fallback is this route's.
    """

    def __init__(  # noqa: PLR0913  what it works by
        self, journal: Journal, beacon: Beacon, echo: Echo, fallback: Backend, *, alone: bool, dry: bool = False
    ) -> None:
        self._journal, self._beacon, self._echo, self._fallback = journal, beacon, echo, fallback
        self._alone, self._dry = alone, dry
        self._read = 0
        self._homes: set[str] = set()  # buckets of which something is current on the fallback
        self.lacking: Mapping[str, Mapping[str, str]] = {}  # those that the primary lacks, with their labels

    async def run(self, buckets: Sequence[str]) -> AsyncIterator[Step]:
        """Find out what holds for each key, and write it down. Raises: S3Error."""
        with _opened() as newest:
            for bucket in buckets:
                await self._take_rows(newest, bucket)
                async for keys in self._echo.pages(bucket):
                    await self._take_entries(newest, bucket, keys)
                    yield Step(self._read)
            for rows, over in newest.batches(self._beacon.floor):
                async for step in self._decide(rows, over):
                    yield step
            if self._alone and not self._dry:
                for bucket in buckets:
                    await self._scrap(newest, bucket)

    async def ask(self, primary: Backend) -> None:
        """Find out which buckets the primary lacks; where it does not answer, the gateway does that later."""
        try:
            self.lacking = await lacking(primary, self._fallback, self._homes)
        except S3Error as error:
            log.info("buckets_not_looked_for", primary=primary.name, error=name_of(error))

    async def end(self) -> Mode:
        """Let the gateway go on. Raises: ServiceUnavailable."""
        reason = f"rebuilt from {self._fallback.name}"
        return await self._journal.past.reconciled(self._beacon.seen(), self._beacon.floor, reason, self.lacking)

    async def _take_rows(self, newest: "_Newest", bucket: str) -> None:
        after = ""
        while rows := await self._journal.rows(bucket, after=after, limit=BATCH):
            newest.tell([Entry(row) for row in rows], was=True)
            after = rows[-1].at.key

    async def _take_entries(self, newest: "_Newest", bucket: str, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            for entries in await asyncio.gather(*(self._echo.read(bucket, key) for key in some)):
                newest.tell(entries)
            self._read += len(some)

    async def _decide(self, rows: Sequence[Row], over: Sequence[Address]) -> AsyncIterator[Step]:
        there = await asyncio.gather(*map(self._is_there, rows))
        if not self._dry:
            await self._journal.past.restore([row for row, is_there in zip(rows, there, strict=True) if is_there])
            await self._journal.past.forget(over)
        for at in over:
            yield Step(self._read, Found.OVER, at)
        for row, is_there in zip(rows, there, strict=True):
            found = Found.DELETED if row.deleted else Found.OBJECT if is_there else Found.MISSING
            if found is Found.OBJECT:
                self._homes.add(row.at.bucket)
            yield Step(self._read, found, row.at)

    async def _scrap(self, newest: "_Newest", bucket: str) -> None:
        """Have staged objects deleted that nothing points to any more."""
        query = ListQuery(STAGE)
        while True:
            try:
                page = await self._fallback.list_objects(bucket, query)
            except NoSuchBucket:
                return
            await self._journal.past.scrap(bucket, [info.key for info in page.objects if not newest.holds(info.key)])
            if not page.last:
                return
            query = query._replace(after=page.last)

    async def _is_there(self, row: Row) -> bool:
        if row.deleted:
            return True
        try:
            await self._fallback.head(Address(row.at.bucket, row.staged))
        except (NoSuchKey, NoSuchBucket):
            return False
        return True


class _Newest:
    """The newest entry of each key, in a file of its own: there may be millions."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        database.execute(_TABLE)
        database.execute("CREATE INDEX by_staged ON newest (staged)")
        self._floor = -1

    def tell(self, entries: Sequence[Entry], *, was: bool = False) -> None:
        """Take entries into account; `was`: they are those of the database, which come first."""
        self._database.executemany(_TELL, [_record(entry, was=was) for entry in entries])

    def batches(self, floor: int) -> Iterator[tuple[Sequence[Row], Sequence[Address]]]:
        """Give the rows that hold, and where the database has one although it is over."""
        self._floor = floor
        cursor = self._database.execute("SELECT bucket, key, gen, healed, staged, info, was FROM newest")
        while found := cursor.fetchmany(BATCH):
            holds = [
                (bucket, key, gen, staged, info)
                for bucket, key, gen, healed, staged, info, _ in found
                if _holds(gen, healed, floor)
            ]
            over = [
                Address(bucket, key.decode())
                for bucket, key, gen, healed, _, _, was in found
                if was and not _holds(gen, healed, floor)
            ]
            yield [_row(*each) for each in holds], over

    def holds(self, staged: str) -> bool:
        """Say whether a staged object is the newest state of its key, once `batches` were given."""
        found = self._database.execute("SELECT gen, healed FROM newest WHERE staged = ?", (staged,)).fetchall()
        return any(_holds(gen, healed, self._floor) for gen, healed in found)


@contextmanager
def _opened() -> Iterator[_Newest]:
    with closing(sqlite3.connect("", isolation_level=None)) as database:  # a file without a name, gone at the end
        yield _Newest(database)


def _holds(gen: int, healed: int, floor: int) -> bool:
    return gen > floor and not healed


def _record(entry: Entry, *, was: bool) -> tuple[object, ...]:
    row = entry.row
    info = encode(row.info) if row.info else None
    return (row.at.bucket, row.at.key.encode(), row.gen, entry.healed, row.staged, info, was)


def _row(bucket: str, key: bytes, gen: int, staged: str, info: str | None) -> Row:
    at = Address(bucket, key.decode())
    return Row(at, gen, staged, decode(at.key, info) if info else None)
