"""The time of an exec on the clock of the ctimes of files, and what a ctime proves.

Nobody can choose a ctime: every change of an inode sets it to the current time, and no system call sets it to
another. Only a change of the machine's clock can make it wrong; see ``_offset_since``.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Final

from execwhy.bpf.events import clock
from execwhy.bpf.events.record import ExecFailure

CLOCK_STEP: Final = 8 * clock.TICK_NS
"""Nanoseconds by which a ctime may be too early: file systems use the time of the last clock tick.

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
"""Since when, on the boot clock, the wall clock was ahead of it, and by how much, in nanoseconds."""
_lock: Final = threading.Lock()


class Moment:
    """When an exec began and failed, for comparing with the ctimes of files.

    Whoever can delay an exec, with a lease on a file or a file system of their own on the way, can change
    files while it lasts. So there are two times: one for what was before, and one for what came after.

    Args:
        timestamp: When it failed, on the clock of the records: nanoseconds since 1970 UTC.
        duration_ms: How long the call took, rounded up; None is unknown, and taken as no time.

    Attributes:
        began: When the call began, or an earlier time, on the same clock.
    """

    def __init__(self, timestamp: int, duration_ms: int | None = None) -> None:
        self.began = timestamp - (duration_ms or 0) * _MS
        offset = _offset_since(self.began)
        self._wall = timestamp + offset
        self._wall_at_beginning = self.began + offset

    @classmethod
    def of(cls, record: ExecFailure) -> Moment:
        """Return the moment of a record. A call that no hook saw begin is as old as its process."""
        duration = record.duration_ms
        if duration is None and record.started is not None:
            duration = (record.timestamp - clock.boot_time() - record.started) // _MS + 1
        return cls(record.timestamp, duration)

    def is_unchanged(self, ctime: int) -> bool:
        """Return whether the inode has surely not changed since before the exec began."""
        return self._is_older(ctime, CLOCK_STEP)

    def is_long_unchanged(self, ctime: int) -> bool:
        """Return whether this also holds if somebody delayed the change; see ``SLOW_SECONDS``."""
        return self._is_older(ctime, CLOCK_STEP + SLOW_SECONDS * _SECOND)

    def is_changed(self, ctime: int) -> bool:
        """Return whether the inode has surely changed since the exec failed, or the clock was set."""
        return ctime >= self._wall

    def _is_older(self, ctime: int, margin: int) -> bool:
        """Return whether a ctime is older than the exec by a margin in nanoseconds.

        A file system that keeps whole seconds (ext4 with inodes of 128 bytes) cuts off the rest.
        """
        if not ctime % _SECOND:
            ctime += _SECOND
        return ctime <= self._wall_at_beginning - margin


def note_clock() -> None:
    """Remember how far ahead the wall clock is now, in this process and in all that are forked from it.

    A process that does this now and then knows later whether the clock was set.
    """
    with _lock:
        _read_clock()


def _read_clock() -> tuple[int, int]:
    """Return since when the wall clock is as far ahead as now, and how far. The caller holds ``_lock``."""
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
    """Return how far the wall clock is ahead of the records' clock; if it was set since, the least of that.

    Both clocks are slewed in the same way, so only setting one, or a leap second, changes their distance. A
    file that changed after the exec has a ctime from one of the clocks since, so with the smallest offset
    none of them seems older than the exec.
    """
    then = timestamp - clock.boot_time()
    with _lock:
        _, offset = _read_clock()
        for since, former in reversed(_readings):
            offset = min(offset, former)
            if since <= then:
                break
    return offset - clock.boot_time()
