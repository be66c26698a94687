"""A bucket that two storages hold, walked through with many keys at once."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypeVar

from gateway.errors import NotImplementedByGateway, S3Error
from gateway.replication.walk import Pair, side_by_side
from gateway.replication.window import Window
from gateway.storage import Address, Backend

Told = TypeVar("Told")
CHANGED: Final = "changed since it was copied"
_CONDITIONS: Final = frozenset({"if-match", "if-none-match"})


class Sign(StrEnum):
    """What was done about a key."""

    SAME = "="  # nothing, its copy is there
    COPIED = "+"
    TAKEN = "*"  # nothing, something else is there
    DELETED = "-"
    KEPT = "~"  # nothing, it is not certain that its copy is there
    FAILED = "!"


class Step(NamedTuple):
    """What was done about a key, and why so; `size` counts the bytes that were copied or deleted."""

    mark: Sign
    key: str
    why: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class Sides:
    """A bucket as both storages know it, by one name; so many keys at once are worked on as the `window` says."""

    source: Backend
    target: Backend
    bucket: str
    window: Window
    prefix: str = ""

    def at(self, key: str) -> Address:
        """Return where an object is, on either."""
        return Address(self.bucket, key)

    async def through(
        self, work: Callable[[Pair], Coroutine[Any, Any, Told]], is_last: Callable[[Told], bool] = lambda _: False
    ) -> AsyncIterator[Told]:
        """Do something with each key that either has, and give what came of it when it is done, in no order.

        After what `is_last`, and where a listing fails, no further key is begun; those that were are brought to their
        end. Raises: what the listings raise, and the work.
        """
        pairs = side_by_side(self.bucket, self.source, self.target, self.prefix)
        doing: set[asyncio.Task[Told]] = set()
        more, failure = True, None
        try:
            while more or doing:
                while more and len(doing) < self.window.size:
                    pair, failure = await _next(pairs)
                    more = pair is not None
                    if pair:
                        doing.add(asyncio.create_task(work(pair)))
                for task in await _done(doing):
                    doing.remove(task)
                    told = task.result()
                    yield told
                    more = more and not is_last(told)
        finally:
            for task in doing:
                task.cancel()
            await asyncio.gather(*doing, return_exceptions=True)
        if failure:
            raise failure


async def _next(pairs: AsyncIterator[Pair]) -> tuple[Pair | None, S3Error | None]:
    try:
        return await anext(pairs, None), None
    except S3Error as error:
        return None, error


async def _done(doing: set[asyncio.Task[Told]]) -> set[asyncio.Task[Told]]:
    """Wait until something is done."""
    return (await asyncio.wait(doing, return_when=asyncio.FIRST_COMPLETED))[0] if doing else set()


def concerns_all(error: S3Error) -> bool:
    """Say whether every key would fail as this one: the storage knows no conditions of writes or deletions."""
    return isinstance(error, NotImplementedByGateway) and error.fields.get("Header") in _CONDITIONS


def failed(key: str, error: S3Error) -> Step:
    """Return what is told of a key that could not be seen to."""
    return Step(Sign.FAILED, key, f"{error.code}: {error}")
