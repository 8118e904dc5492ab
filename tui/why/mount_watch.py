"""Since when the mounts of this program's own mount namespace are as they are now.

A mount that was taken away leaves no trace: nothing in mountinfo has a time. So the kernel is asked to say
when one changes (POLLPRI on /proc/self/mountinfo, proc(5)), from before the execs that are looked at.
"""

from __future__ import annotations

import functools
import os
import select
import threading
import time
from typing import Final

_MOUNTINFO: Final = "/proc/self/mountinfo"


class MountWatch:
    """Knows since when no mount has changed. Safe to share between threads; a process needs its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changes = _poll()
        self._since = _now()
        thread = threading.Thread(target=self._wait, args=(_poll(),), name="mount watch", daemon=True)
        thread.start()

    def unchanged_since(self) -> int:
        """The time on the boot clock since which surely no mount has changed, in nanoseconds.

        It is the time at which the last change was noticed, which is never before it happened. What has
        changed before this call is noticed by it at the latest.
        """
        with self._lock:
            if self._changes.poll(0):
                self._since = _now()
            return self._since

    def _wait(self, doorbell: select.poll) -> None:
        # Its own descriptor: a poll that returns takes the change away from all who ask the same one.
        while True:
            doorbell.poll()
            self.unchanged_since()


def _poll() -> select.poll:
    descriptor = os.open(_MOUNTINFO, os.O_RDONLY | os.O_CLOEXEC)
    poll = select.poll()
    poll.register(descriptor, select.POLLPRI)
    return poll


def _now() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def mount_watch() -> MountWatch:
    """This process's watch. Whoever diagnoses calls it first when it starts: it knows nothing from before."""
    return _watch_of(os.getpid())


@functools.lru_cache(maxsize=1)
def _watch_of(pid: int) -> MountWatch:
    """A watch for one process: a fork has no thread of its parent's."""
    return MountWatch()
