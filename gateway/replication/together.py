"""What many ask for one by one, done for all of them in one go."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

Asked = TypeVar("Asked")
Done = TypeVar("Done")
AT_ONCE: Final = 200


class Together(Generic[Asked, Done]):
    """Does at once what was asked for while it did the last, and in the `pause` before that, in seconds."""

    def __init__(self, do: Callable[[Sequence[Asked]], Awaitable[Sequence[Done]]], pause: float = 0.0) -> None:
        self._do, self._pause = do, pause
        self._waiting: list[tuple[Asked, asyncio.Future[Done]]] = []
        self._doing: asyncio.Task[None] | None = None

    async def ask(self, what: Asked) -> Done:
        """Return what became of it. Raises: what is raised for all with whom it was done."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Done] = loop.create_future()
        self._waiting.append((what, future))
        if self._doing is None or self._doing.done():
            self._doing = loop.create_task(self._work())
        return await future

    async def drained(self) -> None:
        """Wait until all that was asked for is done, or has failed."""
        while self._doing is not None and not self._doing.done():
            await asyncio.wait([self._doing])

    async def _work(self) -> None:
        while self._waiting:
            if self._pause:
                await asyncio.sleep(self._pause)
            batch, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
            futures = [future for _, future in batch]
            try:
                results = await self._do([what for what, _ in batch])
            except BaseException as error:
                for future in futures:
                    _fail(future, error)
                if not isinstance(error, Exception):
                    raise
            else:
                for future, result in zip(futures, results, strict=True):
                    if not future.done():
                        future.set_result(result)


def _fail(future: "asyncio.Future[Done]", error: BaseException) -> None:
    if future.done():
        return
    if isinstance(error, asyncio.CancelledError):
        future.cancel()
    else:
        future.set_exception(error)
