"""Virtual time, and nodes that can be killed or paused between any two steps of their code."""

import asyncio
import selectors
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any


class _NoWaiting(selectors.DefaultSelector):
    """Lets time jump to the next timer where others would sleep. Nothing real is ever waited for."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everybody waits for something that never comes")
        self.loop.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose seconds cost nothing. Tasks begun by a node's code belong to that node."""

    def __init__(self) -> None:
        selector = _NoWaiting()
        super().__init__(selector)
        selector.loop = self
        self.now = 0.0
        self.set_task_factory(_task_of_node)
        self.killed: list[Any] = []  # what will never run again, kept so that it is not cleaned up either

    def time(self) -> float:
        return self.now


class Life:
    """The life of one boot of a node."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.dead = False
        self.paused_until = 0.0

    def run(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> "asyncio.Task[Any]":
        """Begin something as this node's own."""
        token = CURRENT.set(self)
        try:
            return self.loop.create_task(work())
        finally:
            CURRENT.reset(token)


CURRENT: ContextVar[Life | None] = ContextVar("CURRENT", default=None)


def _task_of_node(loop: Any, work: Coroutine[Any, Any, Any], **options: Any) -> "asyncio.Task[Any]":
    life = CURRENT.get()
    if life is None:
        return asyncio.Task(work, loop=loop, **options)
    loop.killed.append(work)
    return asyncio.Task(_lived(work, life), loop=loop, **options)


async def _lived(work: Coroutine[Any, Any, Any], life: Life) -> Any:
    return await _steps(work, life)


@types.coroutine
def _steps(work: Coroutine[Any, Any, Any], life: Life) -> Generator[Any, Any, Any]:
    """Run a coroutine step by step, as long as its node lives and is not stopped."""
    answer: Any = None
    failure: BaseException | None = None
    while True:
        yield from _allowed(life)
        try:
            wanted = work.send(answer) if failure is None else work.throw(failure)
        except StopIteration as done:
            return done.value
        answer = failure = None
        try:
            answer = yield wanted
        except BaseException as error:  # noqa: BLE001  the coroutine is to see it, whatever it is
            failure = error


def _allowed(life: Life) -> Generator[Any, Any, None]:
    while life.dead or life.paused_until > life.loop.time():
        waiting = life.loop.create_future()
        if not life.dead:
            life.loop.call_at(life.paused_until, _wake, waiting)
        yield from waiting


def _wake(waiting: "asyncio.Future[None]") -> None:
    if not waiting.done():
        waiting.set_result(None)


def simulate(world: Callable[[VirtualLoop], Awaitable[Any]]) -> Any:
    """Run a world to its end."""
    loop = VirtualLoop()
    loop.set_exception_handler(lambda *_: None)  # the dead tell no tales
    try:
        return loop.run_until_complete(world(loop))  # type: ignore[arg-type]
    finally:
        _abandon(loop)
        loop.close()


def _abandon(loop: VirtualLoop) -> None:
    """Forget what has not come to its end."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    for work in [*loop.killed, *(task.get_coro() for task in left)]:
        with suppress(RuntimeError):  # it waits while it cleans up
            work.close()
