"""The memory of the whole monitor, and what of it is left for the history.

The history counts what it takes, and holds its bound by that. What the allocator keeps, what waits to be
taken in and what everything else takes is not in that count. It is bounded where it arises; should that ever
fail, the history gives way.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from typing import Final

BESIDE: Final = 100_000_000
"""Bytes beside the history's that all processes may have, at most: the program, the screen, what waits."""

ELSEWHERE: Final = 80_000_000
"""Of these, what is not the monitor's own: three processes that look for causes have 18 MB each at most, and
what is mapped of files, the ring among it, takes 26."""

_RESERVE: Final = 8_000_000
"""Bytes that may come between two looks."""

_LEAST: Final = 4
"""The history keeps one in so many of its bytes: what else has grown by more is not there for its sake."""

_SECONDS: Final = 1.0
"""Between two looks: each reads a file of /proc, and one that finds too much asks the allocator."""

_OF_MALLOC: Final = ((-8, 1), (-3, 128 << 10), (-1, 128 << 10))
"""M_ARENA_MAX; M_MMAP_THRESHOLD and M_TRIM_THRESHOLD at their defaults, which then do not grow (malloc.h)."""

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """Return the bytes of this process's own memory, without what is mapped of files (proc(5), statm)."""
    with open("/proc/self/statm", "rb") as file:
        _, resident, shared, *_ = map(int, file.read().split())
        return (resident - shared) * _PAGE


def keep_heap_compact() -> None:
    """Have the C library use one heap for all threads, and none for large blocks (mallopt(3)), where it can.

    Otherwise what it keeps between small blocks that live long grows to a third of the process in a flood. To
    be called before there are other threads.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        for option, value in _OF_MALLOC:
            set_option(option, value)


def trim() -> None:
    """Let the C library give free memory back to the kernel (malloc_trim(3)), where it is one that can."""
    release = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if release is not None:
        release(0)


class Resident:
    """Says how much the history may take, so that the process stays within its bound.

    Args:
        resident: The process's resident bytes.
        clock: Seconds.
        release: Gives free memory back.
        beside: Bytes beside the history's that the process may have.
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
        """What the history may take.

        Args:
            max_bytes: What it may take at most.
            nbytes: What it takes.
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
