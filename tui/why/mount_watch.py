"""Since when the mounts of the host's namespace, and of this program's own, are as they are now.

A mount that was taken away leaves no trace: nothing in mountinfo has a time. So the kernel is asked to say
when one changes (POLLPRI on /proc/self/mountinfo, proc(5)), from before the execs that are looked at.
"""

from __future__ import annotations

import functools
import os
import select
import threading
from contextlib import suppress
from typing import Final

from bpf import clock

_OWN: Final = "/proc/self"
_FIRST: Final = "/proc/1"
"""In a container that has the host's pid namespace, this is where most others are."""


class MountWatch:
    """Knows since when no mount of a namespace has changed. Safe to share between threads.

    Args:
        process: A process there, such as "/proc/1".

    Raises:
        OSError: Its mounts cannot be read.
    """

    def __init__(self, process: str) -> None:
        self._lock = threading.Lock()
        self._changes = _poll(process)
        self._since = _now()
        thread = threading.Thread(target=self._wait, args=(_poll(process),), name="mount watch", daemon=True)
        thread.start()

    def unchanged_since(self) -> int:
        """Return the time on the boot clock since which surely no mount has changed, in nanoseconds.

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


def _poll(process: str) -> select.poll:
    descriptor = os.open(f"{process}/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
    poll = select.poll()
    poll.register(descriptor, select.POLLPRI)
    return poll


def _now() -> int:
    return clock.boot_clock()


def watch_mounts() -> None:
    """Begin to watch. Whoever diagnoses calls it when it starts: nothing is known from before."""
    _watches_of(os.getpid())


def mount_watch(mount_ns: int | None) -> MountWatch | None:
    """Return the watch over a mount namespace, by default our own; None where nobody watches it."""
    watches = _watches_of(os.getpid())
    return watches.get(mount_ns, watches[None] if mount_ns is None else None)


@functools.lru_cache(maxsize=1)
def _watches_of(pid: int) -> dict[int | None, MountWatch]:
    """Return the watches of one process, by the mount namespace: a fork has no thread of its parent's."""
    watches: dict[int | None, MountWatch] = {None: MountWatch(_OWN)}
    for process in (_FIRST, _OWN):
        with suppress(OSError):
            namespace = os.stat(f"{process}/ns/mnt").st_ino
            watches[namespace] = watches[None] if process == _OWN else MountWatch(process)
    return watches
