"""The events that a filter selects, kept up to date while events come and go."""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Final

import numpy as np

from execwhy.tui.model.history.block import Block
from execwhy.tui.model.history.columns import NO_NUMBER
from execwhy.tui.model.history.repeats import Repeats
from execwhy.tui.model.history.store import History
from execwhy.tui.model.query import Query
from execwhy.tui.model.view.selection import Offsets, Part, Selection

_AGE_STEP: Final = 250_000_000
"""Nanoseconds between two looks at what has grown too old for the filter: an eye sees no difference."""


class View:
    """The ids of the events to be shown, in time order; a loss is always among them.

    Those are the events that the filter selects, but for tries that another row tells, for searches that
    found their program unless they are asked for, and, where ``fold_repeats`` is set, for failures that
    are like an earlier one.

    Nothing happens by itself: ``refresh`` takes in what changed in the history, ``advance`` goes on
    with the scan of older events that a new filter begins, newest first.
    """

    def __init__(
        self,
        history: History,
        query: Query,
        clock: Callable[[], int] = time.time_ns,
        *,
        fold_repeats: bool = False,
    ) -> None:
        self._history = history
        self._selection = Selection(query, show_found=False, fold_repeats=fold_repeats)
        self._clock = clock
        self._parts: deque[Part] = deque()
        self._starts: list[int] | None = None
        self._arrangement = history.arrangement
        self._begin()

    @property
    def parts(self) -> Sequence[Part]:
        """What is selected of each block, oldest first."""
        return self._parts

    @property
    def query(self) -> Query:
        """The filter. Setting it begins a new scan."""
        return self._selection.query

    @query.setter
    def query(self, query: Query) -> None:
        self._selection = Selection(query, self.show_found, self.fold_repeats)
        self._begin()

    @property
    def show_found(self) -> bool:
        """Whether searches that found their program have a row. Setting it begins a new scan."""
        return self._selection.show_found

    @show_found.setter
    def show_found(self, show_found: bool) -> None:
        self._selection = Selection(self.query, show_found, self.fold_repeats)
        self._begin()

    @property
    def fold_repeats(self) -> bool:
        """Whether one row tells a run of failures that are alike. Setting it begins a new scan."""
        return self._selection.fold_repeats

    @fold_repeats.setter
    def fold_repeats(self, fold_repeats: bool) -> None:
        self._selection = Selection(self.query, self.show_found, fold_repeats)
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
        """The part of the history that was looked at, from 0 to 1: by ids, so with what it let go between."""
        if self.complete:
            return 1.0
        end = self._history.end_id
        looked_at = end - self._parts[0].block.first_id if self._parts else 0
        return looked_at / (end - self._history.first_id)

    @property
    def failures(self) -> int:
        """How many failed execs the filter selects: ``counted + folded + hidden_found``.

        Each exec counts alone, so that without a filter it is the history's ``failures``. A filter on
        the path selects of a search's tries those with that path, and the one that stands for all.
        """
        return sum(part.failures for part in self._parts)

    @property
    def shown(self) -> int:
        """How many of them have a row."""
        return sum(part.shown for part in self._parts)

    def evicted(self) -> tuple[int, int]:
        """How many of ``shown`` and of ``counted`` have been evicted since the last ``refresh``."""
        gone = [part for part in self._parts if part.block.is_released]
        rows, counted = (
            [self._evicted(part, offsets(part)) for part in gone] for offsets in (_rows, _offsets)
        )
        return sum(rows), sum(counted)

    def _evicted(self, part: Part, offsets: Offsets) -> int:
        offsets = np.sort(offsets)
        gone = offsets[~self._history.holds(part.block.ids_of(offsets))]
        return len(gone) - int(np.count_nonzero(np.isin(gone, list(part.block.losses))))

    @property
    def counted(self) -> int:
        """How many of them a row tells, their own or that of an earlier one that is alike."""
        return sum(part.counted for part in self._parts)

    @property
    def folded(self) -> int:
        """How many of them are told by the row of another try of their search, shown or hidden."""
        return sum(part.folded for part in self._parts)

    @property
    def losses(self) -> int:
        """How many losses are told by rows, each by its own or by that of its neighbour before."""
        return sum(part.losses for part in self._parts)

    @property
    def hidden_found(self) -> int:
        """How many selected searches found their program and are not shown for that."""
        return self.failures - self.folded - self.counted

    @property
    def hidden(self) -> int:
        """How many of the failures are of these searches, each try of them counted."""
        return sum(part.hidden for part in self._parts)

    def __len__(self) -> int:
        return self._row_starts()[-1]

    def __getitem__(self, row: int) -> int:
        """The id of the event in this row.

        Raises:
            IndexError: There is no such row.
        """
        if not 0 <= row < len(self):
            raise IndexError(row)
        part, at = self._place_of(row)
        return part.block.id_of(int(part.rows[at]))

    def is_loss(self, row: int) -> bool:
        """Whether a row is a loss's, also where that has been evicted since the last ``refresh``."""
        part, at = self._place_of(row)
        return int(part.rows[at]) in part.block.losses

    def timestamp(self, row: int) -> int:
        """The timestamp of a row's event, also where that has been evicted since the last ``refresh``."""
        part, at = self._place_of(row)
        offset = int(part.rows[at])
        loss = part.block.losses.get(offset)
        return int(part.block.numbers["timestamp"][offset]) if loss is None else loss.timestamp

    def times(self, row: int) -> int:
        """How many failed execs this row tells, its own included, and evicted ones (see ``Part.times``)."""
        return sum(part.times(number) for part, number in self._told_along(row))

    def repeats(self, row: int) -> Repeats:
        """The same, with the time of the last one."""
        repeats = [part.repeats(number) for part, number in self._told_along(row)]
        return Repeats(sum(each.times for each in repeats), max(each.last for each in repeats))

    def lost(self, row: int) -> tuple[int, int]:
        """How many events were lost in all that a loss's row tells, and the timestamp of the last loss."""
        part, at = self._place_of(row)
        return part.lost(at)

    def _told_along(self, row: int) -> Iterator[tuple[Part, int]]:
        """The parts of which a row tells something, and the number of its row there."""
        starts = self._row_starts()
        index = bisect_right(starts, row) - 1
        number: int | None = self._parts[index].number_of(row - starts[index])
        while number is not None:
            yield self._parts[index], number
            index += 1
            number = self._parts[index].of_part_before(number) if index < len(self._parts) else None

    def _place_of(self, row: int) -> tuple[Part, int]:
        starts = self._row_starts()
        index = bisect_right(starts, row) - 1
        return self._parts[index], row - starts[index]

    def __iter__(self) -> Iterator[int]:
        for part in list(self._parts):
            yield from part.block.ids_of(part.rows).tolist()

    def row_of(self, event_id: int) -> int:
        """The row of this event, or that tells it, or the nearest one before that; 0 where there is none."""
        row = self._row_before(event_id)
        if row < len(self) and self[row] == event_id:
            return row
        told_by = self._told_by(self._history.told_by(event_id))
        return row if told_by == event_id else self._row_before(told_by)

    def row_at(self, timestamp: int) -> int:
        """The first row of that time or later; the last one where there is none so late."""
        starts = self._row_starts()
        for part, start in zip(self._parts, starts, strict=False):
            if not len(part.rows) or part.block.newest < timestamp:
                continue
            late = np.flatnonzero(part.block.numbers["timestamp"][part.rows] >= timestamp)
            if len(late):
                return start + int(late[0])
        return max(0, len(self) - 1)

    def _told_by(self, event_id: int) -> int:
        """The event whose row tells this one as it is alike, or itself."""
        index = bisect_right(self._parts, event_id, key=lambda part: part.block.first_id) - 1
        if index < 0:
            return event_id
        offset = self._parts[index].block.offset_of(event_id)
        number = None if offset is None else self._parts[index].number_that_tells(offset)
        if number is None:
            return event_id
        while (before := self._parts[index].in_part_before(number)) is not None:
            index, number = index - 1, before
        return self._parts[index].block.id_of(self._parts[index].row_of(number))

    def _row_before(self, event_id: int) -> int:
        index = bisect_right(self._parts, event_id, key=lambda part: part.block.first_id) - 1
        if index < 0:
            return 0
        part = self._parts[index]
        within = int(np.searchsorted(part.rows, part.block.last_until(event_id), side="right"))
        return max(0, self._row_starts()[index] + within - 1)

    def with_tries(self) -> list[int]:
        """The ids of the events shown and of those that their rows tell as well, in time order."""
        ids: list[int] = []
        searches = np.unique(
            np.concatenate(
                [[NO_NUMBER], *(part.block.numbers["search_id"][part.offsets] for part in self._parts)]
            )
        )[1:]
        for part in self._parts:
            if part.block.is_released:
                # A frozen view still has what has been evicted since; which tries those were is gone.
                ids += np.sort(part.block.ids_of(part.offsets)).tolist()
                continue
            told = self._selection.folded(part.block, part.end)
            told &= np.isin(part.block.numbers["search_id"][: part.end], searches)
            told[part.offsets] = True
            ids += part.block.ids_of(np.flatnonzero(told)).tolist()
        return ids

    def refresh(self) -> bool:
        """Take in what was appended, amended or evicted, or has grown too old; True if rows changed."""
        now = self._clock()
        changed = self._follow(now)
        changed |= self._renew_stale(now)
        if self._parts and self._parts[-1].extend(self._selection, now):
            changed = True
        last = self._parts[-1].block.first_id if self._parts else -1
        fresh: list[Block] = []
        for block in reversed(self._history.blocks):
            if block.first_id <= last:
                break
            fresh.append(block)
        for block in reversed(fresh):
            self._parts.append(part := Part(block))
            changed |= part.extend(self._selection, now)
        changed |= self._link()
        if changed or fresh:
            self._starts = None
        return changed

    def advance(self, seconds: float) -> bool:
        """Scan on towards older events for about this long; True if rows were found."""
        deadline = time.monotonic() + seconds
        now = self._clock()
        changed = self._follow(now)
        while not self.complete:
            part = Part(self._next_block())
            changed |= part.extend(self._selection, now)
            self._parts.appendleft(part)
            self._starts = None
            if time.monotonic() >= deadline:
                break
        if self._link():
            changed, self._starts = True, None
        return changed

    def _link(self) -> bool:
        """Let a run that goes on from one block to the next have one row; True if rows changed."""
        changed, before = False, None
        for part in self._parts:
            is_next = before is not None and before.block.end_id == part.block.first_id
            changed |= part.link(before if is_next and self.fold_repeats else None)
            before = part
        return changed

    def _begin(self) -> None:
        self._parts.clear()
        self._starts = None
        self._aged = self._clock()
        if self._history.blocks:
            self._parts.append(part := Part(self._history.blocks[-1]))
            part.extend(self._selection, self._aged)

    def _next_block(self) -> Block:
        """The newest block that has not been looked at yet."""
        blocks = self._history.blocks
        if not self._parts:
            return blocks[-1]
        return blocks[bisect_left(blocks, self._parts[0].block.first_id, key=_first_id) - 1]

    def _follow(self, now: int) -> bool:
        """Let go of evicted blocks, and look at those in which others are condensed; True if rows changed."""
        changed = False
        while self._parts and self._parts[0].block.first_id < self._history.first_id:
            changed |= len(self._parts.popleft().rows) > 0
            self._starts = None
        if self._arrangement != self._history.arrangement and self._parts:
            start = self._parts[0].block.first_id
            held = {id(part.block): part for part in self._parts}
            blocks = [block for block in self._history.blocks if block.end_id > start]
            self._parts = deque(held.get(id(block)) or Part(block) for block in blocks)
            for part in self._parts:
                part.extend(self._selection, now)
            self._starts, changed = None, True
        self._arrangement = self._history.arrangement
        return changed

    def _renew_stale(self, now: int) -> bool:
        """Look again at blocks where a search, a diagnosis or the time gone by may have changed the rows."""
        ages = self.query.ages if not 0 <= now - self._aged < _AGE_STEP else ()
        if ages:
            self._aged = now
        changed = False
        for part in self._parts:
            if part.is_stale(self.query) or part.has_crossed(ages, now):
                changed |= part.renew(self._selection, now)
            else:
                changed |= part.recount()
        return changed

    def _row_starts(self) -> list[int]:
        """The first row of each part, and the number of all rows."""
        if self._starts is None:
            self._starts = list(accumulate((len(part.rows) for part in self._parts), initial=0))
        return self._starts


def _rows(part: Part) -> Offsets:
    return part.rows


def _offsets(part: Part) -> Offsets:
    return part.offsets


def _first_id(block: Block) -> int:
    return block.first_id
