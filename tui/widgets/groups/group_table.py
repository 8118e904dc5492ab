"""The table of groups: failures by what they have in common, the worst first, live.

The order must be right, and hold still for the reader. Until the cursor is on a row, rows are sorted anew
every second. Then the group under the cursor keeps its line, and the others are sorted around it. For
some seconds after a key, a click or a scroll no row moves: only numbers change, and new groups come in
at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar, Final

from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from execwhy.tui.model.history.columns import Key
from execwhy.tui.model.history.store import History
from execwhy.tui.model.text.secrets import masker
from execwhy.tui.model.view.group_by import BY, By
from execwhy.tui.model.view.groups import Group, Groups
from execwhy.tui.model.view.view import View
from execwhy.tui.widgets.events.columns import GUTTER
from execwhy.tui.widgets.groups.group_columns import group_cell, group_places
from execwhy.tui.widgets.painting.painted import Piece
from execwhy.tui.widgets.painting.row_window import RowWindow

_MOST_ROWS: Final = 1_000
"""Groups that have a row: with more, one filters instead of scrolling."""

_EVERY: Final = 1.0
"""Seconds between two sorts, and two looks at rates: nobody reads numbers faster."""

_HOLD: Final = 5.0
"""Seconds after a key for which the order holds."""


class GroupTable(RowWindow):
    """Shows the groups of a view's failures."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "open", "Open", show=False)]

    class Changed(Message):
        """Other groups, another order, or another count."""

    class Opened(Message):
        """Show the events of this group."""

        def __init__(self, group: Group) -> None:
            super().__init__()
            self.group = group

    def __init__(
        self,
        history: History,
        view: View,
        clock: Callable[[], int],
        *,
        show_secrets: bool,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self.groups = Groups(history, view, BY["path"])
        self.by_rate = True
        """Sort by rate; else by count."""
        self._history = history
        self._view = view
        self._query = view.query
        self._clock = clock
        self._show_secrets = show_secrets
        self._now = clock()
        self._rows: list[Key] = []
        self._cursor: int | None = None
        self._described: dict[Key, Group] = {}
        self._maskers: dict[int, Callable[[str], str]] = {}
        self._due = self._held_until = 0.0
        self._was_complete = False

    # What comes from outside

    @property
    def row_count(self) -> int:
        """How many groups have a row."""
        return len(self._rows)

    @property
    def cursor_row(self) -> int:
        """The row of the cursor; 0 if it is on none."""
        return self._cursor or 0

    @property
    def by(self) -> By:
        """What the failures are grouped by."""
        return self.groups.by

    def group_by(self, name: str) -> None:
        """Group by a name of ``BY``."""
        if BY[name] is not self.by:
            self.groups.by = BY[name]
            self._restart()
            self.sync(0.0)

    def sort(self, *, by_rate: bool) -> None:
        """Sort all rows by rate or by count, at once."""
        self.by_rate = by_rate
        self._cursor, self._held_until, self._due = None, 0.0, 0.0
        self._scroll(0)
        self.sync(0.0)

    def sync(self, seconds: float) -> bool:
        """Count what has changed in the view, for about this long; return whether there is more to count."""
        if self.fault:
            # A failed step may have left the groups half changed.
            self.groups.by = self.by
            self._restart()
        if self._view.query is not self._query:
            self._query = self._view.query
            self._restart()
        now = time.monotonic()
        if now >= self._due or not self.groups.complete:
            self.groups.advance(seconds)
            if now >= self._due or (self.groups.complete and not self._was_complete):
                self._due = now + _EVERY
                self._arrange(now >= self._held_until)
            self._was_complete = self.groups.complete
        return not self.groups.complete

    def masker(self, group: Group) -> Callable[[str], str]:
        """Return what masks a group's secrets, even those that only its newest event reveals as such."""
        if self._show_secrets:
            return str
        example = -1 if group.example is None else group.example
        if example not in self._maskers:
            is_held = example in self._history
            self._maskers[example] = masker(self._history[example].failure if is_held else None)
        return self._maskers[example]

    def focused_group(self) -> Group | None:
        """Return the group under the cursor, or the first one if there is no cursor yet."""
        if not self._rows:
            return None
        return self._group(self._rows[self.cursor_row])

    # Order and place

    def _restart(self) -> None:
        self._rows, self._cursor, self._was_complete = [], None, False
        self._due = self._held_until = 0.0
        self._scroll(0)

    def _arrange(self, sort: bool) -> None:
        """Look at rates again; sort the rows, or leave them and add new ones below."""
        self._now = self._clock()
        self.groups.look(self._now)
        self._described.clear()
        self._maskers.clear()
        ranked = self.groups.ranked(_MOST_ROWS, by_rate=self.by_rate)
        if not sort:
            known = set(self._rows)
            fresh = [value for value in ranked if value not in known]
            self._rows += fresh[: max(0, _MOST_ROWS - len(known))]
        elif self._cursor is None:
            self._rows = ranked
        else:
            pinned = self._rows[self._cursor]
            others = [value for value in ranked if value != pinned]
            self._cursor = min(self._cursor, len(others))
            self._rows = [*others[: self._cursor], pinned, *others[self._cursor :]]
        self._resize()
        self.refresh()
        self.post_message(self.Changed())

    def _group(self, value: Key) -> Group:
        """Return what is known of a group; all groups on the screen are described at once."""
        if value not in self._described:
            top = self._top
            wanted = dict.fromkeys([value, *self._rows[top : top + self.size.height]])
            fresh = [row for row in wanted if row not in self._described]
            self._described.update(zip(fresh, self.groups.describe(fresh), strict=True))
        return self._described[value]

    def _hold(self) -> None:
        self._held_until = time.monotonic() + _HOLD

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Hold the order after a scroll: the operator reads."""
        super().watch_scroll_y(old_value, new_value)
        if self._is_scrolled(old_value, new_value):
            self._hold()

    def on_resize(self) -> None:
        """Lay out anew."""
        self._resize()
        self.refresh()

    def watch_has_focus(self, has_focus: bool) -> None:
        """Draw the cursor stronger or weaker."""
        super().watch_has_focus(has_focus)
        self.refresh()

    # Keys and mouse

    def move_to(self, row: int) -> None:
        """Put the cursor on a row and the row on the screen."""
        if not self._rows:
            return
        self._hold()
        self._cursor = row = min(max(0, row), len(self._rows) - 1)
        self._reveal(row)
        self.refresh()

    def action_move(self, rows: int) -> None:
        """Move the cursor by rows; the first key puts it on the first row on the screen."""
        self.move_to(self._top if self._cursor is None else self._cursor + rows)

    def action_open(self) -> None:
        """Ask for the events of the group under the cursor."""
        group = self.focused_group()
        if group is not None:
            self.post_message(self.Opened(group))

    def on_click(self, event: events.Click) -> None:
        """Put the cursor on the row; a double click opens it."""
        row = self._top + event.y
        if row < len(self._rows):
            self.move_to(row)
            if event.chain == 2:
                self.action_open()

    # Painting

    def render_line(self, y: int) -> Strip:
        """Paint one line of the window."""
        row, width = self._top + y, self._width
        if row >= len(self._rows):
            silent = self._rows or not self.groups.complete
            return Strip.blank(width, self.base) if silent else self._line_below(row)
        over: Style | None = None
        if row == self._cursor:
            over = self.role("cursor" if self.has_focus else "cursor-blurred")
        group = self._group(self._rows[row])
        mask = self.masker(group)
        pieces: list[Piece] = [(" " if over is None else "▌", "mark")]
        used = GUTTER
        for place in group_places(width, self.by.name):
            pieces.append((" " * (place.x - used), "plain"))
            pieces += group_cell(group, self.by, place, self._now, mask)
            used = place.x + place.width
        return self.line(pieces, width, over)
