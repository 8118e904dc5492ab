"""The failures that a view shows, by what they have in common.

The groups are those of the events that the view's rows tell, no more: what is filtered out, folded into a
search's one row, or evicted and told by none, does not count. A search is one failure.
"""

from __future__ import annotations

import time
from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np

from execwhy.tui.model.history.block import Block
from execwhy.tui.model.history.columns import Key
from execwhy.tui.model.history.store import History
from execwhy.tui.model.view.group_by import By, certain_facet, user_facet, why_facet
from execwhy.tui.model.view.tally import NOTHING, Counted, Indexes, Tally
from execwhy.tui.model.view.view import View

SECOND: Final = 1_000_000_000

MINUTE: Final = 60
"""Seconds that the counts by second span."""

RATE_SECONDS: Final = 10
"""Seconds that a rate is the mean of: a unit that restarts every few seconds has a steady one."""

_COUNT_BITS: Final = 31
"""Bits of a count: more than a history in memory can reach."""

MOST_USERS: Final = 4
"""Users of a group that are named; all are counted."""


@dataclass(frozen=True, slots=True)
class Group:
    """Failures that have one thing in common.

    Attributes:
        value: What they have in common; None where they have it not.
        count: How many the view shows; 0 where it shows none any more.
        rate: Failures a second, over the last seconds.
        minute: Failures in each second of the last minute, oldest first.
        first: The earliest timestamp, nanoseconds since 1970 UTC.
        last: The latest timestamp.
        uids: Who failed most often, at most MOST_USERS of them.
        users: How many different users.
        example: The id of the newest event; None where there is none.
        why: The most frequent diagnosis in brief; None where none has been made. Raw text.
        whys: How many different ones.
        is_uncertain: There are some, and none of them is certain.
        search: The name that the newest one was searched for on PATH; None where it is no search. Raw text.
    """

    value: Key
    count: int = 0
    rate: float = 0.0
    minute: tuple[int, ...] = (0,) * MINUTE
    first: int = 0
    last: int = 0
    uids: tuple[int, ...] = ()
    users: int = 0
    example: int | None = None
    why: str | None = None
    whys: int = 0
    is_uncertain: bool = False
    search: str | None = None


