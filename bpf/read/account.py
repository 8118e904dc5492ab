"""The account of all records: the kernel's counters, corrected by what user space has dropped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from execwhy.bpf.events.source import Capture, Counters
from execwhy.bpf.load.loader import Loaded
from execwhy.bpf.maps.counters import SHARE_FULL, CaptureMap, CounterMap, without
from execwhy.bpf.maps.misses import Misses
from execwhy.bpf.program.text import possible_cpus
from execwhy.bpf.read.losses import READER_STOPPED
from execwhy.bpf.read.raw_queue import Raw, failures_in, search_ends_in


class Account:
    """The counters, and the capture filter that they depend on. Threads must not share it without a lock.

    Attributes:
        counters: The counters when they were last read; ``read`` brings them up to date.
    """

    def __init__(self) -> None:
        self.counters = self._of_kernel = Counters()
        self._counter_map: CounterMap | None = None
        self._capture_map: CaptureMap | None = None
        self._taken = 0
        self._dropped = 0
        self._abandoned = 0
        self._ends_dropped = 0

    def open(self, loaded: Loaded, capture: Capture | None) -> None:
        """Map the kernel's counters and set its capture filter.

        Raises:
            OSError: They can be neither mapped nor read.
            ValueError: The capture filter does not fit.
        """
        self._counter_map = CounterMap(loaded.counters, possible_cpus(), Misses(loaded.hooks, loaded.links))
        self._capture_map = CaptureMap(loaded.captures, loaded.controls)
        self._capture_map.set(capture)

    def set_capture(self, capture: Capture | None) -> None:
        """Apply a capture filter from now on, if the kernel has one; raise ValueError if it does not fit."""
        if self._capture_map is not None:
            self._capture_map.set(capture)

    def add_taken(self, record: Raw, dropped: Iterable[Raw]) -> None:
        """Count a record taken from the ring, and those dropped for it from a user's full queue."""
        self._taken += failures_in(record)
        for each in dropped:
            self._taken -= failures_in(each)
            self._dropped += failures_in(each)
            self._ends_dropped += search_ends_in(each)

    def add_abandoned(self, records: Iterable[Raw]) -> None:
        """Count records as lost that will not be decoded."""
        for each in records:
            self._abandoned += failures_in(each)
            self._ends_dropped += search_ends_in(each)

    def read(self) -> str:
        """Read the counters; return what is wrong with them, or "" if nothing is.

        A failure that waits counts as recorded. If it is dropped, it counts as lost from then on.
        """
        problem = ""
        if self._counter_map is not None:
            try:
                self._of_kernel = self._counter_map.read()
            except ValueError as error:
                problem = str(error)
        dropped = {SHARE_FULL: self._dropped, READER_STOPPED: self._abandoned}
        counters = without(self._of_kernel, dropped)
        self.counters = replace(counters, untold=counters.untold + self._ends_dropped)
        return problem

    def close(self) -> None:
        """Unmap; may be called twice."""
        for opened in (self._counter_map, self._capture_map):
            if opened is not None:
                opened.close()
        self._counter_map = self._capture_map = None

    def abandon_rest(self) -> None:
        """Count what was recorded but never taken from the ring as lost, once nothing more is taken.

        Nobody knows how many ends of searches were among it: the kernel counts only the failures it records.
        """
        left = self._of_kernel.recorded - self._dropped - self._taken
        if left > 0:
            self._abandoned += left
            self.read()
