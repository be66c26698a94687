"""Has the objects that a snapshot names again, in another bucket: each in the state of then, or not at all."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Final, NamedTuple

from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import (
    BucketAlreadyExists,
    BucketNotEmpty,
    NoSuchBucket,
    NoSuchKey,
    NotImplementedByGateway,
    PreconditionFailed,
    S3Error,
    ServiceUnavailable,
)
from gateway.migration.copying import carried, found
from gateway.replication.copier import Carriage
from gateway.replication.outcome import name_of
from gateway.replication.walk import listed
from gateway.snapshots.finding import Past, is_state
from gateway.snapshots.manifest import Entry, Manifest
from gateway.snapshots.proving import prove
from gateway.snapshots.taking import entry_of
from gateway.storage import PRIVATE, Address, Backend, Body, ObjectInfo, WriteOptions
from gateway.transfer import bytes_of

AT_ONCE: Final = 16  # objects
ATTEMPTS: Final = 3  # at one that is written meanwhile
_NOTHING: Final = Conditions(if_none_match=("*",))  # is there
_MARK: Final = f"{PRIVATE}restoring"  # stands in a bucket while a snapshot is restored into it
Choose = Callable[[Entry], bool]


class Outcome(StrEnum):
    """What became of an object."""

    RESTORED = "restored"
    KEPT = "restored from what the mirror keeps"
    THERE = "there already"  # by a run before this one
    LOST = "lost"  # that state is nowhere any more
    TAKEN = "taken"  # something else is there, and stays
    FAILED = "failed"


class Result(NamedTuple):
    """What became of one object, and why."""

    outcome: Outcome
    key: str
    size: int = 0
    why: str = ""


class Moved(ServiceUnavailable):
    """What was found in the state of then was in another one when it was read."""


@dataclass(frozen=True, slots=True)
class Restore:
    """Copies objects in the state that a manifest names to a bucket, never over anything that is there.

    `named` tells the key that each gets there. `dry`: nothing is written.
    """

    past: Past
    target: Backend
    bucket: str
    named: Callable[[str], str] = str
    dry: bool = False

    async def run(self, manifest: Manifest, prefix: str, choose: Choose) -> AsyncIterator[Result]:
        """Give what became of each object that begins so and was chosen, in order. What one fails of stops no other."""
        for batch in manifest.batches(AT_ONCE, prefix):
            chosen = [entry for entry in batch if choose(entry)]
            for result in await asyncio.gather(*(self.restore(entry) for entry in chosen)):
                yield result

    async def restore(self, entry: Entry) -> Result:
        """Restore one object."""
        for _ in range(ATTEMPTS):
            try:
                return Result(await self._try(entry), entry.key, entry.info.size)
            except (Moved, NoSuchKey):  # the mirror has put it aside by now
                continue
            except S3Error as error:
                return Result(Outcome.FAILED, entry.key, why=name_of(error))
        return Result(Outcome.FAILED, entry.key, why="it is written all the time")

    async def _try(self, entry: Entry) -> Outcome:
        at, to = await self.past.find(entry), Address(self.bucket, self.named(entry.key))
        if at is None:
            return Outcome.LOST
        if not self.dry and not await self._carry(entry, at, to):
            there = await found(self.target, to)
            if there is None:
                raise Moved
            return Outcome.THERE if is_state(there, entry.info) else Outcome.TAKEN
        return Outcome.RESTORED if at.key == entry.key else Outcome.KEPT

    async def _carry(self, entry: Entry, at: Address, to: Address) -> bool:
        """Copy an object, and say whether there was room for it. Raises: Moved, and as the storages do."""
        carriage = Carriage(
            self.past.storage,
            at,
            self.target,
            to,
            _pass,
            labels=partial(_labels_of, entry),
            parts=entry.info.parts,
            conditions=_NOTHING,
            watch=partial(prove, entry.info),
        )
        try:
            try:
                await carried(carriage)
            except NotImplementedByGateway:  # the target knows no conditions; nobody else writes to it
                await carried(replace(carriage, gate=partial(self._look, to), conditions=ANY_STATE))
        except PreconditionFailed:
            return False
        return True

    async def _look(self, to: Address) -> None:
        _NOTHING.check_write(to.key, await found(self.target, to))


class Room:
    """A bucket into which one snapshot is restored, and nothing else."""

    def __init__(self, target: Backend, bucket: str) -> None:
        self._target, self._bucket = target, bucket
        self._mark = Address(bucket, _MARK)

    async def check(self, snapshot: str) -> None:
        """Look that nothing is there, but what an earlier restore of this snapshot has left. Raises: BucketNotEmpty."""
        with suppress(NoSuchBucket):
            if await anext(listed(self._target, self._bucket), None) and await self._read() != snapshot:
                raise BucketNotEmpty("It is not empty, and nothing there says that this snapshot is being restored.")

    async def enter(self, snapshot: str, labels: Mapping[str, str]) -> None:
        """Check, make the bucket if there is none, and have it say what is restored. Raises: BucketNotEmpty."""
        await self.check(snapshot)
        try:
            await self._target.head_bucket(self._bucket)
        except NoSuchBucket:
            with suppress(BucketAlreadyExists):
                await self._target.create_bucket(self._bucket, labels)
        if await self._read() != snapshot:
            data = json.dumps({"snapshot": snapshot}).encode()
            await self._target.put(self._mark, Body(_once(data), len(data)), WriteOptions())

    async def leave(self) -> None:
        """Have it say so no more: all is there that can be."""
        await self._target.delete(self._mark)

    async def _read(self) -> str:
        try:
            async with self._target.get(self._mark) as download:
                return str(json.loads(await bytes_of(download))["snapshot"])
        except (KeyError, NoSuchKey, TypeError, ValueError):
            return ""


def _labels_of(entry: Entry, info: ObjectInfo) -> Mapping[str, str]:
    """Return the labels of a restored object, if what was opened is still in the state of then. Raises: Moved."""
    if not is_state(entry_of(info).info, entry.info):
        raise Moved
    return entry.info.labels


async def _pass() -> None:
    """Let everything pass."""


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
