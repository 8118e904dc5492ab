"""How much time a looker has had for a look: a processor that others keep busy is not its fault."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Final

from execwhy.bpf.caller.own_time import slowness

_MOST_BYTES: Final = 1024


class ProcessClock:
    """The clock ``bpf.caller.own_time`` of another process, as far as it can be read from outside.

    Its files are held open, so that they never mean another process of the same pid, and that whoever was
    handed them may read them (hidepid, proc(5)).

    Args:
        stat: Descriptor of its /proc/PID/stat, which is closed here.
        schedstat: Descriptor of its /proc/PID/schedstat, likewise.
    """

    def __init__(self, stat: int, schedstat: int) -> None:
        self._stat = stat
        self._schedstat = schedstat
        self._began = time.monotonic()
        self._at_begin = (0, 0)
        self.begin()

    def begin(self) -> None:
        """Count from now on."""
        self._began = time.monotonic()
        with suppress(OSError, ValueError):
            self._at_begin = self._times()

    def spent(self) -> float:
        """Return how many seconds it has run or waited for anything but a processor.

        How long one that could run has waited for a processor is known only once it runs. Until then no more
        counts than it has run.
        """
        passed = time.monotonic() - self._began
        try:
            ran, waited = (now - then for now, then in zip(self._times(), self._at_begin, strict=True))
            can_run = _state(os.pread(self._stat, _MOST_BYTES, 0)) == b"R"
        except (OSError, ValueError):  # it is gone, or the kernel has no such statistics
            return passed / slowness()
        return (ran / 1e9 if can_run else passed - waited / 1e9) / slowness()

    def close(self) -> None:
        """Let go of its files."""
        for descriptor in (self._stat, self._schedstat):
            os.close(descriptor)

    def _times(self) -> tuple[int, int]:
        """Return the nanoseconds on a processor, and waiting for one."""
        ran, waited, runs = map(int, os.pread(self._schedstat, _MOST_BYTES, 0).split())
        if not runs:
            raise ValueError("the kernel keeps no statistics of its scheduler")
        return ran, waited


def _state(stat: bytes) -> bytes:
    """Return the letter for the state of a process; its name before that may hold anything."""
    return stat.rpartition(b")")[2].split(None, 1)[0]


def clock_of(pid: int) -> list[int]:
    """Return the descriptors for a ``ProcessClock`` of a process; none where it has no such files."""
    opened: list[int] = []
    try:
        for name in ("stat", "schedstat"):
            opened.append(os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        for descriptor in opened:
            os.close(descriptor)
        return []
    return opened
