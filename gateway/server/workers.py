"""Several processes on one port: bound before, forked, watched, started again, ended together.

The parent has neither an event loop nor a thread, because a process that has them cannot be forked safely; the admin
port, which has to outlive the workers, is served by a child of its own.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Mapping
from typing import Final

import structlog

from gateway.server.bind import StartError

SIGNALS: Final = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SHORTEST_PAUSE: Final = 0.1  # seconds before a child that ended is started again; doubled each time
LONGEST_PAUSE: Final = 10.0
LOOKING: Final = 2.0  # seconds between two looks for other settings
STEADY: Final = 30.0  # a child that lived so long starts with the shortest pause again

Job = Callable[[int], None]  # runs in a child; given the end of a pipe that closes when the parent dies

log = structlog.get_logger()


class Supervisor:
    """Keeps children running.

    `workers` are told to end first; `helpers` once the last worker is gone. `started` says whether a worker ever was
    ready: if it ends before, there is no point in trying again. `ended` is told of each child that ended. `look` is
    called every few seconds, and with True on SIGHUP; where it returns True, each child gets a SIGHUP.
    """

    def __init__(
        self,
        workers: Mapping[str, Job],
        helpers: Mapping[str, Job],
        started: Callable[[str], bool],
        ended: Callable[[str, int], None],
        look: Callable[[bool], bool],
    ) -> None:
        self._jobs = {**workers, **helpers}
        self._workers = set(workers)
        self._started = started
        self._ended = ended
        self._look = look
        self._looked = time.monotonic()
        self._pids: dict[int, str] = {}
        self._born: dict[str, float] = {}
        self._pauses: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self._stopping = False
        self._code = 0
        self._pipe = os.pipe()

    def run(self) -> int:
        """Run until told to end. Return the exit code: 1 if a worker could not start."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        for name in self._jobs:
            self._start(name)
        while self._pids or not self._stopping:
            received = signal.sigtimedwait(SIGNALS, self._patience())
            if received is None:
                self._start_due()
                self._renew(asked=False)
            elif received.si_signo == signal.SIGCHLD:
                self._reap()
            elif received.si_signo == signal.SIGHUP:
                self._renew(asked=True)
            elif self._stopping:
                self._tell(signal.SIGKILL, self._jobs)
                return 128 + received.si_signo
            else:
                self._stop(0)
        return self._code

    def _renew(self, *, asked: bool) -> None:
        """Look for something to tell the children; what is `asked` for is passed on in any case."""
        if self._stopping or not (asked or time.monotonic() - self._looked >= LOOKING):
            return
        self._looked = time.monotonic()
        if self._look(asked) or asked:
            self._tell(signal.SIGHUP, self._jobs)

    def _start(self, name: str) -> None:
        self._born[name] = time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            self._pids[pid] = name
            return
        code = 1
        try:
            os.close(self._pipe[1])
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all, the parent passes it on
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it is listened to
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            self._jobs[name](self._pipe[0])
            code = 0
        except StartError as error:
            sys.stderr.write(f"{error}\n")
        except Exception:  # a child must not return into the code of its parent, whatever happens
            log.exception("worker_failed", worker=name)
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        while self._pids:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            name = self._pids.pop(pid, None)
            if name is None:  # one that a child has left behind: the first process of a container inherits those
                continue
            self._bury(name, os.waitstatus_to_exitcode(status))
            self._ended(name, pid)

    def _bury(self, name: str, code: int) -> None:
        if self._stopping:
            if not self._workers & set(self._pids.values()):
                self._tell(signal.SIGTERM, self._jobs)
            return
        log.error("worker_ended", worker=name, code=code)
        if not self._started(name):
            self._stop(1)
            return
        lived = time.monotonic() - self._born[name]
        pause = SHORTEST_PAUSE if lived > STEADY else min(LONGEST_PAUSE, self._pauses.get(name, SHORTEST_PAUSE / 2) * 2)
        self._pauses[name] = pause
        self._due[name] = time.monotonic() + pause

    def _start_due(self) -> None:
        now = time.monotonic()
        for name in [name for name, due in self._due.items() if due <= now]:
            del self._due[name]
            self._start(name)

    def _patience(self) -> float:
        return max(0.0, min([*self._due.values(), self._looked + LOOKING]) - time.monotonic())

    def _stop(self, code: int) -> None:
        self._stopping, self._code = True, code
        self._due.clear()
        workers = self._workers & set(self._pids.values())
        self._tell(signal.SIGTERM, workers or self._jobs)

    def _tell(self, number: signal.Signals, names: Collection[str]) -> None:
        for pid, name in self._pids.items():
            if name in names:
                os.kill(pid, number)
