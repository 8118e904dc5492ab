"""Read a BPF ring buffer through its mapping: records in whole batches, without a call for each.

The layout is the kernel's (kernel/bpf/ringbuf.c): a page with the consumer's position, a page with
the producer's, and the data twice in a row, so that no record is split. Only the first copy is
mapped, since the kernel maps all pages at once (remap_vmalloc_range) and each counts as resident
memory; a record that continues at the beginning is joined here. Each record follows an 8-byte header
whose first word is its length and two flags.

Four accesses must happen in this order: load the producer's position, load a record's length, load its data,
store the consumer's position. Python has no barriers, so the processor has to keep that order
(``Architecture.keeps_order``); each position and length is one aligned load or store. The order of the store
and a later load is not needed: at worst the kernel sees the old position and does not wake the reader up, and
the reader does not rely on being woken up for longer than a fraction of a second.

A core that does nothing but fail writes the same record over and over, with another time in its first word.
Such a run is taken as a whole, by comparing all of its records at once.
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
"""Fewest records of a run: taking fewer together takes longer than one by one."""


class RecordRun(NamedTuple):
    """Consecutive records that differ only in their first eight bytes, the time.

    Attributes:
        raw: The first record.
        times: The first word of each record.
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
        """Return copies of the records in the ring, oldest first, and give their room back to the kernel.

        Args:
            max_bytes: Stop after about this much.
            at_end: No more records will be written; that makes no difference here.
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
                    run = self._run(position, raw, end)
                    if run is not None:
                        records.append(run)
                        position += len(run.times) * _room(size)
                        continue
                records.append(raw)
                last = raw
            position += _room(size)
        if position != start:
            self._consumer[0] = position
        return records

    def _run(self, position: int, raw: bytes, end: int) -> RecordRun | None:
        """Return the run of records that begins at a position with ``raw``; None if it is too short."""
        offset, room = position & (self._size - 1), _room(len(raw))
        # Only up to the end of the data: then the ring starts over at the beginning.
        most = min(end - position, self._size - offset) // room
        last = offset + (_FEWEST - 1) * room
        if most < _FEWEST or self._words[last >> 2] != len(raw):
            return None
        at = _PAGE + last + _HEADER_SIZE
        if self._data[at + _TIME_SIZE : at + len(raw)] != raw[_TIME_SIZE:]:
            return None
        rows = np.ndarray((most, room), np.uint8, self._data, _PAGE + offset)
        lengths = rows[:, :4].view(np.uint32)[:, 0]
        body = np.frombuffer(raw, np.uint8)[_TIME_SIZE:]
        whole_words = len(body) & ~7
        bodies = rows[:, _HEADER_SIZE + _TIME_SIZE : _HEADER_SIZE + len(raw)]
        words = bodies[:, :whole_words].view(np.uint64)
        count, step = 1, _FEWEST
        while count < len(rows):
            # Lengths first: if its length says that a record is complete, its data is.
            part = slice(count, count + _leading(lengths[count : count + step] == len(raw)))
            equal = (words[part] == body[:whole_words].view(np.uint64)).all(axis=1)
            equal &= (bodies[part, whole_words:] == body[whole_words:]).all(axis=1)
            found = _leading(equal)
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
        """Whether records are held back: never, since they come in the order of their times."""
        return False

    @property
    def pending(self) -> int:
        """Number of bytes not yet consumed."""
        return int(self._producer[0] - self._consumer[0])

    def close(self) -> None:
        """Unmap; may be called twice."""
        for view in (self._consumer, self._producer, self._words):
            view.release()
        self._consumer_page.close()
        self._data.close()


def _room(size: int) -> int:
    """Return how many bytes a record of this size takes in the ring."""
    return (size + _HEADER_SIZE + 7) & ~7


def _leading(wanted: npt.NDArray[np.bool_]) -> int:
    """Return the number of leading true elements."""
    return len(wanted) if wanted.all() else int(wanted.argmin())
