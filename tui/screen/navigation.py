"""Moves the cursor: to the next match of a search, to a mark, to a time. No row is hidden."""

from __future__ import annotations

import time
from typing import Final

from execwhy.tui.model.history.store import History
from execwhy.tui.model.query import QueryError, parse
from execwhy.tui.model.text.printable import printable
from execwhy.tui.model.view.finding import Finding
from execwhy.tui.model.view.moment import MomentError, is_moment, moment
from execwhy.tui.model.view.view import View
from execwhy.tui.screen import sentences
from execwhy.tui.widgets.events.event_table import EventTable
from execwhy.tui.widgets.painting.shorten import keep_beginning

_PATIENCE: Final = 0.3
"""Seconds that going to a time waits for a filter's scan: that of a full history takes less."""

_WIDEST: Final = 24
"""Cells of a search in the line of filter; the operator knows the rest."""


class Navigation:
    """Moves the table's cursor, and keeps a search and marks.

    Args:
        history: Where the events are.
        view: Which of them are shown.
        table: Whose cursor is moved.
    """

    def __init__(self, history: History, view: View, table: EventTable) -> None:
        self._history = history
        self._view = view
        self._table = table
        self._finding: Finding | None = None
        self._marked: set[int] = set()
        self._began: tuple[int | None, bool] = (None, True)
        self._before: Finding | None = None
        self._pending: int | None = None

    # For the table and the line of filter

    def sign(self, event_id: int) -> str:
        """Return the sign of a row: ``*`` for a mark, ``>`` for a match, else ""."""
        if event_id in self._marked:
            return "*"
        return ">" if self._finding is not None and self._finding.holds(event_id) else ""

    @property
    def summary(self) -> str:
        """How many rows match, and which match the cursor is on; printable."""
        finding = self._finding
        if finding is None:
            return ""
        words = "".join(text for text, _ in keep_beginning(finding.query.text, _WIDEST))
        if not finding.complete:
            return f"s {words}: searching {finding.progress:.0%}"
        cursor = self._table.cursor_id
        if cursor is not None and finding.holds(cursor):
            return f"s {words}: {finding.place(cursor) + 1:,} of {len(finding):,}"
        return f"s {words}: {len(finding):,} found"

    def advance(self, seconds: float) -> bool:
        """Search for about this long; return whether rows have to be painted anew."""
        if self._finding is None:
            return False
        changed = self._finding.advance(seconds)
        if self._pending is not None and (self._finding.complete or len(self._finding)):
            self._lead()
        return changed

    @property
    def goes_on(self) -> bool:
        """The search has not seen all rows yet."""
        return self._finding is not None and not self._finding.complete

    # Search

    def begin(self) -> None:
        """Remember the cursor and the search, before another search is typed."""
        self._began = (self._table.cursor_id, self._table.following)
        self._before = self._finding

    def revert(self) -> None:
        """Go back to the remembered row and search."""
        self._finding, self._pending = self._before, None
        event_id, following = self._began
        if event_id is not None:
            self._table.move_to(self._view.row_of(event_id))
        self._table.follow(following)
        self._table.refresh()

    def look_for(self, text: str) -> str:
        """Search from the remembered row on, or go to a time; return what is wrong with the text, or "".

        A search has the language of filters; a time begins with ``@``.
        """
        if is_moment(text):
            return self._go_to_time(text)
        try:
            query = parse(text)
        except QueryError as error:
            return printable(sentences.alone(error.message))
        self._pending = None
        self._finding = None if query.is_empty else Finding(self._history, self._view, query)
        if self._finding is not None:
            self._pending = self._began[0] if self._began[0] is not None else 0
            self.advance(0.0)
        self._table.refresh()
        return ""

    def _lead(self) -> None:
        """Go to the match nearest to the row where the search began."""
        assert self._finding is not None and self._pending is not None
        found = self._finding.nearest(self._pending)
        if found is None and not self._finding.complete:
            return
        self._pending = None
        if found is not None:
            self._go(found)

    def step(self, step: int) -> str:
        """Go to the next match (1) or the one before (-1); return a message, or ""."""
        finding = self._finding
        if finding is None:
            return "There is no search yet: s begins one."
        finding.advance(0.0)
        cursor = self._table.cursor_id
        found = None if cursor is None else finding.beyond(cursor, step)
        if found is not None:
            self._go(found)
            return ""
        if not finding.complete:
            return f"Still searching, {finding.progress:.0%}: press the key again in a moment."
        found = finding.first(step)
        if found is None:
            return f"Nothing that is shown matches {printable(finding.query.text)}."
        self._go(found)
        return "The search went on from the top." if step > 0 else "The search went on from the bottom."

    def end_search(self) -> bool:
        """Forget the search; return whether there was one."""
        had = self._finding is not None
        self._finding = self._pending = None
        if had:
            self._table.refresh()
        return had

    # Marks

    def mark(self) -> str:
        """Mark the event under the cursor, or remove its mark; return a message."""
        event_id = self._table.cursor_id
        if event_id is None:
            return sentences.nothing_shown(self._view, self._history)
        self._marked ^= {event_id}
        self._table.refresh()
        return "Marked; M goes from mark to mark." if event_id in self._marked else "The mark is taken away."

    def next_mark(self) -> str:
        """Go to the next mark that is shown, from the last to the first; return a message, or ""."""
        self._marked = {event_id for event_id in self._marked if event_id in self._history}
        if not self._marked:
            return "There is no mark yet: m sets one."
        shown = sorted(event_id for event_id in self._marked if self._is_shown(event_id))
        if not shown:
            return "The marked events are hidden by the filter: c clears it."
        cursor = self._table.cursor_id
        self._go(next((event_id for event_id in shown if cursor is None or event_id > cursor), shown[0]))
        return ""

    def _is_shown(self, event_id: int) -> bool:
        return bool(len(self._view)) and self._view[self._view.row_of(event_id)] == event_id

    # Time

    def _go_to_time(self, text: str) -> str:
        if not len(self._view):
            return sentences.nothing_shown(self._view, self._history)
        deadline = time.monotonic() + _PATIENCE
        while not self._view.complete and time.monotonic() < deadline:
            self._view.advance(0.05)
        first, last = (self._view.timestamp(row) for row in (0, len(self._view) - 1))
        try:
            self._table.move_to(self._view.row_at(moment(text, first, last)))
        except MomentError as error:
            return str(error)
        return ""

    def _go(self, event_id: int) -> None:
        self._table.move_to(self._view.row_of(event_id))
