"""The maps of the counters and of the capture filter."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from execwhy.bpf.events.source import Capture, Counters
from execwhy.bpf.maps.arrays import Array
from execwhy.bpf.maps.misses import TABLE_FULL, MissCounts
from execwhy.bpf.program import layout, limits

RING_FULL: Final = "ring buffer full"
SHARE_FULL: Final = "a user's share of the buffer full"
NO_BUFFER: Final = "no buffer free to write a record in"
PROBE_MISSED: Final = "probe of an exec of the kernel's own missed"
"""Names of losses."""

_MAX_READS: Final = 100
"""The kernel's update takes a nanosecond, unless its task is preempted in the middle."""


class CounterMap:
    """The kernel's counters, a set for each CPU."""

    def __init__(self, fd: int, cpus: int, misses: MissCounts | None = None) -> None:
        """Map them, if the kernel allows that.

        Args:
            fd: The map's descriptor.
            cpus: The number of sets.
            misses: Counts of programs that did not run.

        Raises:
            OSError: They can be neither mapped nor read.
        """
        self._array = Array(fd, cpus, layout.COUNTERS_STRUCT.size)
        self._misses = misses
        nothing = layout.Counts._make([0] * len(layout.Counts._fields))
        self._sets: list[Any] = [nothing] * cpus

    def read(self) -> Counters:
        """Return the sum of all CPUs' counters.

        The kernel keeps writing. A set that is read in the middle of an update is read again; if the update's
        task is preempted, the set of the previous reading is used. So every set is consistent, at some
        moment.
        """
        self._sets = [self._read(cpu) for cpu in range(len(self._sets))]
        total = layout.Counts._make(map(sum, zip(*self._sets, strict=True)))
        losses = {
            RING_FULL: total.lost - total.crowded - total.unprobed - total.outshared,
            SHARE_FULL: total.outshared,
            NO_BUFFER: total.crowded,
            PROBE_MISSED: total.unprobed,
        }
        incomplete = {TABLE_FULL: total.unjoined}
        if self._misses is not None:
            losses |= self._misses.of_events()
            incomplete |= self._misses.of_facts()
        losses = {name: count for name, count in losses.items() if count > 0}
        missed = sum(losses.values()) - total.lost
        return Counters(
            total.seen + missed,
            total.recorded,
            total.suppressed,
            total.lost + missed,
            losses,
            total.search_ends_lost,
            total.untracked,
            {name: count for name, count in incomplete.items() if count},
        )

    def _read(self, cpu: int) -> Any:  # noqa: ANN401
        for _ in range(_MAX_READS):
            one = layout.Counts._make(layout.COUNTERS_STRUCT.unpack(self._array.read(cpu)))
            adds_up = one.seen == one.recorded + one.suppressed + one.lost
            if adds_up and one.lost >= one.crowded + one.unprobed:
                return one
        return self._sets[cpu]

    def close(self) -> None:
        """Unmap; may be called twice."""
        self._array.close()


def without(counters: Counters, dropped: Mapping[str, int]) -> Counters:
    """Return the counters with what user space dropped counted as lost instead of recorded, by its name."""
    total = sum(dropped.values())
    if not total:
        return counters
    losses = dict(counters.losses)
    for name, count in dropped.items():
        if count:
            losses[name] = losses.get(name, 0) + count
    return replace(counters, recorded=counters.recorded - total, lost=counters.lost + total, losses=losses)


class CaptureMap:
    """The capture filter. A new one is written beside the current one, and then takes effect as a whole."""

    def __init__(self, captures_fd: int, active_fd: int) -> None:
        """Map them, if the kernel allows that; raise OSError if they cannot be read."""
        self._captures = Array(captures_fd, 2, layout.CAPTURE_STRUCT.size)
        self._active = Array(active_fd, 1, 8)

    def set(self, capture: Capture | None) -> None:
        """Apply a capture filter; None records everything.

        Raises:
            ValueError: It does not fit the map; the message is one sentence.
        """
        packed = _pack(capture or Capture())
        other = 1 - int.from_bytes(self._active.read(limits.ACTIVE_CAPTURE), "little")
        self._captures.write(other, packed)
        self._active.write(limits.ACTIVE_CAPTURE, other.to_bytes(8, "little"))

    def close(self) -> None:
        """Unmap; may be called twice."""
        self._captures.close()
        self._active.close()


def _pack(capture: Capture) -> bytes:
    if len(capture.uid_ranges) > limits.MAX_UID_RANGES:
        raise ValueError(
            f"the kernel program takes {limits.MAX_UID_RANGES} uid ranges at most, "
            f"not {len(capture.uid_ranges)}: give fewer or wider ones."
        )
    excluded = _compared(capture.excluded_paths, capture.excluded_prefixes)
    paths = excluded + _compared(capture.paths, capture.path_prefixes)
    if len(paths) > limits.MAX_CAPTURE_PATHS:
        raise ValueError(
            f"the kernel program takes {limits.MAX_CAPTURE_PATHS} paths at most, "
            f"not {len(paths)}: give fewer."
        )
    longest = max((len(path.removesuffix(b"\0")) for path in paths), default=0)
    if longest > limits.CAPTURE_PATH_SIZE - 2:
        raise ValueError(
            f"the kernel program compares {limits.CAPTURE_PATH_SIZE - 2} bytes of a path at most, "
            f"not {longest}: give a shorter one."
        )
    lows = [low for low, _ in capture.uid_ranges]
    highs = [high for _, high in capture.uid_ranges]
    no_ranges = [0] * (limits.MAX_UID_RANGES - len(lows))
    no_paths = [0] * (limits.MAX_CAPTURE_PATHS - len(paths))
    return layout.CAPTURE_STRUCT.pack(
        len(lows), len(paths), len(excluded), *lows, *no_ranges, *highs, *no_ranges,
        *map(len, paths), *no_paths,
        b"".join(path.ljust(limits.CAPTURE_PATH_SIZE, b"\0") for path in paths),
    )  # fmt: skip


def _compared(exact: tuple[str, ...], prefixes: tuple[str, ...]) -> list[bytes]:
    """Return the bytes to compare with the beginning of a path; an exact path includes its NUL."""
    return [os.fsencode(path) + b"\0" for path in exact] + [os.fsencode(prefix) for prefix in prefixes]
