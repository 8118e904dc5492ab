"""A process that has to wait for its processor, which others keep busy."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_CROWD = 4


@contextmanager
def crowded_child(work: Callable[[], None]) -> Iterator[int]:
    """Fork a child of the lowest priority that does this on a processor that others keep busy; its pid.

    Its exit status is 0 if the work ends without an exception. It is neither ended nor waited for here.
    """
    processor = min(os.sched_getaffinity(0))
    crowd = [_fork(processor, 10, _spin) for _ in range(_CROWD)]
    child = _fork(processor, 19, work)
    try:
        yield child
    finally:
        for pid in crowd:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _fork(processor: int, niceness: int, work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.sched_setaffinity(0, {processor})
            os.setpriority(os.PRIO_PROCESS, 0, niceness)
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def _spin() -> None:
    while True:
        pass
