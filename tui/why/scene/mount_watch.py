"""Since when the mounts have not changed, in the host's mount namespace and in this program's own.

A mount that was removed leaves no trace, and mountinfo has no times. So the kernel reports when a mount
changes (POLLPRI on /proc/self/mountinfo, proc(5)), from before the execs that are looked at.
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
    """What a process hands over to one that it forks: all changes after ``since`` will be noticed.

    Attributes:
        descriptor: An open mountinfo that no other process uses.
        since: Time since which nothing has changed, on the boot clock.
    """

    descriptor: int
    since: int


class MountWatch:
    """The time since which no mount of a namespace has changed. Safe to share between threads.

    Args:
        process: A process there, such as "/proc/1".
        handed: What another process has handed over, if one has.

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

        That is when the last change was noticed, never before it happened. This call notices every change
        that happened before it.
        """
        with self._lock:
            if self._changes.poll(0):
                self._since = _now()
            return self._since

    def hand_over(self) -> Handed:
        """Return what another process needs to continue from here.

        Raises:
            OSError: No descriptor is left.
        """
        # Opened first, so that both sides notice what changes in between.
        return Handed(_open(self._process), self.unchanged_since())

    def _wait(self, doorbell: select.poll) -> None:
        # With a descriptor of its own: a change is reported to only one poll of each descriptor.
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
    """Begin to watch. Call this before the first diagnosis: nothing else is known from before it."""
    _watches_of(os.getpid())


def mount_watch(mount_ns: int | None) -> MountWatch | None:
    """Return the watch over a mount namespace, by default our own; None if it is not watched."""
    watches = _watches_of(os.getpid())
    return watches.get(mount_ns, watches[None] if mount_ns is None else None)


class MountWatches:
    """The watches of a process without threads, which it hands over to the processes that it forks."""

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
        """Let a process that is forked within know what this process knows."""
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
    """Return the watches of a process by mount namespace. A forked process needs threads of its own."""
    own = _attended(_OWN)
    watches: dict[int | None, MountWatch] = {None: own}
    for process in (_FIRST, _OWN):
        with suppress(OSError):
            namespace = os.stat(f"{process}/ns/mnt").st_ino
            watches[namespace] = own if process == _OWN else _attended(process)
    return watches


def _attended(process: str) -> MountWatch:
    return MountWatch(process, _handed.pop(process, None)).attend()
