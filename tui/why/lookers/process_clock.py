"""The time that a looker has had for a look, not counting time in which others kept the processor busy."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Final

from execwhy.bpf.caller.own_time import slowness

_MOST_BYTES: Final = 1024


class ProcessClock:
    """The clock ``bpf.caller.own_time`` of another process, as far as it can be read from outside.

    Its files stay open, so that they never refer to another process with the same pid, and so that the
    process that was handed them can read them despite hidepid (proc(5)).

    Args:
        stat: Descriptor of its /proc/PID/stat. ``close`` closes it.
        schedstat: Descriptor of its /proc/PID/schedstat. ``close`` closes it.
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
        """Return the seconds in which it has run, or waited for something other than a processor.

        The kernel counts a wait for a processor only once it is over. Until then, only the time in which the
        process has run counts.
        """
        passed = time.monotonic() - self._began
        try:
            ran, waited = (now - then for now, then in zip(self._times(), self._at_begin, strict=True))
            can_run = _state(os.pread(self._stat, _MOST_BYTES, 0)) == b"R"
        except (OSError, ValueError):  # it is gone, or the kernel has no such statistics
            return passed / slowness()
        return (ran / 1e9 if can_run else passed - waited / 1e9) / slowness()

    def close(self) -> None:
        """Close its files."""
        for descriptor in (self._stat, self._schedstat):
            os.close(descriptor)

    def _times(self) -> tuple[int, int]:
        """Return the nanoseconds on a processor, and waiting for one."""
        ran, waited, runs = map(int, os.pread(self._schedstat, _MOST_BYTES, 0).split())
        if not runs:
            raise ValueError("the kernel keeps no statistics of its scheduler")
        return ran, waited


def _state(stat: bytes) -> bytes:
    """Return the letter for the state of a process; the name in front of it may contain anything."""
    return stat.rpartition(b")")[2].split(None, 1)[0]


def clock_of(pid: int) -> list[int]:
    """Return the descriptors for a ``ProcessClock`` of a process; none if it has no such files."""
    opened: list[int] = []
    try:
        for name in ("stat", "schedstat"):
            opened.append(os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        for descriptor in opened:
            os.close(descriptor)
        return []
    return opened
