"""The kernel's boot clock in terms of the wall clock, and where this machine's events come from."""

from __future__ import annotations

import functools
import os
import time
from typing import Final

from bpf.source import Origin

_READINGS: Final = 9


@functools.cache
def boot_time() -> int:
    """When the boot clock was zero: nanoseconds since 1970 UTC, by the wall clock when it is first asked.

    Of several readings the one that took least is right to a microsecond. It stays the same when the wall
    clock is set or slewed afterwards, so that one run has one order of time.
    """
    best, found = 1 << 62, 0
    for _ in range(_READINGS):
        before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        wall = time.time_ns()
        after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if after - before < best:
            best, found = after - before, wall - (before + after) // 2
    return found


def now() -> int:
    """The time on the clock of the records' timestamps: nanoseconds since 1970 UTC."""
    return boot_time() + time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def suspended() -> int:
    """How far the boot clock is ahead of the monotonic one: nanoseconds that the machine has slept."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def this_machine(plan: str | None = None) -> Origin:
    """The origin of events that are captured here."""
    system = os.uname()
    return Origin(system.nodename, system.release, boot_time(), plan)
