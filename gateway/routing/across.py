"""Copies from one storage to another, of any size, at constant memory."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final, NamedTuple

from gateway.checksums import ALGORITHMS, Checksum, combine
from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import IncompleteBody, InternalError, S3Error, ServiceUnavailable, SlowDown
from gateway.storage import Address, Backend, Completion, ObjectInfo, Part, ReadOptions, Upload, WriteOptions
from gateway.transfer import body_of, room_for

MIB: Final = 1024 * 1024
LARGE: Final = 64 * MIB  # bytes: what is larger goes in parts, of which one that fails is sent again
PART: Final = 16 * MIB
MOST_PARTS: Final = 10_000
LARGEST_PUT: Final = 5 * 1024 * MIB
AT_ONCE: Final = 4  # parts
ATTEMPTS: Final = 3
PAUSE: Final = 0.2  # seconds before the second attempt, twice that before the third
_PASSING: Final = (IncompleteBody, InternalError, ServiceUnavailable, SlowDown)


class Across(NamedTuple):
    """An object on one storage that still has this ETag, and where on another one it is to be."""

    there: Backend
    source: Address
    etag: str
    here: Backend
    to: Address

    @property
    def pinned(self) -> ReadOptions:
        """How to read this version and no other."""
        return ReadOptions(conditions=Conditions(if_match=(self.etag,)))


async def copy(across: Across, options: WriteOptions) -> ObjectInfo:
    """As `Backend.copy`.

    Some storages know no condition for what is written in parts, so what has one and fits goes in one piece.
    """
    async with across.there.get(across.source, across.pinned) as download:
        info, size = download.info, download.stop - download.start
        if size <= LARGE or (options.conditions and size <= LARGEST_PUT):
            async with room_for(download):
                return await across.here.put(across.to, body_of(download), options)
    whole = replace(options, conditions=ANY_STATE, composite=ALGORITHMS[options.checksum].combine is None)
    upload = await across.here.create_upload(across.to, whole)
    async with _abandoned(across.here, upload):
        parts = await _copied(across, upload, info)
        return await across.here.complete_upload(upload, parts, Completion(options.conditions))


def spans(size: int) -> Sequence[slice]:
    """Divide into equal parts, as some storages want them, and no more than an upload may have."""
    step = max(PART, -(-size // MOST_PARTS // MIB) * MIB)
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]


async def _copied(across: Across, upload: Upload, info: ObjectInfo) -> Sequence[Part]:
    """Copy all parts, a few at a time. Raises InternalError where they are not what the source says it holds."""
    wanted = spans(info.size)
    known = info.checksum if info.checksum and not info.checksum.composite else None
    algorithm = known.algorithm if known and ALGORITHMS[known.algorithm].combine else ""
    done: dict[int, tuple[Part, Checksum | None]] = {}
    waiting = iter(enumerate(wanted, start=1))

    async def work(waiting: Iterator[tuple[int, slice]]) -> None:
        for number, span in waiting:
            done[number] = await _part(across, upload, (number, span), algorithm)

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(AT_ONCE):
                workers.create_task(work(waiting))
    except ExceptionGroup as group:
        raise group.exceptions[0] from group
    found = [done[number] for number in range(1, len(wanted) + 1)]
    if algorithm:
        checksums = [(checksum, part.size) for part, checksum in found if checksum]
        if combine(checksums) != known:
            raise InternalError("The bytes that were read do not have the checksum that is stored with them.")
    return [part for part, _ in found]


async def _part(
    across: Across, upload: Upload, wanted: tuple[int, slice], algorithm: str
) -> tuple[Part, Checksum | None]:
    """Copy one part, again if it fails; return it, and its checksum if an algorithm is named."""
    number, span = wanted
    for attempt in range(1, ATTEMPTS + 1):
        try:
            pinned = replace(across.pinned, range=span)
            async with across.there.get(across.source, pinned) as download, room_for(download):
                body = body_of(download)
                if algorithm:
                    body.digest.want(algorithm)
                part = await across.here.put_part(upload, number, body)
                return part, body.digest.checksum(algorithm) if algorithm else None
        except _PASSING:
            if attempt == ATTEMPTS:
                raise
        await asyncio.sleep(PAUSE * attempt)
    raise AssertionError


@asynccontextmanager
async def _abandoned(storage: Backend, upload: Upload) -> AsyncIterator[None]:
    """Abort the upload if what is done in the context fails or is cancelled."""
    done = False
    try:
        yield
        done = True
    finally:
        if not done:
            with suppress(S3Error):  # it expires then, like any that nobody completes
                await asyncio.shield(storage.abort_upload(upload))