class Groups:
    """Groups of the events in a view, kept up to date in steps.

    Nothing happens by itself: ``advance`` takes in what has changed in the view, block by block, and
    ``look`` sets the time for which rates and ages are told.
    """

    def __init__(self, history: History, view: View, by: By) -> None:
        self._history = history
        self._view = view
        self._by = by
        self._recent: tuple[Indexes, Indexes, Indexes] | None = None
        self._begin()

    @property
    def by(self) -> By:
        """What the failures are grouped by. Setting it begins a new count."""
        return self._by

    @by.setter
    def by(self, by: By) -> None:
        self._by = by
        self._begin()

    @property
    def complete(self) -> bool:
        """Whether all that the view shows has been counted, as of the last ``advance``."""
        return self._complete

    @property
    def failures(self) -> int:
        """How many failures have been counted."""
        return int(self._counts.sum())

    def __len__(self) -> int:
        """How many groups there are."""
        return int(np.count_nonzero(self._counts))

    def advance(self, seconds: float) -> bool:
        """Take in what has changed in the view, newest first, for about this long; True if counts changed."""
        deadline = time.monotonic() + seconds
        # A view that is not refreshed, because it is frozen, still has parts of evicted blocks.
        shown = [part for part in self._view.parts if not part.block.is_released]
        changed = self._drop({part.block for part in shown})
        self._complete = False
        for part in reversed(shown):
            tally = self._tallies.get(part.block)
            if tally is None:
                tally = self._tallies[part.block] = Tally(
                    part.block, self._group, self._why, self._certain, self._user
                )
            if tally.is_of(part.offsets):
                continue
            if changed and time.monotonic() >= deadline:
                break
            self._add(tally, -1)
            tally.count(part.offsets, part.alike)
            self._add(tally, 1)
            changed = True
        else:
            self._complete = self._view.complete
        if changed:
            self._recent = None
        return changed

    def look(self, now: int) -> None:
        """Tell rates and the last minute as of this time, in nanoseconds since 1970 UTC."""
        self._now = now
        self._recent = None

    def ranked(self, most: int, *, by_rate: bool) -> list[Key]:
        """The values of the groups with the highest rates, or counts; the highest one first.

        Args:
            most: Of how many at most.
            by_rate: The rate decides, and the count where rates are equal; else the other way round.
        """
        numbers, ages, counts = self._last_minute()
        late = ages < RATE_SECONDS
        recent = _sums(numbers[late], counts[late], len(self._counts))
        ranks = (recent << _COUNT_BITS) + self._counts if by_rate else (self._counts << _COUNT_BITS) + recent
        found = np.flatnonzero(self._counts)
        if len(found) > most:
            # A sort is quick where few ranks differ, as with very many groups; a partition is not.
            rank = ranks[found]
            floor = np.sort(rank)[-most]
            found = np.concatenate((found[rank > floor], found[rank == floor]))[:most]
        values = self._group.numbered.values
        order = sorted(
            (-rank, str(values[number]), number)
            for rank, number in zip(ranks[found].tolist(), found.tolist(), strict=True)
        )
        return [values[number] for _, _, number in order]

    def describe(self, values: Sequence[Key]) -> list[Group]:
        """What is known of some groups, such as those on the screen; they must differ."""
        row_of = np.full(len(self._counts), -1, np.int64)
        for row, value in enumerate(values):
            number = self._group.numbered.number_of(value)
            if number is not None:
                row_of[number] = row
        rows, counted = self._rows_of(row_of)
        totals, firsts, lasts, newest = _extremes(rows, counted, len(values))
        whys = _most_frequent(rows, counted.whys, counted.counts, self._why.numbered.values, len(values))
        unknown = _with(rows, counted.whys, self._why.numbered.number_of(None), len(values))
        certain = _with(rows, counted.certain, self._certain.numbered.number_of(True), len(values))
        users = _most_frequent(rows, counted.users, counted.counts, self._user.numbered.values, len(values))
        minutes = self._minutes(row_of, len(values))
        return [
            Group(
                value,
                count=totals[row],
                rate=sum(minutes[row][-RATE_SECONDS:]) / RATE_SECONDS,
                minute=tuple(minutes[row]),
                first=firsts[row],
                last=lasts[row],
                uids=tuple(users[row][0]),
                users=users[row][1],
                example=newest[row],
                why=next((why for why in whys[row][0] if why is not None), None),
                whys=whys[row][1] - unknown[row],
                is_uncertain=whys[row][1] > unknown[row] and not certain[row],
                search=self._search(newest[row]),
            )
            if totals[row]
            else Group(value)
            for row, value in enumerate(values)
        ]

    def _search(self, event_id: int) -> str | None:
        """The name of the search that this event stands for, where groups are told by their paths."""
        if self._by.field != "path" or event_id not in self._history:
            return None
        search = self._history[event_id].search
        return None if search is None or search.folded else search.name

    def _begin(self) -> None:
        self._group, self._user = self._by.facet(), user_facet()
        self._why, self._certain = why_facet(), certain_facet()
        self._tallies: dict[Block, Tally] = {}
        self._counts: Indexes = np.zeros(0, np.int64)
        self._recent = None
        self._now = 0
        self._complete = False

    def _drop(self, shown: Set[Block]) -> bool:
        """Take away what is no longer in the view; True if that was something."""
        changed = False
        for block in [block for block in self._tallies if block not in shown]:
            tally = self._tallies[block]
            if not tally.is_of(None):
                changed = True
                self._add(tally, -1)
                tally.leave_out()
            if block.is_released:
                del self._tallies[block]
                tally.release()
        return changed

    def _add(self, tally: Tally, sign: int) -> None:
        numbers = len(self._group.numbered.values)
        if numbers > len(self._counts):
            self._counts = np.concatenate((self._counts, np.zeros(numbers, np.int64)))
        counted = tally.counted
        np.add.at(self._counts, counted.groups, sign * counted.counts)

    def _last_minute(self) -> tuple[Indexes, Indexes, Indexes]:
        """Of each failure of the last minute its group's number, age in whole seconds, and how many it is."""
        if self._recent is None:
            begin = self._now - MINUTE * SECOND
            found = [tally.since(begin) for tally in self._tallies.values() if tally.block.newest > begin]
            nothing = np.empty(0, np.int64)
            numbers, times, counts = map(np.concatenate, zip((nothing,) * 3, *found, strict=True))
            # What the kernel's clock puts into the future has just come.
            self._recent = numbers, np.maximum(0, self._now - times) // SECOND, counts
        return self._recent

    def _minutes(self, row_of: Indexes, rows: int) -> list[list[int]]:
        numbers, ages, counts = self._last_minute()
        row = row_of[numbers]
        wanted = row >= 0
        cells = row[wanted] * MINUTE + (MINUTE - 1 - ages[wanted])
        minutes: list[list[int]] = _sums(cells, counts[wanted], rows * MINUTE).reshape(rows, MINUTE).tolist()
        return minutes

    def _rows_of(self, row_of: Indexes) -> tuple[Indexes, Counted]:
        """All counts of some groups, one after the other, and the row that each belongs to."""
        rows = [np.empty(0, np.int64)]
        found = [NOTHING]
        for tally in self._tallies.values():
            row = row_of[tally.counted.groups]
            wanted = row >= 0
            if wanted.any():
                rows.append(row[wanted])
                found.append(tally.counted.only(wanted))
        return np.concatenate(rows), Counted.joined(found)


