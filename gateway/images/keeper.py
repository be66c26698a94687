"""Keeps the variants of images as the rules want them: makes what is missing, takes away what is too much.

It is told a key and nothing of what happened to it: what to do follows from what is there. So it may be told twice, by
two gateways at once, or after a crash in the middle.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import (
    ConditionalRequestConflict,
    NoSuchKey,
    NotImplementedByGateway,
    PreconditionFailed,
    ServiceUnavailable,
)
from gateway.images.marks import is_fresh, is_marked, is_of, marks, spec_of
from gateway.images.pool import Workers
from gateway.images.rules import Planned, Rule, derived, first
from gateway.images.spec import EXTRACTS, KINDS, Limits, Made, Order, Reason, Unfit, Variant
from gateway.images.spool import body_of, spooled
from gateway.storage import Address, Backend, ObjectInfo, ReadOptions, WriteOptions

ROUNDS: Final = 5  # how often an image is looked at anew that changes all the time
AT_ONCE: Final = 4  # variants that are written at the same time
MOVED: Final = (PreconditionFailed, ConditionalRequestConflict, NoSuchKey)  # it is another one by now, or none
ENCODED: Final = "encoded"  # with Content-Encoding: the bytes are not those of the image
DERIVED: Final = "derived"  # the source is a variant itself
MEANT: Final = frozenset({DERIVED, ENCODED})  # whoever wrote it wanted no variants
OCCUPIED: Final = "occupied"  # where a variant would go is an object of somebody else

_NOTHING_THERE: Final = Conditions(if_none_match=("*",))
_LIMITS: Final = Limits()
_PROBE: Final = Variant("probe", 1)  # the least that shows that an image can be decoded


class MovedError(Exception):
    """Something has changed since it was looked at."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """What holds for the images of a bucket."""

    entry: str  # by which it is configured
    rules: Sequence[Rule]
    limits: Limits = _LIMITS
    accept: Collection[str] = KINDS
    rejects: bool = False  # what is no image, or beyond the limits
    shows_uploads: bool = True  # its storages let an upload in parts be looked at before it is an object
    fails: bool = False  # a write in sync mode whose variants could not all be made
    hold: float = 600.0  # seconds for which a write may still take effect whose answer was lost


Find = Callable[[str], Pictures | None]


class What(StrEnum):
    """What is there now of what is wanted."""

    DONE = "done"
    PARTIAL = "partial"
    SKIPPED = "skipped"


class Source(NamedTuple):
    """An image whose bytes are at hand; the same state of it as that with this ETag."""

    path: Path
    etag: str


@dataclass(slots=True)
class Result:
    """What became of the variants of an image."""

    etag: str = ""  # of the image
    wanted: int = 0
    kept: int = 0
    keys: dict[str, str] = field(default_factory=dict)  # of what was made, by variant
    removed: int = 0
    occupied: int = 0
    made_bytes: int = 0
    source_bytes: int = 0
    unfit: str = ""  # why nothing was made of it
    failures: dict[str, Reason] = field(default_factory=dict)  # by variant
    passing: bool = False  # a failure that may not come again
    told: dict[str, str] = field(default_factory=dict)  # of the image: sha256, kind, width, height, EXIF

    @property
    def made(self) -> int:
        """How many variants were made."""
        return len(self.keys)

    @property
    def what(self) -> What:
        """What the client is told."""
        there = self.kept + self.made
        if not there:
            return What.SKIPPED
        return What.DONE if there == self.wanted else What.PARTIAL

    @property
    def reason(self) -> str:
        """Why something is missing, if anything is that should be there."""
        return self.unfit or next((reason.value for reason in self.failures.values()), "")


class How(NamedTuple):
    """What is wanted of the keeper besides."""

    make: bool = True  # else what is there is kept in step, and what is missing is left to others
    force: bool = False  # makes all anew
    only: Collection[str] = ()  # variants; all without one
    source: Source | None = None  # the bytes of the image, if they are at hand
    most: Callable[[int], None] = lambda _count: None  # told how many variants will be written; it may raise


_ALL: Final = How()


class _Seen(NamedTuple):
    """An image and its variants, as they are."""

    at: Address
    rule: Rule
    source: ObjectInfo | None
    wanted: Mapping[str, Planned]  # by key, as all that follow
    specs: Mapping[str, str]
    found: Mapping[str, ObjectInfo | None]

    def ours(self) -> Mapping[str, ObjectInfo]:
        """Return the variants of this image that are there."""
        return {key: info for key, info in self.found.items() if info and is_of(info, self.at.key)}

    def is_fresh(self, key: str) -> bool:
        info = self.found[key]
        return bool(info and self.source and is_fresh(info, self.source.etag, self.specs[key]))


class Keeper:
    """Keeps variants; it writes beneath what has called it, so that its writes trigger nothing."""

    def __init__(self, storage: Backend, workers: Workers, find: Find) -> None:
        self._storage, self._workers, self._find = storage, workers, find

    async def keep(self, at: Address, how: How = _ALL) -> Result:
        """Bring the variants of one image to what they should be. Raises: S3Error, if a storage fails."""
        for _ in range(ROUNDS):
            seen = await self._look(at)
            if seen is None:
                return Result()
            try:
                result = await self._bring(seen, how)
            except (MovedError, *MOVED):
                continue
            now = await self._head(at)
            if _is_same(now, seen.source):
                return result
        raise ServiceUnavailable

    async def missing(self, at: Address, how: How = _ALL) -> int:
        """Return how many variants `keep` would write."""
        seen = await self._look(at)
        if seen is None or seen.source is None or _unfit(seen.source, self._pictures(at)):
            return 0
        return len(_to_make(seen, how))

    async def check(self, path: Path, bucket: str, declared: str) -> None:
        """Raise Unfit unless a file is an image that variants could be made of."""
        pictures = self._pictures(Address(bucket))
        order = Order(path, [_PROBE], pictures.limits, pictures.accept, declared)
        async with self._workers.derive(order):
            pass

    def _pictures(self, at: Address) -> Pictures:
        pictures = self._find(at.bucket)
        if pictures is None:
            raise NoSuchKey
        return pictures

    # --- looking ---

    async def _look(self, at: Address) -> _Seen | None:
        pictures = self._find(at.bucket)
        rule = first(pictures.rules, at.key) if pictures else None
        if pictures is None or rule is None:
            return None
        wanted = derived(pictures.rules, rule, at.key)
        etags = await self._watermark_etags(at.bucket, wanted.values())
        source, *found = await asyncio.gather(self._head(at), *(self._head(Address(at.bucket, key)) for key in wanted))
        specs = {
            key: spec_of(each.variant, etags.get(each.variant.watermark.image, "") if each.variant.watermark else "")
            for key, each in wanted.items()
        }
        return _Seen(at, rule, source, wanted, specs, dict(zip(wanted, found, strict=True)))

    async def _watermark_etags(self, bucket: str, wanted: Collection[Planned]) -> Mapping[str, str]:
        names = sorted({each.variant.watermark.image for each in wanted if each.variant.watermark})
        infos = await asyncio.gather(*(self._head(Address(bucket, name)) for name in names))
        return {name: info.etag if info else "" for name, info in zip(names, infos, strict=True)}

    async def _head(self, at: Address) -> ObjectInfo | None:
        try:
            info = await self._storage.head(at)
        except NoSuchKey:
            return None
        if info.stale:  # what would be made of it may be of an old state
            raise ServiceUnavailable
        return info

    # --- making ---

    async def _bring(self, seen: _Seen, how: How) -> Result:
        result = Result(seen.source.etag if seen.source else "")
        result.unfit = _unfit(seen.source, self._pictures(seen.at)) if seen.source else ""
        if seen.source is None or result.unfit:
            await self._remove(seen, seen.ours(), result)
            return result
        ours, todo = seen.ours(), _to_make(seen, how)
        result.wanted, result.source_bytes = len(seen.wanted), seen.source.size
        result.kept = sum(key not in todo for key in ours)
        result.occupied = sum(info is not None and key not in ours for key, info in seen.found.items())
        await self._label(seen, [key for key in ours if key not in todo])
        if todo and how.make:
            how.most(len(todo))
            await self._derive(seen, todo, how, result)
        return result

    async def _derive(self, seen: _Seen, todo: Sequence[str], how: How, result: Result) -> None:
        pictures, source = self._pictures(seen.at), seen.source
        if source is None:
            raise MovedError
        variants = [seen.wanted[key].variant for key in todo]
        async with AsyncExitStack() as opened:
            path = await opened.enter_async_context(self._file(seen.at, source, how.source))
            watermarks = await self._watermarks(opened, seen.at.bucket, [seen.wanted[key] for key in todo])
            extract = [name for name in seen.rule.extract if name in EXTRACTS]
            declared = source.headers.get("content-type", "")
            order = Order(path, variants, pictures.limits, pictures.accept, declared, watermarks, extract)
            try:
                made = await opened.enter_async_context(self._workers.derive(order))
            except Unfit as unfit:
                result.unfit, result.passing = unfit.reason.value, unfit.passing
                await self._remove(seen, {key: info for key, info in seen.ours().items() if key in todo}, result)
                return
            result.told = {"kind": made.kind, "width": str(made.width), "height": str(made.height)}
            result.told |= {**made.exif, "sha256": made.sha256}
            result.failures |= made.failures
            result.passing = any(Unfit(reason).passing for reason in made.failures.values())
            await self._publish(seen, todo, made, result)
        failed = {
            key: info
            for key, info in seen.ours().items()
            if key in todo and seen.wanted[key].variant.name in made.failures
        }
        await self._remove(seen, failed, result)

    async def _publish(self, seen: _Seen, todo: Sequence[str], made: Made, result: Result) -> None:
        """Write what was made, if it is still of what is there."""
        if not _is_same(await self._head(seen.at), seen.source):
            raise MovedError

        async def write(key: str) -> None:
            name = seen.wanted[key].variant.name
            if name in made.files:
                size = await self._write(seen, key, made)
                result.made_bytes += size  # in one go: others add theirs meanwhile
                result.keys[name] = key

        await _at_once(write, todo)

    async def _write(self, seen: _Seen, key: str, made: Made) -> int:
        at, variant, there = Address(seen.at.bucket, key), seen.wanted[key].variant, seen.found[key]
        path = made.files[variant.name]
        options = _options(seen, key, made, Conditions(if_match=(there.etag,)) if there else _NOTHING_THERE)
        try:
            stored = await self._storage.put(at, await body_of(path), options)
        except NotImplementedByGateway:  # the storage knows no conditions
            now = await self._head(at)
            if (now.etag if now else "") != (there.etag if there else ""):
                raise MovedError from None
            options = _options(seen, key, made, ANY_STATE)
            stored = await self._storage.put(at, await body_of(path), options)
        return stored.size

    async def _label(self, seen: _Seen, keys: Sequence[str]) -> None:
        """Have variants be allowed to whom the image is."""
        for key in keys:
            info = seen.found[key]
            if info and seen.source and info.labels != seen.source.labels:
                await self._storage.annotate(Address(seen.at.bucket, key), seen.source.labels, info.labels)

    async def _remove(self, seen: _Seen, keys: Mapping[str, ObjectInfo], result: Result) -> None:
        async def remove(key: str) -> None:
            await delete_exactly(self._storage, Address(seen.at.bucket, key), keys[key])
            result.removed += 1

        await _at_once(remove, list(keys))

    # --- files ---

    @asynccontextmanager
    async def _file(self, at: Address, info: ObjectInfo, source: Source | None) -> AsyncIterator[Path]:
        """Give a file with the bytes of an image, in just this state."""
        if source and source.etag == info.etag:
            yield source.path
            return
        async with spooled(self._workers.folder, info.size) as spool:
            pinned = ReadOptions(conditions=Conditions(if_match=(info.etag,)))
            async with self._storage.get(at, pinned) as download:
                await spool.fill(download)
            if spool.size != info.size:
                raise ServiceUnavailable
            yield spool.path

    async def _watermarks(self, opened: AsyncExitStack, bucket: str, wanted: Sequence[Planned]) -> Mapping[str, Path]:
        """Fetch watermarks; one that is not there, or too large, is left out."""
        found = {}
        for name in {each.variant.watermark.image for each in wanted if each.variant.watermark}:
            at = Address(bucket, name)
            info = await self._head(at)
            if info and info.size <= self._pictures(at).limits.max_bytes:
                found[name] = await opened.enter_async_context(self._file(at, info, None))
        return found


async def delete_exactly(storage: Backend, at: Address, info: ObjectInfo) -> None:
    """Delete what was seen, and nothing else; where the storage knows no such condition, what is there."""
    try:
        await storage.delete(at, Conditions(if_match=(info.etag,)))
    except NotImplementedByGateway:
        await storage.delete(at)


async def _at_once(work: Callable[[str], Awaitable[None]], keys: Sequence[str]) -> None:
    """Do something with keys, some of them at once. Raises what the first one raised, when all have ended."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(key: str) -> None:
        async with gate:
            await work(key)

    outcomes = await asyncio.gather(*(one(key) for key in keys), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


def _to_make(seen: _Seen, how: How) -> Sequence[str]:
    """Return the keys of variants that are not there, or not as they should be, unless somebody else has them."""
    ours = seen.ours()
    free = [key for key, info in seen.found.items() if info is None or key in ours]
    wanted = [key for key in free if not how.only or seen.wanted[key].variant.name in how.only]
    return [key for key in wanted if how.force or not seen.is_fresh(key)]


def _unfit(source: ObjectInfo, pictures: Pictures) -> str:
    """Return why nothing is to be made of something, as far as can be said without its bytes."""
    return why_not(source.headers, source.metadata, source.size, pictures)


def why_not(headers: Mapping[str, str], metadata: Mapping[str, str], size: int | None, pictures: Pictures) -> str:
    """Return why nothing would be made of something that is written like this, "" if something may be."""
    return DERIVED if is_marked(metadata) else unfit_by(headers, size, pictures)


def unfit_by(headers: Mapping[str, str], size: int | None, pictures: Pictures) -> str:
    """Return why nothing can be made of such bytes, whoever has written them."""
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        return ENCODED
    if size is not None and size > pictures.limits.max_bytes:
        return Reason.TOO_MANY_BYTES.value
    return Reason.NOT_AN_IMAGE.value if size == 0 else ""


def _is_same(one: ObjectInfo | None, other: ObjectInfo | None) -> bool:
    if one is None or other is None:
        return one is other
    return (one.etag, one.labels) == (other.etag, other.labels)


def _options(seen: _Seen, key: str, made: Made, conditions: Conditions) -> WriteOptions:
    """Return what is stored with a variant."""
    variant, source = seen.wanted[key].variant, seen.source
    if source is None:
        raise MovedError
    headers = {"content-type": made.content_types[variant.name]}
    if cache_control := variant.cache_control or source.headers.get("cache-control"):
        headers["cache-control"] = cache_control
    told = {"width": str(made.width), "height": str(made.height), "format": made.kind, **made.exif}
    extracted = {f"gw-{name.replace('_', '-')}": told[name] for name in seen.rule.extract if name in told}
    metadata = extracted | marks(seen.at.key, source.etag, seen.specs[key])
    return WriteOptions(headers, metadata, source.labels, conditions)
