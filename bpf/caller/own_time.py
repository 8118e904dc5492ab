"""A clock for limits on work, which stands still while this thread waits for a processor.

On a busy machine a thread may not run for a second. By the wall clock, a limit of a quarter of that would
expire before any work was done, and whoever keeps the processors busy would decide what others get to know.
Waiting for anything else, such as a disk or a lock, counts. A slow machine, for example an emulated one, gets
more time for the same work.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from typing import Final

_SCHEDSTAT: Final = "/proc/thread-self/schedstat"
"""Nanoseconds on a processor and waiting for one (Documentation/scheduler/sched-stats.rst)."""

_FRESH: Final = 0.005
"""Seconds for which a reading is valid: a thread that has not run for longer reads again."""

_ROUNDS: Final = 400
_USUAL: Final = 0.0015
"""Most seconds that these rounds take on an ordinary machine."""

_SLOWEST: Final = 10.0


class _Reading(threading.local):
    """How long this thread had waited for a processor at the last reading, and the divisor of its time."""

    at = 0.0
    waited = 0.0
    slowness = 1.0


_reading: Final = _Reading()


def own_time() -> float:
    """Return seconds on the clock of this thread; only differences are meaningful."""
    now = time.monotonic()
    reading = _reading
    if now - reading.at > _FRESH:
        reading.at, reading.waited, reading.slowness = now, _read(reading.waited), slowness()
    return (now - reading.waited) / reading.slowness


def _read(former: float) -> float:
    """Read how long this thread has waited; return the former value if the kernel has no statistics."""
    try:
        with open(_SCHEDSTAT, "rb", buffering=0) as file:
            return int(file.read(128).split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return former


@functools.cache
def slowness() -> float:
    """Return how many times longer than usual work takes on this machine; 1.0 unless it is very slow.

    Other load does not matter: of a few runs, the one with the least time on a processor counts. Processes
    that are forked after the first call share its answer.
    """
    return min(_SLOWEST, max(1.0, min(_work() for _ in range(5)) / _USUAL))


def _work() -> float:
    """Return the processor time, in seconds, of a small piece of work similar to a look."""
    began = time.thread_time()
    for number in range(_ROUNDS):
        os.path.join("/", str(number)).encode().split(b"/")
        os.getppid()
    return time.thread_time() - began


def _forget() -> None:
    """Start from zero after a fork, as the kernel does."""
    _reading.at = _reading.waited = 0.0


os.register_at_fork(after_in_child=_forget)
