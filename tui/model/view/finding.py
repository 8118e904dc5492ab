"""A search among the rows that are shown: it moves from match to match, and hides nothing."""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable

from execwhy.tui.model.history.store import History
from execwhy.tui.model.query import Query, both
from execwhy.tui.model.view.view import View


class Finding:
    """The rows of a view that a query matches.

    Like a view, it does nothing by itself: ``advance`` continues the scan.

    Args:
        history: The events.
        view: The rows that are shown.
        query: The condition to search for, in the filter language.
        clock: Nanoseconds since 1970 UTC.
    """

    def __init__(
        self, history: History, view: View, query: Query, clock: Callable[[], int] | None = None
    ) -> None:
        self.query = query
        self._history = history
        self._view = view
        self._clock = clock
        self._begin()

    def _begin(self) -> None:
        shown = self._view.query
        self._of = (shown, self._view.show_found, self._view.fold_repeats)
        clock = self._clock or time.time_ns
        self._matches = View(
            self._history, both(shown, self.query), clock, fold_repeats=self._view.fold_repeats
        )
        self._matches.show_found = self._view.show_found

    @property
    def complete(self) -> bool:
        """Whether every row has been looked at."""
        return self._matches.complete

    @property
    def progress(self) -> float:
        """The part of the rows that has been looked at, from 0 to 1."""
        return self._matches.progress

    def __len__(self) -> int:
        """Return the number of matches known so far; losses are none."""
        return self._matches.shown

    def advance(self, seconds: float) -> bool:
        """Take in changes, and continue for about this long; return whether the matches changed."""
        if self._of != (self._view.query, self._view.show_found, self._view.fold_repeats):
            self._begin()
            self._matches.advance(seconds)
            return True
        changed = self._matches.refresh()
        if not self._matches.complete:
            changed |= self._matches.advance(seconds)
        return changed

    def holds(self, event_id: int) -> bool:
        """Return whether this event is a match."""
        row = self._at(event_id)
        return row is not None and not self._matches.is_loss(row)

    def place(self, event_id: int) -> int:
        """Return how many matches come before this event."""
        losses: int = sum(
            offset in part.block.losses and part.block.id_of(offset) < event_id
            for part in self._matches.parts
            if part.lost_rows
            for offset in part.rows.tolist()
        )
        return bisect_left(self._matches, event_id) - losses

    def nearest(self, event_id: int) -> int | None:
        """Return the first match from this event on, else the last one before it."""
        found = self.beyond(event_id - 1, 1)
        return self.beyond(event_id, -1) if found is None else found

    def beyond(self, event_id: int, step: int) -> int | None:
        """Return the next match after this event (1), or before it (-1)."""
        after, before = bisect_right(self._matches, event_id), bisect_left(self._matches, event_id) - 1
        row = after if step > 0 else before
        while 0 <= row < len(self._matches):
            # A filter passes every loss, but no search is for a loss.
            if not self._matches.is_loss(row):
                return self._matches[row]
            row += step
        return None

    def first(self, step: int) -> int | None:
        """Return the match to continue with after the last (1), or before the first (-1)."""
        return self.beyond(-1, 1) if step > 0 else self.beyond(self._history.end_id, -1)

    def _at(self, event_id: int) -> int | None:
        row = bisect_left(self._matches, event_id)
        return row if row < len(self._matches) and self._matches[row] == event_id else None
