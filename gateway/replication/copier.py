"""An object carried from one storage to another whole, with all that its client gave, so that it is the same there."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Final, NamedTuple

from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import InternalError, NotImplementedByGateway, S3Error
from gateway.storage import (
    Address,
    Backend,
    Body,
    Completion,
    Download,
    ObjectInfo,
    Part,
    ReadOptions,
    WriteOptions,
)
from gateway.transfer import body_of, room_at_once

PART: Final = 16 * 1024 * 1024
MOST_PARTS: Final = 10_000
STAMP: Final = "stamp"  # the label of a mirror's copy that says what it is a copy of
MIGRATED: Final = "migrated"  # and of a copy in a storage that takes the place of its source's
Gate = Callable[[], Awaitable[None]]


def stamped(info: ObjectInfo, gen: int) -> Mapping[str, str]:
    """Return the labels of a mirror's copy: those of the source, and which state of it this is."""
    stamp = {"e": info.etag, "n": info.size, "m": info.modified.isoformat(), "g": gen}
    return {**info.labels, STAMP: json.dumps(stamp, separators=(",", ":"))}


def unstamped(info: ObjectInfo) -> ObjectInfo:
    """Return a mirror's copy as what it is a copy of."""
    if STAMP not in info.labels:
        return info
    stamp = json.loads(info.labels[STAMP])
    labels = {name: value for name, value in info.labels.items() if name != STAMP}
    return replace(info, etag=stamp["e"], modified=datetime.fromisoformat(stamp["m"]), labels=labels)


def was_changed(info: ObjectInfo) -> bool:
    """Say whether what a mirror holds is certainly not what the gateway has left there.

    A copy tells the size it was made with. What was there before and was left as it is has the ETag of its source,
    which is never one that a storage has made up for a file that it knows nothing of: that of parts, without any.
    """
    if STAMP in info.labels:
        return int(json.loads(info.labels[STAMP])["n"]) != info.size
    return "-" in info.etag and not info.part_count


def is_stamped(info: ObjectInfo) -> bool:
    """Say whether an object of a mirror is a copy that the gateway has made."""
    return STAMP in info.labels


def gen_of(info: ObjectInfo) -> int:
    """Return which state of its source a mirror's copy is; 0 if it says nothing of that."""
    return int(json.loads(info.labels[STAMP])["g"]) if STAMP in info.labels else 0


def lasting(labels: Mapping[str, str]) -> Mapping[str, str]:
    """Return the labels that belong to an object, without those that are about one copy of it."""
    return {name: value for name, value in labels.items() if name not in {STAMP, MIGRATED}}


def described(info: ObjectInfo) -> WriteOptions:
    """Return what is to be said of another copy of an object."""
    checksum = info.checksum.algorithm if info.checksum else WriteOptions().checksum
    return WriteOptions(info.headers, info.metadata, info.labels, checksum=checksum)


def is_copy(copy: ObjectInfo, source: ObjectInfo) -> bool:
    """Say whether a mirror's copy is one of this state of its source, and whole."""
    if STAMP not in copy.labels or copy.size != source.size:
        return False
    found = unstamped(copy)
    kept = (found.etag, found.headers, found.metadata, found.labels)
    return kept == (source.etag, source.headers, source.metadata, source.labels)


class Carried(NamedTuple):
    """What the source says of an object, and the target of its copy."""

    source: ObjectInfo
    made: ObjectInfo


def _trust(_body: Body) -> None:
    """Check no more than what the source tells."""


