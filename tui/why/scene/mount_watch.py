"""Since when the mounts of the host's namespace, and of this program's own, are as they are now.

A mount that was taken away leaves no trace: nothing in mountinfo has a time. So the kernel is asked to say
when one changes (POLLPRI on /proc/self/mountinfo, proc(5)), from before the execs that are looked at.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, NamedTuple

from execwhy.bpf.events import clock

_OWN: Final = "/proc/self"
_FIRST: Final = "/proc/1"
"""In a container that has the host's pid namespace, this is where most others are."""


class Handed(NamedTuple):
    """What a process hands over to one that it forks: it will be noticed what changes from before ``since``.

    Attributes:
        descriptor: A mountinfo that was opened for the other process alone.
        since: Since when nothing has changed, on the boot clock.
    """

    descriptor: int
    since: int


class MountWatch:
    """Knows since when no mount of a namespace has changed. Safe to share between threads.

    Args:
        process: A process there, such as "/proc/1".
        handed: What is known of it from before; None for nothing.

    Raises:
        OSError: Its mounts cannot be read.
    """

    def __init__(self, process: str, handed: Handed | None = None) -> None:
        self._process = process
        self._lock = threading.Lock()
        self._changes = _poll(_open(process) if handed is None else handed.descriptor)
        self._since = _now() if handed is None else handed.since

    def attend(self) -> MountWatch:
        """Start a thread that notices each change at once, not only when somebody asks."""
        arguments = (_poll(_open(self._process)),)
        threading.Thread(target=self._wait, args=arguments, name="mount watch", daemon=True).start()
        return self

    def unchanged_since(self) -> int:
        """Return the time on the boot clock since which surely no mount has changed, in nanoseconds.

        It is the time at which the last change was noticed, which is never before it happened. What has
        changed before this call is noticed by it at the latest.
        """
        with self._lock:
            if self._changes.poll(0):
                self._since = _now()
            return self._since

    def hand_over(self) -> Handed:
        """Return what another process needs to go on from here.

        Raises:
            OSError: There is no descriptor left.
        """
        # Opened first: what changes in between is noticed on both sides.
        return Handed(_open(self._process), self.unchanged_since())

    def _wait(self, doorbell: select.poll) -> None:
        # Its own descriptor: a poll that returns takes the change away from all who ask the same one.
        while True:
            doorbell.poll()
            self.unchanged_since()


def _open(process: str) -> int:
    return os.open(f"{process}/mountinfo", os.O_RDONLY | os.O_CLOEXEC)


def _poll(descriptor: int) -> select.poll:
    poll = select.poll()
    poll.register(descriptor, select.POLLPRI)
    return poll


def _now() -> int:
    return clock.boot_clock()


def watch_mounts() -> None:
    """Begin to watch. Whoever diagnoses calls it first: only what was handed is known from before."""
    _watches_of(os.getpid())


def mount_watch(mount_ns: int | None) -> MountWatch | None:
    """Return the watch over a mount namespace, by default our own; None where nobody watches it."""
    watches = _watches_of(os.getpid())
    return watches.get(mount_ns, watches[None] if mount_ns is None else None)


class MountWatches:
    """The watches of a process without threads, for those that it forks: none of them begins anew."""

    def __init__(self) -> None:
        self._watches: dict[str, MountWatch] = {}
        for process in (_FIRST, _OWN):
            with suppress(OSError):
                self._watches[process] = MountWatch(process)

    def notice(self) -> None:
        """Notice what has changed by now. Call it often: a change counts from when it is noticed."""
        for watch in self._watches.values():
            watch.unchanged_since()

    @contextlib.contextmanager
    def handed_over(self) -> Iterator[None]:
        """Hold the locks during a fork, so that the child knows what this process knows."""
        for process, watch in self._watches.items():
            with suppress(OSError):
                _handed[process] = watch.hand_over()
        try:
            yield
        finally:
            while _handed:
                os.close(_handed.popitem()[1].descriptor)


_handed: Final[dict[str, Handed]] = {}


@functools.lru_cache(maxsize=1)
def _watches_of(pid: int) -> dict[int | None, MountWatch]:
    """Return the watches of one process, by the mount namespace: a fork has no thread of its parent's."""
    own = _attended(_OWN)
    watches: dict[int | None, MountWatch] = {None: own}
    for process in (_FIRST, _OWN):
        with suppress(OSError):
            namespace = os.stat(f"{process}/ns/mnt").st_ino
            watches[namespace] = own if process == _OWN else _attended(process)
    return watches


def _attended(process: str) -> MountWatch:
    return MountWatch(process, _handed.pop(process, None)).attend()
