"""Read perf event buffers, one for each CPU: kernels before 5.8 have no ring buffer.

The layout is the kernel's (include/uapi/linux/perf_event.h): a page with the positions of both sides, and the
data. As in ``ring``, the processor has to keep the order of accesses (``Architecture.keeps_order``): load
data_head, load the data, store data_tail.
Records of different CPUs come in no order: they are held for a moment and sorted by their time.
"""

from __future__ import annotations

import heapq
import mmap
import os
import struct
from collections.abc import Sequence
from typing import Final

from execwhy.bpf.events.clock import monotonic_clock
from execwhy.bpf.program import layout

MAX_PERF_BUFFER: Final = 512 << 10
"""Most bytes for each CPU that a user may map without a privilege (perf_event_mlock_kb: 516)."""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_HEAD, _TAIL = 1024 // 8, 1032 // 8
"""Offsets of data_head and data_tail in struct perf_event_mmap_page, in words."""
_EVENT_HEADER: Final = struct.Struct("<IHH")
_RAW_SIZE: Final = struct.Struct("<I")
_TIME: Final = struct.Struct("<Q")
_USED: Final = struct.Struct("<I")
_SAMPLE: Final = 9
"""PERF_RECORD_SAMPLE. The only other type is PERF_RECORD_LOST; losses are counted where they occur."""
_DELAY: Final = 10_000_000
"""Nanoseconds for which a record is held. It is in the buffer some microseconds after its time."""


class _Buffer:
    """The buffer of one CPU."""

    def __init__(self, fd: int, size: int) -> None:
        self._size = size
        self._memory = mmap.mmap(fd, _PAGE + size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._positions = memoryview(self._memory)[:_PAGE].cast("Q")

    def consume(self, max_bytes: int) -> list[bytes]:
        start = position = self._positions[_TAIL]
        end = min(self._positions[_HEAD], start + max_bytes)
        records = []
        while position < end:
            kind, _, size = _EVENT_HEADER.unpack(self._at(position, _EVENT_HEADER.size))
            if kind == _SAMPLE:
                at = position + _EVENT_HEADER.size
                (length,) = _RAW_SIZE.unpack(self._at(at, _RAW_SIZE.size))
                records.append(_without_padding(self._at(at + _RAW_SIZE.size, length)))
            position += size
        if position != start:
            self._positions[_TAIL] = position
        return records

    def _at(self, position: int, size: int) -> bytes:
        start = position % self._size
        first = self._memory[_PAGE + start : _PAGE + min(start + size, self._size)]
        return first + self._memory[_PAGE : _PAGE + size - len(first)]

    @property
    def pending(self) -> int:
        return int(self._positions[_HEAD] - self._positions[_TAIL])

    def close(self) -> None:
        self._positions.release()
        self._memory.close()


def _without_padding(raw: bytes) -> bytes:
    if len(raw) < layout.HEADER_STRUCT.size:
        return raw
    (used,) = _USED.unpack_from(raw, layout.USED_AT)
    return raw[: layout.HEADER_STRUCT.size + used]


class PerfBuffers:
    """The consumer's side of all CPUs' buffers."""

    def __init__(self, fds: Sequence[int], size: int) -> None:
        """Map them.

        Args:
            fds: The perf events' descriptors; they stay the caller's.
            size: Bytes of each one's data: a power of two.

        Raises:
            OSError: They cannot be mapped.
        """
        self.descriptors = tuple(fds)
        self._buffers = [_Buffer(fd, size) for fd in fds]
        self._held: list[tuple[int, int, bytes]] = []
        self._arrived = 0

    def consume(self, max_bytes: int, *, at_end: bool = False) -> list[bytes]:
        """Return the records that have been held long enough, oldest first: no older one will come.

        Args:
            max_bytes: Stop after about this much from each CPU.
            at_end: No more records will be written, so none is held.
        """
        now = monotonic_clock()
        for buffer in self._buffers:
            for record in buffer.consume(max_bytes):
                self._arrived += 1
                heapq.heappush(self._held, (_TIME.unpack_from(record)[0], self._arrived, record))
        records = []
        while self._held and (at_end or self._held[0][0] < now - _DELAY):
            records.append(heapq.heappop(self._held)[2])
        return records

    @property
    def pending(self) -> int:
        """Number of bytes not yet consumed."""
        return sum(buffer.pending for buffer in self._buffers) + sum(len(held[2]) for held in self._held)

    @property
    def is_holding(self) -> bool:
        """Whether records are held that will be due even if nothing new comes."""
        return bool(self._held)

    def close(self) -> None:
        """Unmap; may be called twice."""
        for buffer in self._buffers:
            buffer.close()
        self._buffers = []
