"""The small maps that are read and written through memory: no system call, so no privilege either."""

from __future__ import annotations

import mmap
import os
from typing import Final

from bpf import layout
from bpf.source import Capture, Counters

RING_FULL: Final = "ring buffer full"
_MAX_READS: Final = 1000
"""The kernel's update takes a nanosecond; a set caught in it this often would be a wonder."""


def _map(fd: int, size: int) -> mmap.mmap:
    page = os.sysconf("SC_PAGE_SIZE")
    return mmap.mmap(fd, (size + page - 1) // page * page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)


class CounterMap:
    """The kernel's counters, one set for each CPU."""

    def __init__(self, fd: int, cpus: int) -> None:
        """Map them; raises OSError."""
        self._cpus = cpus
        self._memory = _map(fd, cpus * layout.COUNTERS_STRUCT.size)

    def read(self) -> Counters:
        """All CPUs' counters added up. The kernel writes on, so a set caught in between is read again.

        Raises:
            ValueError: The kernel's own counts do not add up: a defect.
        """
        size = layout.COUNTERS_STRUCT.size
        seen = recorded = suppressed = lost = untold = untracked = 0
        for cpu in range(self._cpus):
            for _ in range(_MAX_READS):
                one = layout.COUNTERS_STRUCT.unpack(self._memory[cpu * size : (cpu + 1) * size])
                if one[0] == one[1] + one[2] + one[3]:
                    break
            else:
                raise ValueError(f"the counters of CPU {cpu} do not add up: {one[:4]}.")
            seen += one[0]
            recorded += one[1]
            suppressed += one[2]
            lost += one[3]
            untold += one[5]
            untracked += one[6]
        return Counters(
            seen, recorded, suppressed, lost, {RING_FULL: lost} if lost else {}, untold, untracked
        )

    def close(self) -> None:
        """Unmap; may be called twice."""
        self._memory.close()


class CaptureMap:
    """The capture filter in force. A change is written beside it, and then put in its place at once."""

    def __init__(self, captures_fd: int, active_fd: int) -> None:
        """Map them; raises OSError."""
        self._captures = _map(captures_fd, 2 * layout.CAPTURE_STRUCT.size)
        self._active = _map(active_fd, 8)

    def set(self, capture: Capture | None) -> None:
        """Put a capture filter in force; None records everything.

        Raises:
            ValueError: It does not fit the map; one sentence.
        """
        packed = _pack(capture or Capture())
        view = memoryview(self._active).cast("Q")
        other = 1 - view[0]
        size = layout.CAPTURE_STRUCT.size
        self._captures[other * size : (other + 1) * size] = packed
        view[0] = other
        view.release()

    def close(self) -> None:
        """Unmap; may be called twice."""
        self._captures.close()
        self._active.close()


def _pack(capture: Capture) -> bytes:
    if len(capture.uid_ranges) > layout.MAX_UID_RANGES:
        raise ValueError(
            f"the kernel program takes {layout.MAX_UID_RANGES} uid ranges at most, "
            f"not {len(capture.uid_ranges)}."
        )
    # An exact path is a prefix that includes the NUL.
    paths = [os.fsencode(path) + b"\0" for path in capture.paths]
    paths += [os.fsencode(prefix) for prefix in capture.path_prefixes]
    if len(paths) > layout.MAX_CAPTURE_PATHS:
        raise ValueError(
            f"the kernel program takes {layout.MAX_CAPTURE_PATHS} paths at most, not {len(paths)}."
        )
    longest = max((len(os.fsencode(path)) for path in capture.paths + capture.path_prefixes), default=0)
    if longest > layout.CAPTURE_PATH_SIZE - 2:
        raise ValueError(
            f"the kernel program compares {layout.CAPTURE_PATH_SIZE - 2} bytes of a path at most, "
            f"not {longest}."
        )
    lows = [low for low, _ in capture.uid_ranges]
    highs = [high for _, high in capture.uid_ranges]
    no_ranges = [0] * (layout.MAX_UID_RANGES - len(lows))
    no_paths = [0] * (layout.MAX_CAPTURE_PATHS - len(paths))
    return layout.CAPTURE_STRUCT.pack(
        len(lows), len(paths), *lows, *no_ranges, *highs, *no_ranges, *map(len, paths), *no_paths,
        b"".join(path.ljust(layout.CAPTURE_PATH_SIZE, b"\0") for path in paths),
    )  # fmt: skip
