"""The buffer that the kernel program writes its records to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

from execwhy.bpf.load.loader import Loaded
from execwhy.bpf.read.perf_buffers import MAX_PERF_BUFFER, PerfBuffers
from execwhy.bpf.read.ring import RecordRun, Ring


class Buffer(Protocol):
    """A ring buffer, or a perf buffer for each CPU."""

    descriptors: tuple[int, ...]

    def consume(self, max_bytes: int, *, at_end: bool = False) -> Sequence[bytes | RecordRun]:
        """Take and return the records that are due."""

    @property
    def pending(self) -> int:
        """Number of bytes not yet taken."""

    @property
    def is_holding(self) -> bool:
        """Whether records will be due even if nothing new comes."""

    def close(self) -> None:
        """Unmap."""


def buffer_of(loaded: Loaded) -> Buffer:
    """Return the buffer that the kernel program writes to."""
    if loaded.buffers:
        return PerfBuffers(loaded.buffers, min(loaded.ring_bytes, MAX_PERF_BUFFER))
    return Ring(loaded.events, loaded.ring_bytes)


def default_ring_bytes() -> int:
    """Return a 512th of the memory, as a power of two between 4 and 16 MiB: some 5,000 to 20,000 records.

    All of it counts as resident memory of the monitor, which may take 100 MB besides the history.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(4 << 20, min(16 << 20, 1 << (memory // 512).bit_length() - 1))
