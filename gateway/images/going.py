"""Goes through a bucket: makes the variants that are missing, or removes those whose image is gone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.errors import NoSuchKey, S3Error
from gateway.images.keeper import MOVED, How, Keeper, Pictures, delete_exactly
from gateway.images.marks import source_of
from gateway.images.rules import derived, first
from gateway.replication.outcome import name_of
from gateway.storage import Address, Backend, ListQuery, ObjectInfo

Tell = Callable[[Sequence["Step"]], None]
_PAGE: Final = 1000


class TooManyError(Exception):
    """More would be made than was planned: whoever has planned is to look why."""


class Step(NamedTuple):
    """One key that was gone through."""

    key: str
    made: int = 0  # variants that are missing, were made, or are of no image
    error: str = ""


class Plan(NamedTuple):
    """What is to be done."""

    images: int = 0
    variants: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which keys are gone through, and how many at once."""

    bucket: str
    prefix: str = ""
    after: str = ""
    only: Collection[str] = ()
    force: bool = False
    at_once: int = 4


class Rebuild:
    """Makes what is missing. It goes by what matches, so what it writes is never met on its way."""

    def __init__(self, storage: Backend, keeper: Keeper, pictures: Pictures, wanted: Wanted) -> None:
        self._storage, self._keeper, self._pictures, self._wanted = storage, keeper, pictures, wanted
        self._left = 0

    async def plan(self, tell: Tell) -> Plan:
        """Count what is missing; nothing is written."""
        images = variants = 0
        async for steps in self._through(self._look):
            images, variants = images + len(steps), variants + sum(step.made for step in steps)
            tell(steps)
        return Plan(images, variants)

    async def run(self, plan: Plan, tell: Tell) -> None:
        """Make what is missing, and not one more than was planned. Raises: TooManyError."""
        self._left = plan.variants
        async for steps in self._through(self._make):
            tell(steps)

    async def _through(self, work: Callable[[Address], Awaitable[Step]]) -> AsyncIterator[Sequence[Step]]:
        async for keys in _batches(self._sources(), self._wanted.at_once):
            yield await _together(work, [Address(self._wanted.bucket, key) for key in keys])

    async def _sources(self) -> AsyncIterator[str]:
        prefixes = [rule.match.prefix for rule in self._pictures.rules]
        async for info in listed(self._storage, self._wanted, prefixes):
            if first(self._pictures.rules, info.key):
                yield info.key

    async def _look(self, at: Address) -> Step:
        return Step(at.key, await self._keeper.missing(at, self._how()))

    async def _make(self, at: Address) -> Step:
        result = await self._keeper.keep(at, self._how())
        return Step(at.key, result.made, result.reason)

    def _how(self) -> How:
        return How(force=self._wanted.force, only=self._wanted.only, most=self._spend)

    def _spend(self, count: int) -> None:
        if count > self._left:
            raise TooManyError
        self._left -= count


class Prune:
    """Removes variants whose image is gone, or that no rule makes any more."""

    def __init__(self, storage: Backend, pictures: Pictures, wanted: Wanted, *, remove: bool) -> None:
        self._storage, self._pictures, self._wanted, self._remove = storage, pictures, wanted, remove

    async def run(self, tell: Tell) -> None:
        """Go through all keys that variants may have; with a prefix, through all that begin with it."""
        async for keys in _batches(self._candidates(), self._wanted.at_once):
            tell(await _together(self._judge, [Address(self._wanted.bucket, key) for key in keys]))

    async def _candidates(self) -> AsyncIterator[str]:
        templates = [planned.key for rule in self._pictures.rules for planned in rule.variants]
        prefixes = [""] if self._wanted.prefix else [template.prefix for template in templates]
        async for info in listed(self._storage, self._wanted, prefixes):
            if self._wanted.prefix or any(template.may_be(info.key) for template in templates):
                yield info.key

    async def _judge(self, at: Address) -> Step:
        info = await self._head(at)
        source = source_of(info) if info else None
        if info is None or source is None or await self._is_wanted(at, source):
            return Step(at.key)
        if self._remove:
            try:
                await delete_exactly(self._storage, at, info)
            except MOVED:
                return Step(at.key)
        return Step(at.key, 1)

    async def _is_wanted(self, at: Address, source: str) -> bool:
        rule = first(self._pictures.rules, source)
        if rule is None or at.key not in derived(self._pictures.rules, rule, source):
            return False
        return await self._head(Address(at.bucket, source)) is not None

    async def _head(self, at: Address) -> ObjectInfo | None:
        try:
            return await self._storage.head(at)
        except NoSuchKey:
            return None


async def listed(storage: Backend, wanted: Wanted, prefixes: Sequence[str]) -> AsyncIterator[ObjectInfo]:
    """Give what begins with the wanted prefix and one of the others, in order and each once."""
    both = {max(prefix, wanted.prefix, key=len) for prefix in prefixes if _are_nested(prefix, wanted.prefix)}
    whole = [each for each in both if not any(other != each and each.startswith(other) for other in both)]
    for prefix in sorted(whole, key=str.encode):
        after = wanted.after
        while True:
            page = await storage.list_objects(wanted.bucket, ListQuery(prefix, after=after, limit=_PAGE))
            for info in page.objects:
                yield info
            after = page.last
            if not after:
                break


def _are_nested(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


async def _batches(keys: AsyncIterator[str], many: int) -> AsyncIterator[Sequence[str]]:
    batch: list[str] = []
    async for key in keys:
        batch.append(key)
        if len(batch) == many:
            yield batch
            batch = []
    if batch:
        yield batch


async def _together(work: Callable[[Address], Awaitable[Step]], ats: Sequence[Address]) -> Sequence[Step]:
    """Do something with keys at once; how each failed is told. Raises: TooManyError."""
    outcomes = await asyncio.gather(*(work(at) for at in ats), return_exceptions=True)
    steps = []
    for at, outcome in zip(ats, outcomes, strict=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, S3Error):
            raise outcome
        steps.append(Step(at.key, error=name_of(outcome)) if isinstance(outcome, S3Error) else outcome)
    return steps
