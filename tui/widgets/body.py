"""The layout of table and detail: one below the other, side by side, or one at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Literal

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.message import Message

from execwhy.tui.faults.contained import Contained
from execwhy.tui.model.query import QueryError
from execwhy.tui.widgets.bars.filter_bar import ProblemLine
from execwhy.tui.widgets.detail.detail_pane import DetailPane
from execwhy.tui.widgets.detail.fact import Section
from execwhy.tui.widgets.events.event_table import EventTable
from execwhy.tui.widgets.events.table_header import TableHeader

Mode = Literal["beside", "below", "over"]

_BESIDE: Final = 160
"""Columns from which on the detail stands beside the table."""

_BELOW: Final = (100, 20)
"""Columns and lines from which on it stands below."""

_PAUSE: Final = 0.4
"""Seconds between two details while new events come: nobody reads faster."""


class Body(Contained, Container):
    """The table and the detail of the event under its cursor."""

    class Arranged(Message):
        """The detail was opened, closed or moved."""

    def __init__(self, table: EventTable, facts_of: Callable[[int], list[Section]], *, id: str) -> None:
        super().__init__(id=id)
        self.table = table
        self.header = TableHeader()
        self.problem = ProblemLine()
        self.detail = DetailPane(id="detail")
        self._facts_of = facts_of
        self._is_open: dict[bool, bool] = {True: False, False: True}
        self._due = 0.0
        self._stale = True
        self._shown: int | None = None

    def compose(self) -> ComposeResult:
        """Yield the table under its headings, and the detail."""
        with Vertical(id="list"):
            yield self.header
            yield self.problem
            yield self.table
        yield self.detail

    @property
    def mode(self) -> Mode:
        """Where the detail is, or would be if it were open."""
        width, height = self.size
        if width >= _BESIDE:
            return "beside"
        return "below" if width >= _BELOW[0] and height >= _BELOW[1] else "over"

    @property
    def detail_is_open(self) -> bool:
        """The detail is on the screen; by default it is, unless it would cover the table."""
        return self._is_open[self.mode == "over"]

    @property
    def detail_is_all(self) -> bool:
        """The detail covers the table."""
        return self.mode == "over" and self.detail_is_open

    def open_detail(self, is_open: bool) -> None:
        """Open or close the detail; windows too narrow for both keep their own choice."""
        self._is_open[self.mode == "over"] = is_open
        if self.detail_is_all:
            self.table.follow(False)
        self._arrange()

    def other_pane(self) -> bool:
        """Move the focus between table and detail; return False if only one of them is there."""
        if self.mode == "over" or not self.detail_is_open:
            return False
        (self.table if self.detail.has_focus else self.detail).focus()
        return True

    def focus_pane(self) -> None:
        """Focus the detail if it covers the table, else the table."""
        (self.detail if self.detail_is_all else self.table).focus()

    def on_resize(self, event: events.Resize) -> None:
        """Lay out anew."""
        self._arrange()

    def _arrange(self) -> None:
        classes = f"-{self.mode}" + (" -detail" if self.detail_is_open else "")
        if set(classes.split()) != self.classes:
            had_focus = self.table.has_focus or self.detail.has_focus
            reading = self.detail.has_focus and self.detail_is_open
            self.set_classes(classes)
            if had_focus and not reading:
                self.focus_pane()
        self._stale = True
        self.show_event(at_once=True)
        self.post_message(self.Arranged())

    @on(EventTable.CursorMoved)
    def _cursor_moved(self) -> None:
        self.show_event(at_once=not self.table.following)

    @on(EventTable.CellFocused)
    def _cell_focused(self) -> None:
        place = self.table.focused_cell
        self.header.focused_column = "" if place is None else place.column.title

    @on(TableHeader.Chosen)
    def _heading_chosen(self, message: TableHeader.Chosen) -> None:
        self.table.focus()
        self.table.focus_cell(message.title)

    def show_problem(self, problem: QueryError | None) -> None:
        """Show what is wrong with the filter in place of the headings, or the headings again."""
        self.problem.show(problem)
        self.header.display = problem is None

    def renew(self) -> None:
        """Note that the event under the cursor has new facts."""
        self._stale = True

    def show_event(self, *, at_once: bool = False) -> None:
        """Show the event under the cursor, if it is another one or has changed."""
        event_id = self.table.cursor_id
        if not self.detail_is_open or (event_id == self._shown and not self._stale):
            return
        now = time.monotonic()
        is_other = event_id != self._shown and self._shown is not None
        if self.table.following and is_other and now < self._due and not at_once:
            return
        self._due = now + _PAUSE
        facts = [] if event_id is None else self._facts_of(event_id)
        self.detail.show(facts, same_event=event_id == self._shown)
        self._shown, self._stale = event_id, False
