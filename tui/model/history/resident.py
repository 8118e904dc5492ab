"""The memory of the whole monitor, and how much of that the history may use.

The history counts its own bytes and enforces its bound with that count. The count does not include what the
allocator keeps, events that wait to be taken in, and everything else. These are bounded where they arise;
should that ever fail, the history shrinks.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from typing import Final

BESIDE: Final = 100_000_000
"""The most bytes that all processes may use besides the history: the program, the screen, what waits."""

ELSEWHERE: Final = 80_000_000
"""The part of these bytes outside the monitor's own memory: three processes that look for causes, at most
18 MB each, and 26 MB of mapped files, the ring included."""

_RESERVE: Final = 8_000_000
"""Bytes that may be added between two checks."""

_LEAST: Final = 4
"""The history never shrinks below a quarter of its bound: memory beyond that is not due to it."""

_SECONDS: Final = 1.0
"""Seconds between two checks: each reads a file in /proc and, if memory is exceeded, trims the heap."""

_OF_MALLOC: Final = ((-8, 1), (-3, 128 << 10), (-1, 128 << 10))
"""M_ARENA_MAX; M_MMAP_THRESHOLD and M_TRIM_THRESHOLD at their defaults, which then do not grow (malloc.h)."""

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """Return the bytes of this process's own memory, without what is mapped of files (proc(5), statm)."""
    with open("/proc/self/statm", "rb") as file:
        _, resident, shared, *_ = map(int, file.read().split())
        return (resident - shared) * _PAGE


def keep_heap_compact() -> None:
    """Make the C library use one heap for all threads, and mmap for large blocks, if it has mallopt(3).

    Otherwise free memory between small, long-lived blocks grows to a third of the process in
    a flood. Call this before other threads start.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        for option, value in _OF_MALLOC:
            set_option(option, value)


def trim() -> None:
    """Give free memory back to the kernel, if the C library has malloc_trim(3)."""
    release = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if release is not None:
        release(0)


class Resident:
    """Decides how much the history may use, so that the process stays within its bound.

    Args:
        resident: Returns the resident bytes of the process.
        clock: Returns seconds.
        release: Gives free memory back to the kernel.
        beside: Bytes that the process may use besides the history.
    """

    def __init__(
        self,
        resident: Callable[[], int] = resident_bytes,
        clock: Callable[[], float] = time.monotonic,
        release: Callable[[], None] = trim,
        beside: int = BESIDE,
    ) -> None:
        self._resident = resident
        self._clock = clock
        self._release = release
        self._beside = beside
        self._allowed: int | None = None
        self._next_look = 0.0

    def allowed(self, max_bytes: int, nbytes: int) -> int:
        """Return how many bytes the history may use.

        Args:
            max_bytes: The most that it may ever use.
            nbytes: The bytes that it uses now.
        """
        allowed = max_bytes if self._allowed is None else self._allowed
        now = self._clock()
        if now < self._next_look:
            return allowed
        self._next_look = now + _SECONDS
        try:
            too_much = self._too_much(max_bytes)
        except OSError:
            return allowed
        if too_much > 0:
            allowed = max(max_bytes // _LEAST, min(allowed, nbytes) - too_much)
        elif too_much < -_RESERVE:
            allowed = min(max_bytes, allowed - too_much - _RESERVE)
        self._allowed = allowed
        return allowed

    def _too_much(self, max_bytes: int) -> int:
        most = max_bytes + self._beside - _RESERVE
        if self._resident() > most:
            self._release()
        return self._resident() - most
