"""The time of an exec by the clock that files have their ctime from, and what a ctime proves.

A ctime cannot be chosen: every change of an inode sets it to the time of the change, and no system call sets
it to another one. Only who may set the machine's clock can make it lie; see ``_earliest``.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Final

from bpf import clock

_CLOCK_REALTIME_COARSE: Final = 5

CLOCK_STEP: Final = 8 * round(time.clock_getres(_CLOCK_REALTIME_COARSE) * 1e9)
"""Nanoseconds by which a ctime may be early: file systems take the time of the last clock tick.

A virtual machine's ticks come late: CLOCK_REALTIME_COARSE was seen to lag by two of them, and a processor
takes over from one that has stalled after five of its own (MAX_STALLED_JIFFIES, kernel/time/tick-sched.c)."""

_SECOND: Final = 1_000_000_000

_NOISE: Final = 1_000_000
"""Nanoseconds between two readings of one offset, in which a process may not have run."""

_TRIES: Final = 9

_readings: Final[deque[tuple[int, int]]] = deque(maxlen=64)
"""By how much the wall clock was ahead of the boot clock, and since when (by that), in nanoseconds."""
_lock: Final = threading.Lock()


class Moment:
    """When an exec failed, for comparing with the ctimes of files.

    Attributes:
        timestamp: The same on the clock of the records: nanoseconds since 1970 UTC.
    """

    def __init__(self, timestamp: int) -> None:
        self.timestamp = timestamp
        self._wall = _earliest(timestamp)

    def is_unchanged(self, ctime: int) -> bool:
        """Return whether the inode has surely not changed since before the exec.

        A file system that keeps whole seconds (ext4 with inodes of 128 bytes) cuts off the rest.
        """
        if not ctime % _SECOND:
            ctime += _SECOND
        return ctime <= self._wall - CLOCK_STEP

    def is_changed(self, ctime: int) -> bool:
        """Return whether the inode has surely changed since, or the clock was set."""
        return ctime >= self._wall


def note_clock() -> None:
    """Remember how far ahead the wall clock is now, in this process and in all that are forked from it.

    A process that notes this now and then knows later that the clock was set meanwhile.
    """
    with _lock:
        _read_clock()


def _read_clock() -> tuple[int, int]:
    """Return since when the wall clock is as far ahead as now, and how far; with ``_lock`` held."""
    for _ in range(_TRIES):
        before, wall, boot = clock.boot_clock(), time.time_ns(), clock.boot_clock()
        if boot - before < _NOISE:
            break
    offset = wall - boot
    if _readings and abs(_readings[-1][1] - offset) < _NOISE:
        boot, former = _readings.pop()
        offset = min(offset, former)
    _readings.append((boot, offset))
    return boot, offset


def _earliest(timestamp: int) -> int:
    """Return the wall clock's time at a record's timestamp; the earliest where the clock was set since.

    Both clocks are slewed in the same way: only setting one, or a leap second, changes their distance. A
    file that changed after the exec has its ctime from a clock that was in force after it, so that the
    smallest of their offsets lets none of them seem older than the exec.
    """
    then = timestamp - clock.boot_time()
    with _lock:
        _, offset = _read_clock()
        for since, former in reversed(_readings):
            offset = min(offset, former)
            if since <= then:
                break
    return then + offset
