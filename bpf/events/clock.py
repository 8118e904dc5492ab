"""The kernel's boot clock in terms of the wall clock, and where this machine's events come from."""

from __future__ import annotations

import functools
import os
import time
from typing import Final

from execwhy.bpf.events.source import Origin

_READINGS: Final = 9

_CLOCK_REALTIME_COARSE: Final = 5

TICK_NS: Final = round(time.clock_getres(_CLOCK_REALTIME_COARSE) * 1e9)
"""Nanoseconds from one tick of the kernel to the next: its jiffies count them, and ctimes go by them."""

_OFFSETS: Final = "/proc/self/timens_offsets"


@functools.cache
def _offsets(path: str = _OFFSETS) -> dict[str, int]:
    """How far each clock of this time namespace is ahead of the kernel's: nanoseconds (time_namespaces(7)).

    BPF programs read the kernel's. A kernel before 5.6 has neither namespace nor file.
    """
    try:
        with open(path, encoding="ascii") as file:
            lines = [line.split() for line in file]
        return {name: int(seconds) * 1_000_000_000 + int(rest) for name, seconds, rest in lines}
    except (OSError, ValueError):
        return {}


def boot_offset() -> int:
    """Return how far this time namespace's boot clock, and the one in /proc, is ahead of the kernel's."""
    return _offsets().get("boottime", 0)


def boot_clock() -> int:
    """Return the boot clock as BPF programs read it, in nanoseconds."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - boot_offset()


def monotonic_clock() -> int:
    """Return the monotonic clock as BPF programs read it, in nanoseconds."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) - _offsets().get("monotonic", 0)


@functools.cache
def boot_time() -> int:
    """Return when the boot clock was zero: nanoseconds since 1970 UTC, by the wall clock at the first call.

    The fastest of several readings is accurate to a microsecond. The result stays the same when the wall
    clock is set or slewed afterwards, so that the timestamps of one run stay in order.
    """
    best, found = 1 << 62, 0
    for _ in range(_READINGS):
        before = boot_clock()
        wall = time.time_ns()
        after = boot_clock()
        if after - before < best:
            best, found = after - before, wall - (before + after) // 2
    return found


def now() -> int:
    """The time on the clock of the records' timestamps: nanoseconds since 1970 UTC."""
    return boot_time() + boot_clock()


def suspended() -> int:
    """How far the boot clock is ahead of the monotonic one: nanoseconds that the machine has slept."""
    return boot_clock() - monotonic_clock()


def this_machine(plan: str | None = None) -> Origin:
    """The origin of events that are captured here."""
    system = os.uname()
    return Origin(system.nodename, system.release, boot_time(), plan)