@dataclass(frozen=True, slots=True)
class Carriage:
    """The way of the object `at` in `source` to the address `to` in `target`.

    `gate` is awaited before the last bytes go, and raises if they must not. `labels` tells what is kept beside the
    copy. `parts` are those that the object was made of, where the source itself does not know their sizes. `conditions`
    are about what is at the target. `equal` has what was made of parts made of equal ones, which any target takes.
    `watch` is given the body before its first byte, and may have it checked for more than the source tells.
    """

    source: Backend
    at: Address
    target: Backend
    to: Address
    gate: Gate
    labels: Callable[[ObjectInfo], Mapping[str, str]] = attrgetter("labels")
    parts: Sequence[Part] = ()
    conditions: Conditions = ANY_STATE
    equal: bool = False
    watch: Callable[[Body], None] = _trust

    async def run(self) -> Carried:
        """Store the object there, of the same parts if it was made of parts.

        Raises: NoSuchKey of the source, InternalError where the copy is not what the source is, and as both storages
        do.
        """
        async with self._opened() as download:
            with room_at_once(download):
                made = await self._carry(download)
            _compare(made, download.info)
            return Carried(download.info, made)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Download]:
        """Open the object, with its parts if they are wanted and the source can tell them."""
        async with AsyncExitStack() as opened:
            try:
                download = await opened.enter_async_context(
                    self.source.get(self.at, ReadOptions(parts=not (self.parts or self.equal)))
                )
            except NotImplementedByGateway:  # its server tells of none
                download = await opened.enter_async_context(self.source.get(self.at))
            yield download

    async def _carry(self, download: Download) -> ObjectInfo:
        options = self._options(download.info)
        if self.parts or download.info.part_count:
            return await self._carry_parts(download, options)
        body = self._body(download)
        body.gate(self.gate)
        return await self.target.put(self.to, body, options)

    def _body(self, download: Download) -> Body:
        body = body_of(download)
        self.watch(body)
        return body

    def _options(self, info: ObjectInfo) -> WriteOptions:
        return replace(
            described(info),
            labels=self.labels(info),
            conditions=self.conditions,
            composite=bool(info.checksum and info.checksum.composite),
        )

    async def _carry_parts(self, download: Download, options: WriteOptions) -> ObjectInfo:
        pieces, parts = _Pieces(self._body(download)), () if self.equal else self.parts or download.info.parts
        upload = await self.target.create_upload(self.to, options)
        try:
            stored = [
                await self.target.put_part(upload, number, Body(pieces.take(size), size))
                for number, size in enumerate(_sizes(parts, download.info.size), 1)
            ]
            await pieces.end()
            await self.gate()
            return await self.target.complete_upload(upload, stored, Completion(self.conditions, download.info.size))
        except BaseException:
            with suppress(S3Error):
                await self.target.abort_upload(upload)
            raise


def _sizes(parts: Sequence[Part], size: int) -> Sequence[int]:
    """Return the sizes of the parts to make: those it was made of, or equal ones where nobody knows these."""
    if parts and sum(part.size for part in parts) == size:
        return [part.size for part in parts]
    part = max(PART, -(-size // MOST_PARTS))
    return [min(part, size - start) for start in range(0, size, part)] or [0]


def _compare(made: ObjectInfo, source: ObjectInfo) -> None:
    """Raise InternalError unless the bytes are the same, as far as both storages know them.

    ETags tell nothing: that of an encrypted object is no MD5.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
    """
    same = made.size == source.size
    if made.checksum and source.checksum and made.checksum.algorithm == source.checksum.algorithm:
        same = same and (made.checksum == source.checksum or made.checksum.composite)
    if not same:
        raise InternalError("A copy is not what it was made of.")


class _Pieces:
    """One stream, taken in stretches."""

    def __init__(self, source: Body) -> None:
        self._source = aiter(source)
        self._left = b""

    async def take(self, size: int) -> AsyncIterator[bytes]:
        """Give the next `size` bytes."""
        while size:
            piece = self._left or await anext(self._source, b"")
            if not piece:
                return  # the part is refused as too short
            self._left = piece[size:]
            piece = piece[:size]
            size -= len(piece)
            yield piece

    async def end(self) -> None:
        """Read to the end, where the whole of it is checked. Raises: what the source's checks raise."""
        if self._left or await anext(self._source, b""):
            raise InternalError("An object is longer than its parts.")
