"""The events that a filter selects, kept up to date while events come and go."""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Final

import numpy as np
import numpy.typing as npt

from tui.model.block import Block
from tui.model.history import History
from tui.model.query import Query

_AGE_STEP: Final = 250_000_000
"""Nanoseconds between two looks at what has grown too old for the filter: an eye sees no difference."""


class _Part:
    """The events of one block that are selected."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.offsets: npt.NDArray[np.uint16] = np.empty(0, np.uint16)
        self.losses = 0
        self.end = 0
        self.version = 0
        self.now = 0

    def extend(self, query: Query, now: int) -> bool:
        """Take in what the block has got since; True if something of it is selected."""
        start, stop = self.end, len(self.block)
        if not start:
            self.version, self.now = self.block.version, now
        if start == stop:
            return False
        found = np.flatnonzero(query.select(self.block, start, stop, now)) + start
        self.end = stop
        if not len(found):
            return False
        self.offsets = np.concatenate((self.offsets, found.astype(np.uint16)))
        self.losses = len(self.block.losses)
        return True

    def renew(self, query: Query, now: int) -> bool:
        """Look at the whole block again; True if the selection changed."""
        before = self.offsets
        self.offsets, self.end, self.losses = before[:0], 0, 0
        self.extend(query, now)
        return not np.array_equal(before, self.offsets)

    def has_crossed(self, ages: tuple[int, ...], now: int) -> bool:
        """Whether an event of the block has come to one of these ages since it was last looked at."""
        block, then = self.block, self.now
        if now < then:
            return bool(ages)
        return any(block.oldest <= now - age + 1 and then - age - 1 <= block.newest for age in ages)


class View:
    """The ids of the selected events, in time order; a loss is always among them.

    Nothing happens by itself: ``refresh`` takes in what changed in the history, ``advance`` goes on
    with the scan of older events that a new filter begins, newest first.
    """

    def __init__(self, history: History, query: Query, clock: Callable[[], int] = time.time_ns) -> None:
        self._history = history
        self._query = query
        self._clock = clock
        self._parts: deque[_Part] = deque()
        self._starts: list[int] | None = None
        self._begin()

    @property
    def query(self) -> Query:
        """The filter. Setting it begins a new scan."""
        return self._query

    @query.setter
    def query(self, query: Query) -> None:
        self._query = query
        self._begin()

    @property
    def complete(self) -> bool:
        """Whether every event held has been looked at, but for those that came since ``refresh``."""
        blocks = self._history.blocks
        if not blocks:
            return True
        return bool(self._parts) and self._parts[0].block.first_id <= blocks[0].first_id

    @property
    def progress(self) -> float:
        """The part of the events held that has been looked at, from 0 to 1."""
        if self.complete:
            return 1.0
        looked_at = self._history.end_id - self._parts[0].block.first_id if self._parts else 0
        return looked_at / max(1, len(self._history))

    @property
    def failures(self) -> int:
        """How many failed execs are selected."""
        return len(self) - sum(part.losses for part in self._parts)

    def __len__(self) -> int:
        return self._row_starts()[-1]

    def __getitem__(self, row: int) -> int:
        """The id of the event in this row.

        Raises:
            IndexError: There is no such row.
        """
        if not 0 <= row < len(self):
            raise IndexError(row)
        starts = self._row_starts()
        index = bisect_right(starts, row) - 1
        part = self._parts[index]
        return part.block.first_id + int(part.offsets[row - starts[index]])

    def __iter__(self) -> Iterator[int]:
        for part in list(self._parts):
            for offset in part.offsets.tolist():
                yield part.block.first_id + offset

    def row_of(self, event_id: int) -> int:
        """The row of this event, or of the nearest selected one before it; 0 where there is none."""
        index = bisect_right(self._parts, event_id, key=lambda part: part.block.first_id) - 1
        if index < 0:
            return 0
        part = self._parts[index]
        within = int(np.searchsorted(part.offsets, event_id - part.block.first_id, side="right"))
        return max(0, self._row_starts()[index] + within - 1)

    def refresh(self) -> bool:
        """Take in what was appended, diagnosed or evicted, or has grown too old; True if rows changed."""
        now = self._clock()
        changed = self._drop_evicted()
        changed |= self._renew_stale(now)
        if self._parts and self._parts[-1].extend(self._query, now):
            changed = True
        last = self._parts[-1].block.first_id if self._parts else -1
        fresh: list[Block] = []
        for block in reversed(self._history.blocks):
            if block.first_id <= last:
                break
            fresh.append(block)
        for block in reversed(fresh):
            self._parts.append(part := _Part(block))
            changed |= part.extend(self._query, now)
        if changed or fresh:
            self._starts = None
        return changed

    def advance(self, seconds: float) -> bool:
        """Scan on towards older events for about this long; True if rows were found."""
        changed = self._drop_evicted()
        deadline = time.monotonic() + seconds
        now = self._clock()
        while not self.complete:
            part = _Part(self._next_block())
            changed |= part.extend(self._query, now)
            self._parts.appendleft(part)
            self._starts = None
            if time.monotonic() >= deadline:
                break
        return changed

    def _begin(self) -> None:
        self._parts.clear()
        self._starts = None
        self._aged = self._clock()
        if self._history.blocks:
            self._parts.append(part := _Part(self._history.blocks[-1]))
            part.extend(self._query, self._aged)

    def _next_block(self) -> Block:
        """The newest block that has not been looked at yet."""
        blocks = self._history.blocks
        if not self._parts:
            return blocks[-1]
        return blocks[bisect_left(blocks, self._parts[0].block.first_id, key=_first_id) - 1]

    def _drop_evicted(self) -> bool:
        changed = False
        while self._parts and self._parts[0].block.first_id < self._history.first_id:
            changed |= len(self._parts.popleft().offsets) > 0
            self._starts = None
        return changed

    def _renew_stale(self, now: int) -> bool:
        """Look again at blocks where a diagnosis, or the time gone by, may have changed the selection."""
        ages = self._query.ages if not 0 <= now - self._aged < _AGE_STEP else ()
        if ages:
            self._aged = now
        diagnosis = self._query.depends_on_diagnosis
        changed = False
        for part in self._parts:
            if (diagnosis and part.version != part.block.version) or part.has_crossed(ages, now):
                changed |= part.renew(self._query, now)
        return changed

    def _row_starts(self) -> list[int]:
        """The first row of each part, and the number of all rows."""
        if self._starts is None:
            self._starts = list(accumulate((len(part.offsets) for part in self._parts), initial=0))
        return self._starts


def _first_id(block: Block) -> int:
    return block.first_id
