"""The directories of processes in /proc: whether a caller still exists, and which lookups are special."""

from __future__ import annotations

import functools
import os
from typing import Final

from execwhy.bpf.caller.cached_lookup import wait_for_locks
from execwhy.bpf.events import clock
from execwhy.bpf.events.arrivals import Occurrence
from execwhy.bpf.events.record import ExecFailure

_TICK: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")

_DIRECT_LINKS: Final = frozenset({"exe", "cwd", "root"})
_DIRECTORIES_OF_DIRECT_LINKS: Final = ("/fd", "/ns")
_LISTED_BY_MEMORY: Final = "/map_files"


def is_direct_link(directory: str, name: str) -> bool:
    """Return whether a link in /proc/PID leads directly to a file.

    The text of such a link may be "pipe:[1]" or a deleted path.
    """
    return name in _DIRECT_LINKS or directory.endswith(_DIRECTORIES_OF_DIRECT_LINKS)


def lookups_wait(directory: str) -> bool:
    """Return whether a lookup in a directory of /proc waits for the mmap_lock of a process.

    The owner of the process can hold that lock forever.
    """
    return directory.endswith(_LISTED_BY_MEMORY)


@functools.cache
def proc_device() -> int:
    """Return the st_dev of our own /proc; -1 if there is none."""
    try:
        return os.stat("/proc/sys").st_dev
    except OSError:
        return -1


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
