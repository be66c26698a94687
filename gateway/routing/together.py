"""The same thing done for many, a few at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

AT_ONCE: Final = 16

_Thing = TypeVar("_Thing")
_Result = TypeVar("_Result")


class Together:
    """Does so many things at once, for all who ask together."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def each(self, work: Callable[[_Thing], Awaitable[_Result]], things: Iterable[_Thing]) -> list[_Result]:
        """Do something with each thing, and return what came of it, in their order; a failure ends the others."""

        async def in_turn(thing: _Thing) -> _Result:
            async with self._slots:
                return await work(thing)

        tasks = [asyncio.ensure_future(in_turn(thing)) for thing in things]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
