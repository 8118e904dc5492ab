"""Processes by their directories in /proc: whether a caller still exists, and when a thread began."""

from __future__ import annotations

import os
from typing import Final

from execwhy.bpf.caller.cached_lookup import wait_for_locks
from execwhy.bpf.events import clock
from execwhy.bpf.events.arrivals import Occurrence
from execwhy.bpf.events.record import ExecFailure

_TICK: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def caller_of(record: ExecFailure | Occurrence, *, even_dead: bool = False) -> str | None:
    """Return the caller's "/proc/PID"; None if it is gone or its pid belongs to another process now.

    A zombie no longer has files and counts as gone, unless ``even_dead``.
    """
    if record.pid <= 0:
        return None
    process = f"/proc/{record.pid}"
    wait_for_locks(f"{process}/stat", 1)
    try:
        with open(f"{process}/stat", "rb", buffering=0) as file:
            fields = file.read(1024).rpartition(b")")[2].split()
    except OSError:
        return None
    if len(fields) < 20 or (fields[0] in (b"Z", b"X") and not even_dead):
        return None
    if record.started is not None:
        started = (record.started + clock.boot_offset()) // _TICK
        if abs(int(fields[19]) - started) > 1:
            return None
    return process


def start_of_thread(thread: str) -> int | None:
    """Return when a "/proc/PID/task/TID" began, in nanoseconds of the boot clock, a tick early at most."""
    try:
        with open(f"{thread}/stat", "rb", buffering=0) as file:
            fields = file.read(1024).rpartition(b")")[2].split()
    except OSError:
        return None
    return int(fields[19]) * _TICK - clock.boot_offset() if len(fields) >= 20 else None
