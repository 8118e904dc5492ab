"""The time of an exec by the clock that files have their ctime from, and what a ctime proves.

A ctime cannot be chosen: every change of an inode sets it to the time of the change, and no system call sets
it to another one. Only who may set the machine's clock can make it lie; see ``_offset_since``.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Final

from execwhy.bpf.events import clock
from execwhy.bpf.events.record import ExecFailure

CLOCK_STEP: Final = 8 * clock.TICK_NS
"""Nanoseconds by which a ctime may be early: file systems take the time of the last clock tick.

A virtual machine's ticks come late: CLOCK_REALTIME_COARSE was seen to lag by two of them, and a processor
takes over from one that has stalled after five of its own (MAX_STALLED_JIFFIES, kernel/time/tick-sched.c).
How long a call took is counted in the same ticks, so that they are late for both or for none."""

_SECOND: Final = 1_000_000_000
_MS: Final = 1_000_000

SLOW_SECONDS: Final = 10
"""Seconds after its ctime in which a change that others than root can make may still not be in effect.

The kernel takes the time first (rename, unlink, link: the file system; chmod, chown: notify_change of
fs/attr.c), and the name or mode changes once the call has its place in the journal and a processor. A call
with the policy SCHED_IDLE in a directory of FS_DIRSYNC_FL, beside four busy processes, took up to 1.7 s."""

_NOISE: Final = 1_000_000
"""Nanoseconds between two readings of one offset, in which a process may not have run."""

_TRIES: Final = 9

_readings: Final[deque[tuple[int, int]]] = deque(maxlen=64)
"""By how much the wall clock was ahead of the boot clock, and since when (by that), in nanoseconds."""
_lock: Final = threading.Lock()


class Moment:
    """When an exec began and failed, for comparing with the ctimes of files.

    Whoever can hold an exec up, with a lease on a file or a file system of their own on the way, can have
    files changed while it lasts. What was before and what is after are therefore two times.

    Args:
        timestamp: When it failed, on the clock of the records: nanoseconds since 1970 UTC.
        duration_ms: How long the call took, rounded up; None is unknown, and taken as no time.

    Attributes:
        began: When the call began, or earlier, on the same clock.
    """

    def __init__(self, timestamp: int, duration_ms: int | None = None) -> None:
        self.began = timestamp - (duration_ms or 0) * _MS
        offset = _offset_since(self.began)
        self._wall = timestamp + offset
        self._wall_at_beginning = self.began + offset

    @classmethod
    def of(cls, record: ExecFailure) -> Moment:
        """Return the moment of a record. A call that nobody saw begin is as old as its process."""
        duration = record.duration_ms
        if duration is None and record.started is not None:
            duration = (record.timestamp - clock.boot_time() - record.started) // _MS + 1
        return cls(record.timestamp, duration)

    def is_unchanged(self, ctime: int) -> bool:
        """Return whether the inode has surely not changed since before the exec began."""
        return self._is_older(ctime, CLOCK_STEP)

    def is_long_unchanged(self, ctime: int) -> bool:
        """Return whether that goes as well for changes that somebody delays; see ``SLOW_SECONDS``."""
        return self._is_older(ctime, CLOCK_STEP + SLOW_SECONDS * _SECOND)

    def is_changed(self, ctime: int) -> bool:
        """Return whether the inode has surely changed since the exec failed, or the clock was set."""
        return ctime >= self._wall

    def _is_older(self, ctime: int, margin: int) -> bool:
        """Return whether a ctime is older than the exec by so many nanoseconds.

        A file system that keeps whole seconds (ext4 with inodes of 128 bytes) cuts off the rest.
        """
        if not ctime % _SECOND:
            ctime += _SECOND
        return ctime <= self._wall_at_beginning - margin


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


def _offset_since(timestamp: int) -> int:
    """Return by how much the wall clock is ahead of the records'; the least since then, where it was set.

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
    return offset - clock.boot_time()
