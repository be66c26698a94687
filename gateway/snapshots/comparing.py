"""What has become of the objects that a snapshot names."""

import asyncio
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import NamedTuple

from gateway.errors import S3Error
from gateway.replication.comparing import AT_ONCE, Level
from gateway.replication.outcome import name_of
from gateway.replication.walk import batches, listed, paired
from gateway.snapshots.finding import Past, is_state
from gateway.snapshots.manifest import Entry, Manifest
from gateway.snapshots.proving import read_back
from gateway.snapshots.taking import state
from gateway.storage import Address, ObjectInfo


class Mark(StrEnum):
    """What has become of a key."""

    SAME = "="
    CHANGED = "*"
    GONE = "-"
    NEW = "+"
    ERROR = "!"  # it could not be asked, or its bytes are not what they were


class Finding(NamedTuple):
    """What is found of one key. `lost`: the state that the snapshot names is nowhere any more."""

    mark: Mark
    key: str
    why: str = ""
    lost: bool = False


class Comparison:
    """Compares what a snapshot names with what the bucket, and what its storage keeps, holds now."""

    def __init__(self, past: Past, manifest: Manifest, level: Level) -> None:
        self._past, self._manifest, self._level = past, manifest, level

    async def run(self) -> AsyncIterator[Finding]:
        """Give what is found of each key, in order. Raises: S3Error, where the bucket cannot be listed."""
        subject = self._manifest.head.subject
        pairs = paired(_entries(self._manifest), listed(self._past.storage, subject.bucket, subject.prefix))
        async for batch in batches(pairs, AT_ONCE[self._level]):
            for finding in await asyncio.gather(*(self._compare(*pair) for pair in batch)):
                yield finding

    async def _compare(self, entry: Entry | None, there: ObjectInfo | None) -> Finding:
        if entry is None:
            return Finding(Mark.NEW, there.key if there else "")
        try:
            return await self._judge(entry)
        except S3Error as error:
            return Finding(Mark.ERROR, entry.key, name_of(error))

    async def _judge(self, entry: Entry) -> Finding:
        at = Address(self._manifest.head.subject.bucket, entry.key)
        found = await state(self._past.storage, at)
        if found and is_state(found.info, entry.info):
            return await self._read(at, entry)
        mark = Mark.CHANGED if found else Mark.GONE
        kept = await self._past.kept(entry)
        if kept is None:
            return Finding(mark, entry.key, "lost", lost=True)
        read = await self._read(kept, entry)
        return Finding(mark, entry.key, "kept") if read.mark is Mark.SAME else read

    async def _read(self, at: Address, entry: Entry) -> Finding:
        """Read its bytes, if they are to be read."""
        if self._level is not Level.L2:
            return Finding(Mark.SAME, entry.key)
        proven = await read_back(self._past.storage, at, entry.info)
        if proven is False:
            return Finding(Mark.ERROR, entry.key, "bytes", lost=True)
        return Finding(Mark.SAME, entry.key, "" if proven else "nothing tells whether its bytes are right")


async def _entries(manifest: Manifest) -> AsyncIterator[Entry]:
    for entry in manifest.entries():
        yield entry