def _sums(numbers: Indexes, counts: Indexes, length: int) -> Indexes:
    """For each number what it counts in all; a float has room for every count that memory holds."""
    return np.bincount(numbers, counts, minlength=length).astype(np.int64)


def _with(rows: Indexes, numbers: Indexes, number: int | None, length: int) -> list[bool]:
    """For each row whether it has this number."""
    found = np.zeros(length, np.bool_)
    if number is not None:
        found[rows[numbers == number]] = True
    return found.tolist()


def _extremes(rows: Indexes, counted: Counted, length: int) -> tuple[list[int], ...]:
    """For each row how many, the first time, the last time and the newest id."""
    totals = np.zeros(length, np.int64)
    firsts = np.full(length, np.iinfo(np.int64).max)
    lasts = np.full(length, np.iinfo(np.int64).min)
    newest = lasts.copy()
    np.add.at(totals, rows, counted.counts)
    np.minimum.at(firsts, rows, counted.firsts)
    np.maximum.at(lasts, rows, counted.lasts)
    np.maximum.at(newest, rows, counted.newest)
    return tuple(numbers.tolist() for numbers in (totals, firsts, lasts, newest))


def _most_frequent(
    rows: Indexes, numbers: Indexes, counts: Indexes, values: Sequence[Key], length: int
) -> list[tuple[list[Any], int]]:
    """For each row the few values that count most, the highest first, and how many values there are."""
    pairs = rows * max(1, len(values)) + numbers
    order = np.argsort(pairs)
    starts = np.flatnonzero(np.diff(pairs[order], prepend=-1))
    sums = np.add.reduceat(counts[order], starts) if len(starts) else counts
    row, number = np.divmod(pairs[order[starts]], max(1, len(values)))
    order = np.lexsort((-sums, row))
    bounds = np.searchsorted(row, np.arange(length + 1)).tolist()
    return [
        ([values[at] for at in number[order[begin : min(end, begin + MOST_USERS)]].tolist()], end - begin)
        for begin, end in pairwise(bounds)
    ]
