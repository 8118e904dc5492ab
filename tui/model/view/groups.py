"""The failures that a view shows, grouped by one field.

Only events that a row of the view counts are in a group: not those that are filtered out, folded into the
one row of a search, or evicted without a representative. A search is one failure.
"""

from __future__ import annotations

import time
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Final

import numpy as np

from execwhy.tui.model.history.block import Block
from execwhy.tui.model.history.columns import Key
from execwhy.tui.model.history.store import History
from execwhy.tui.model.view.group_by import By, certain_facet, user_facet, why_facet
from execwhy.tui.model.view.row_sums import extremes, most_frequent, rows_with, sums
from execwhy.tui.model.view.tally import NOTHING, Counted, Indexes, Tally
from execwhy.tui.model.view.view import View

SECOND: Final = 1_000_000_000

MINUTE: Final = 60
"""Seconds covered by the counts for each second."""

RATE_SECONDS: Final = 10
"""Seconds that a rate averages: a unit that restarts every few seconds has a steady rate."""

_COUNT_BITS: Final = 31
"""Bits of a count: enough for any history that fits in memory."""


@dataclass(frozen=True, slots=True)
class Group:
    """Failures that have the same value of a field.

    Attributes:
        value: The value; None where they have none.
        count: How many the view shows; 0 where it no longer shows any.
        rate: Failures a second, over the last ``RATE_SECONDS``.
        minute: Failures in each second of the last minute, oldest first.
        first: The earliest timestamp, nanoseconds since 1970 UTC.
        last: The latest timestamp.
        uids: The users who failed most often, at most ``MOST_VALUES`` of them.
        users: The number of different users.
        example: The id of the newest event; None where there is none.
        why: The most frequent diagnosis in brief; None where none has been made. Raw text.
        whys: The number of different diagnoses.
        is_uncertain: There are diagnoses, and none of them is certain.
        search: The name that the newest event searched PATH for; None where it is no search. Raw text.
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
    ``look`` sets the time that rates and ages refer to.
    """

    def __init__(self, history: History, view: View, by: By) -> None:
        self._history = history
        self._view = view
        self._by = by
        self._recent: tuple[Indexes, Indexes, Indexes] | None = None
        self._begin()

    @property
    def by(self) -> By:
        """The field that the failures are grouped by. Setting it begins a new count."""
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
        """Return the number of groups."""
        return int(np.count_nonzero(self._counts))

    def advance(self, seconds: float) -> bool:
        """Take in changes of the view, newest first, for about this long; return whether counts changed."""
        deadline = time.monotonic() + seconds
        # A frozen view is not refreshed, so it still has parts of evicted blocks.
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
            tally.count(part.offsets, part.represented)
            self._add(tally, 1)
            changed = True
        else:
            self._complete = self._view.complete
        if changed:
            self._recent = None
        return changed

    def look(self, now: int) -> None:
        """Compute rates and the last minute as of this time, in nanoseconds since 1970 UTC."""
        self._now = now
        self._recent = None

    def ranked(self, most: int, *, by_rate: bool) -> list[Key]:
        """Return the values of the groups with the highest rates, or counts, highest first.

        Args:
            most: The most groups to return.
            by_rate: Rank by rate, then by count; otherwise by count, then by rate.
        """
        numbers, ages, counts = self._last_minute()
        late = ages < RATE_SECONDS
        recent = sums(numbers[late], counts[late], len(self._counts))
        ranks = (recent << _COUNT_BITS) + self._counts if by_rate else (self._counts << _COUNT_BITS) + recent
        found = np.flatnonzero(self._counts)
        if len(found) > most:
            # With very many groups few ranks differ: a sort is quick then, a partition is not.
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
        """Describe some groups, such as those on the screen. The values must be distinct."""
        row_of = np.full(len(self._counts), -1, np.int64)
        for row, value in enumerate(values):
            number = self._group.numbered.number_of(value)
            if number is not None:
                row_of[number] = row
        rows, counted = self._rows_of(row_of)
        totals, firsts, lasts, newest = extremes(rows, counted, len(values))
        whys = most_frequent(rows, counted.whys, counted.counts, self._why.numbered.values, len(values))
        unknown = rows_with(rows, counted.whys, self._why.numbered.number_of(None), len(values))
        certain = rows_with(rows, counted.certain, self._certain.numbered.number_of(True), len(values))
        users = most_frequent(rows, counted.users, counted.counts, self._user.numbered.values, len(values))
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
        """Return the name of the search that this event represents, if the groups are by path."""
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
        """Subtract what is no longer in the view; return whether counts changed."""
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
        """Return group number, age in whole seconds and count of each failure of the last minute."""
        if self._recent is None:
            begin = self._now - MINUTE * SECOND
            found = [tally.since(begin) for tally in self._tallies.values() if tally.block.newest > begin]
            nothing = np.empty(0, np.int64)
            numbers, times, counts = map(np.concatenate, zip((nothing,) * 3, *found, strict=True))
            # A time in the future is due to the kernel's clock: the event has just come.
            self._recent = numbers, np.maximum(0, self._now - times) // SECOND, counts
        return self._recent

    def _minutes(self, row_of: Indexes, rows: int) -> list[list[int]]:
        numbers, ages, counts = self._last_minute()
        row = row_of[numbers]
        wanted = row >= 0
        cells = row[wanted] * MINUTE + (MINUTE - 1 - ages[wanted])
        minutes: list[list[int]] = sums(cells, counts[wanted], rows * MINUTE).reshape(rows, MINUTE).tolist()
        return minutes

    def _rows_of(self, row_of: Indexes) -> tuple[Indexes, Counted]:
        """Return the row of each count of some groups, and these counts, one after the other."""
        rows = [np.empty(0, np.int64)]
        found = [NOTHING]
        for tally in self._tallies.values():
            row = row_of[tally.counted.groups]
            wanted = row >= 0
            if wanted.any():
                rows.append(row[wanted])
                found.append(tally.counted.only(wanted))
        return np.concatenate(rows), Counted.joined(found)
