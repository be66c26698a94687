"""What is opened once for all who want the same, and closed by the last of them who leaves."""

from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Opened:
    context: AbstractAsyncContextManager[Any]
    thing: Any
    users: int = 0


class Sharing:
    """What is open now, by what it was opened for. Only one at a time opens, others may leave meanwhile."""

    def __init__(self) -> None:
        self._opened: dict[Hashable, _Opened] = {}

    @asynccontextmanager
    async def use(self, what: Hashable, open_it: Callable[[], AbstractAsyncContextManager[T]]) -> AsyncIterator[T]:
        """Return what is open for `what`, opening it if nothing is. Raises: what opening it raises."""
        opened = self._opened.get(what)
        if opened is None:
            context = open_it()
            opened = self._opened[what] = _Opened(context, await context.__aenter__())
        opened.users += 1
        try:
            yield opened.thing
        finally:
            opened.users -= 1
            if not opened.users:
                del self._opened[what]
                await opened.context.__aexit__(None, None, None)
