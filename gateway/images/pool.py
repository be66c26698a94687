"""Worker processes that make pictures: as many as there may be at once, and whatever is asked of more waits."""

import asyncio
import fcntl
import os
import shutil
import sys
import tempfile
import uuid
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Self

from gateway.images.spec import Made, Order, Reason, Unfit
from gateway.images.wire import MALFORMED, Task, read_answer, write_task

TASKS: Final = 500  # after which a worker is replaced, so that what leaks in a decoder does not add up
_PREFIX: Final = "images-"
_LINE: Final = 2**20  # bytes of an answer


class Workers:
    """Makes pictures of pictures; an asynchronous context manager, and none of its processes or files outlive it.

    A worker that takes too long or dies is replaced; the other ones do not notice.
    """

    def __init__(
        self,
        count: int,
        *,
        nice: int = 10,
        timeout: float = 10.0,
        memory: int = 640_000_000,
        folder: Path | None = None,
    ) -> None:
        """Have so many processes at most, each with so many seconds for a task and so many bytes of address space.

        What they make lies in the folder, which nothing else may use; None is where temporary files go.
        """
        self._timeout = timeout
        self._parent = folder
        self._workers = [_Worker(nice, memory) for _ in range(count)]
        self._idle: asyncio.LifoQueue[_Worker] = asyncio.LifoQueue()  # whoever worked last is warm
        for worker in self._workers:
            self._idle.put_nowait(worker)

    @property
    def folder(self) -> Path:
        """A folder for what is to be worked on, while the context is open; it goes with all that is in it."""
        return self._folder

    async def __aenter__(self) -> Self:
        self._folder, self._lock = await asyncio.to_thread(_own_folder, self._parent)
        return self

    async def __aexit__(self, *_: object) -> None:
        for worker in self._workers:
            await worker.stop()
        await asyncio.to_thread(_remove, self._folder)
        os.close(self._lock)

    @asynccontextmanager
    async def derive(self, order: Order) -> AsyncIterator[Made]:
        """Make what is ordered; the files are there until the context is left. Waits while all workers are busy.

        Raises: Unfit if the source is not to be transformed, or was the end of the worker that tried.
        """
        task = Task(order, self._folder / uuid.uuid4().hex, 2 * self._timeout)
        try:
            yield await self._done(task)
        finally:
            await asyncio.to_thread(_remove, task.folder)

    async def _done(self, task: Task) -> Made:
        worker = await self._idle.get()
        try:
            return await worker.do(task, self._timeout)
        finally:
            self._idle.put_nowait(worker)


class _Worker:
    """One process, or the place of one that is started when there is something to do."""

    def __init__(self, nice: int, memory: int) -> None:
        self._limits = (str(nice), str(memory))
        self._process: Process | None = None
        self._tasks = 0

    async def do(self, task: Task, timeout: float) -> Made:  # noqa: ASYNC109  what the process has, not who waits
        """Have a task done. If it does not end well, the process is ended: nobody knows what it would say next."""
        well = False
        try:
            async with asyncio.timeout(timeout):
                answer = read_answer(await self._ask(write_task(task)), task)
            well = self._tasks < TASKS and not (isinstance(answer, Unfit) and answer.reason is Reason.OUT_OF_MEMORY)
        except TimeoutError:
            raise Unfit(Reason.TIMEOUT) from None
        except (ConnectionError, *MALFORMED) as error:  # it died, or babbles
            raise Unfit(Reason.KILLED) from error
        finally:
            if not well:
                await self.stop()
        if isinstance(answer, Unfit):
            raise answer
        return answer

    async def stop(self) -> None:
        """End the process, whatever it is at."""
        process, self._process, self._tasks = self._process, None, 0
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def _ask(self, question: bytes) -> bytes:
        if self._process is None or self._process.returncode is not None:
            self._process, self._tasks = await self._started(), 0
        self._tasks += 1
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise ConnectionError
        stdin.write(question)
        await stdin.drain()
        return await stdout.readline()

    async def _started(self) -> Process:
        """Start a process that has nothing of ours: no environment, no folder, no terminal whose Ctrl-C ends it."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", "gateway.images.worker", *self._limits),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            cwd="/",
            env={},
            start_new_session=True,
            limit=_LINE,
        )


def _own_folder(parent: Path | None) -> tuple[Path, int]:
    """Make a folder of our own, locked for as long as we live, and remove those whose owners were killed."""
    if parent is None:
        return _locked_folder(Path(tempfile.gettempdir()))
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # who sweeps must not meet a folder that is not locked yet
        for folder in parent.glob(f"{_PREFIX}*"):
            _sweep(folder)
        return _locked_folder(parent)
    finally:
        os.close(lock)


def _locked_folder(parent: Path) -> tuple[Path, int]:
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return folder, lock


def _sweep(folder: Path) -> None:
    """Remove a folder that nobody holds."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return
    try:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(folder)
    finally:
        os.close(lock)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
