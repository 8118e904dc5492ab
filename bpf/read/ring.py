"""Reads a BPF ring buffer through its mapping, records in whole batches, without a call for each.

The layout is the kernel's (kernel/bpf/ringbuf.c): a page with the consumer's position, a page with
the producer's, and the data twice in a row, so that no record is split. Only the first of the two is
mapped, since the kernel maps all pages at once (remap_vmalloc_range) and each counts as resident
memory; a record that goes on at the beginning is joined here. Each record follows an 8-byte header
whose first word is its length and two flags. Positions are single aligned 8-byte loads and stores, without
barriers: the processor has to keep them in order (``Architecture.keeps_order``).

A core that does nothing but fail writes one record over and over, with another time in its first word.
Those are taken together, by comparing all of them at once.
"""

from __future__ import annotations

import mmap
import os
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

_BUSY: Final = 1 << 31
_DISCARDED: Final = 1 << 30
_HEADER_SIZE: Final = 8
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_TIME_SIZE: Final = 8
_FEWEST: Final = 32
"""Records that are taken together at least: with fewer it takes longer than one by one."""


class RecordRun(NamedTuple):
    """Records, one behind the other, that are alike in all but their first eight bytes.

    Attributes:
        raw: The first one.
        times: The first word of each.
    """

    raw: bytes
    times: npt.NDArray[np.uint64]


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
        self._data = mmap.mmap(fd, _PAGE + size, mmap.MAP_SHARED, mmap.PROT_READ, offset=_PAGE)
        self._consumer = memoryview(self._consumer_page).cast("Q")
        self._producer = memoryview(self._data)[:8].cast("Q")
        self._words = memoryview(self._data)[_PAGE:].cast("I")

    def consume(self, max_bytes: int, *, at_end: bool = False) -> list[bytes | RecordRun]:
        """Copies of the records that are there, oldest first; their room is the kernel's again.

        Args:
            max_bytes: Stop after about this much.
            at_end: No more are written; that makes no difference here.
        """
        start = position = self._consumer[0]
        end = min(self._producer[0], start + max_bytes)
        words, data, mask, whole = self._words, self._data, self._size - 1, _PAGE + self._size
        records: list[bytes | RecordRun] = []
        last = b""
        while position < end:
            offset = position & mask
            length = words[offset >> 2]
            if length & _BUSY:
                break
            size = length & ~_DISCARDED
            if not length & _DISCARDED:
                at = _PAGE + offset + _HEADER_SIZE
                raw = data[at : at + size]
                if at + size > whole:
                    raw += data[_PAGE : at + size - self._size]
                if size == len(last) > _TIME_SIZE and raw.endswith(last[_TIME_SIZE:]):
                    alike = self._alike(position, raw, end)
                    if alike is not None:
                        records.append(alike)
                        position += len(alike.times) * _room(size)
                        continue
                records.append(raw)
                last = raw
            position += _room(size)
        if position != start:
            self._consumer[0] = position
        return records

    def _alike(self, position: int, raw: bytes, end: int) -> RecordRun | None:
        """The record there, and those right behind it that tell the same; None where these are few."""
        offset, room = position & (self._size - 1), _room(len(raw))
        # Those up to where the data ends, and the next ones begin at its beginning.
        most = min(end - position, self._size - offset) // room
        last = offset + (_FEWEST - 1) * room
        if most < _FEWEST or self._words[last >> 2] != len(raw):
            return None
        at = _PAGE + last + _HEADER_SIZE
        if self._data[at + _TIME_SIZE : at + len(raw)] != raw[_TIME_SIZE:]:
            return None
        rows = np.ndarray((most, room), np.uint8, self._data, _PAGE + offset)
        lengths = rows[:, :4].view(np.uint32)[:, 0]
        told = np.frombuffer(raw, np.uint8)[_TIME_SIZE:]
        whole_words = len(told) & ~7
        bodies = rows[:, _HEADER_SIZE + _TIME_SIZE : _HEADER_SIZE + len(raw)]
        words = bodies[:, :whole_words].view(np.uint64)
        count, step = 1, _FEWEST
        while count < len(rows):
            # Lengths first: a record whose length says that it is complete is complete.
            part = slice(count, count + _leading(lengths[count : count + step] == len(raw)))
            alike = (words[part] == told[:whole_words].view(np.uint64)).all(axis=1)
            alike &= (bodies[part, whole_words:] == told[whole_words:]).all(axis=1)
            found = _leading(alike)
            count += found
            if found < step:
                break
            step *= 4
        if count < _FEWEST:
            return None
        times = rows[:count, _HEADER_SIZE : _HEADER_SIZE + _TIME_SIZE].copy().view(np.uint64)[:, 0]
        return RecordRun(raw, times)

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


def _room(size: int) -> int:
    """Bytes that a record of this size takes in the ring."""
    return (size + _HEADER_SIZE + 7) & ~7


def _leading(wanted: npt.NDArray[np.bool_]) -> int:
    """How many there are before the first one that is not so."""
    return len(wanted) if wanted.all() else int(wanted.argmin())
