"""Reads a BPF ring buffer through its mapping, records in whole batches, without a call for each.

The layout is the kernel's (kernel/bpf/ringbuf.c): a page with the consumer's position, a page with
the producer's, and the data mapped twice in a row, so that no record is split. Each record follows
an 8-byte header whose first word is its length and two flags. Positions are single aligned 8-byte
loads and stores, which x86_64 keeps in order.
"""

from __future__ import annotations

import mmap
import os
from typing import Final

_BUSY: Final = 1 << 31
_DISCARDED: Final = 1 << 30
_HEADER_SIZE: Final = 8
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Ring:
    """The consumer's side of a ring buffer map."""

    def __init__(self, fd: int, size: int) -> None:
        """Map it.

        Args:
            fd: The map's descriptor; it stays the caller's.
            size: The map's max_entries, in bytes.

        Raises:
            OSError: It cannot be mapped.
        """
        self.descriptors: tuple[int, ...] = (fd,)
        self._size = size
        self._consumer_page = mmap.mmap(fd, _PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._data = mmap.mmap(fd, _PAGE + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=_PAGE)
        self._consumer = memoryview(self._consumer_page).cast("Q")
        self._producer = memoryview(self._data)[:8].cast("Q")
        self._words = memoryview(self._data)[_PAGE:].cast("I")

    def consume(self, max_bytes: int, *, at_end: bool = False) -> list[bytes]:
        """Copies of the records that are there, oldest first; their room is the kernel's again.

        Args:
            max_bytes: Stop after about this much.
            at_end: No more are written; that makes no difference here.
        """
        start = position = self._consumer[0]
        end = min(self._producer[0], start + max_bytes)
        words, data, mask = self._words, self._data, self._size - 1
        records = []
        while position < end:
            offset = position & mask
            length = words[offset >> 2]
            if length & _BUSY:
                break
            size = length & ~_DISCARDED
            if not length & _DISCARDED:
                at = _PAGE + offset + _HEADER_SIZE
                records.append(data[at : at + size])
            position += (size + _HEADER_SIZE + 7) & ~7
        if position != start:
            self._consumer[0] = position
        return records

    @property
    def is_holding(self) -> bool:
        """Nothing is held back: records come in the order of their times."""
        return False

    @property
    def pending(self) -> int:
        """Bytes not yet consumed."""
        return int(self._producer[0] - self._consumer[0])

    def close(self) -> None:
        """Unmap; may be called twice."""
        for view in (self._consumer, self._producer, self._words):
            view.release()
        self._consumer_page.close()
        self._data.close()
