"""A process that makes pictures: it trusts nothing that it decodes, and has nothing that is worth to be stolen.

`python -I -m gateway.images.worker NICE MEMORY` reads a task a line, and answers with a line. Nobody talks to it by
network, it holds no credentials, and whoever has asked it may end it at any time.
"""

import ctypes
import os
import resource
import signal
import sys

from gateway.images import decoders, wire
from gateway.images.pipeline import FULL, derive
from gateway.images.spec import Reason, Unfit

_NO_NEW_PRIVILEGES = 38  # PR_SET_NO_NEW_PRIVS of <linux/prctl.h>
_DESCRIPTORS = 64


def main() -> None:
    """Work until nobody asks any more."""
    confine(nice=int(sys.argv[1]), memory=int(sys.argv[2]))
    decoders.set_up()
    for line in sys.stdin.buffer:
        task = wire.read_task(line)
        signal.setitimer(signal.ITIMER_REAL, task.seconds)  # what it does to a process ends it, in a decoder, too
        answer = work(task)
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdout.buffer.write(answer)
        sys.stdout.buffer.flush()


def work(task: wire.Task) -> bytes:
    """Do a task, and say what became of it."""
    try:
        task.folder.mkdir(mode=0o700)
        return wire.write_made(derive(task.order, task.folder))
    except Unfit as unfit:
        return wire.write_unfit(unfit)
    except MemoryError:
        return wire.write_unfit(Unfit(Reason.OUT_OF_MEMORY))
    except OSError as error:
        return wire.write_unfit(Unfit(Reason.OUT_OF_SPACE if error.errno in FULL else Reason.NOT_READ))


def confine(*, nice: int, memory: int) -> None:
    """Give up what making pictures does not need."""
    os.nice(nice)
    for limit, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, memory),
        (resource.RLIMIT_NOFILE, _DESCRIPTORS),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)


if __name__ == "__main__":
    main()
