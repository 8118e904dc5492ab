"""The table of groups: failures by what they have in common, the worst first, live.

The order must be right and yet hold still for who reads it. Before the cursor is put on a row, rows
are sorted anew every second. The group under the cursor keeps its line, the others are sorted around
it; and for some seconds after a key, a click or a scroll nothing moves at all, numbers aside: new
groups come in at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar, Final

from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.model.columns import Key
from tui.model.group_by import BY, By
from tui.model.groups import Group, Groups
from tui.model.history import History
from tui.model.view import View
from tui.widgets.columns import GUTTER
from tui.widgets.group_columns import group_cell, group_places
from tui.widgets.painted import Painted, Piece
from tui.widgets.shorten import wrapped

_MOST_ROWS: Final = 1_000
"""Groups that have a row: beyond that one filters instead of scrolling."""

_EVERY: Final = 1.0
"""Seconds between two sorts, and two looks at rates: faster than that nobody reads a number."""

_HOLD: Final = 5.0
"""Seconds after a key for which the order holds."""


class GroupTable(Painted, ScrollView, can_focus=True):
    """Shows the groups of a view's failures."""

    DEFAULT_CSS = """
    GroupTable {
        width: 100%;
        height: 1fr;
        overflow-x: hidden;
        overflow-y: scroll;
        scrollbar-size-vertical: 1;
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1.0)", "Page up", show=False),
        Binding("pagedown", "page(1.0)", "Page down", show=False),
        Binding("ctrl+u", "page(-0.5)", "Half a page up", show=False),
        Binding("ctrl+d", "page(0.5)", "Half a page down", show=False),
        Binding("home,g", "first", "First", show=False),
        Binding("end,G", "last", "Last", show=False),
        Binding("enter", "open", "Open", show=False),
    ]

    empty: reactive[str] = reactive("")
    """What to say where there is no group; printable."""

    class Changed(Message):
        """Other groups, another order, or another count."""

    class Opened(Message):
        """The events of this group are wanted."""

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
        """The rate decides about the order; else the count."""
        self._view = view
        self._query = view.query
        self._clock = clock
        self._show_secrets = show_secrets
        self._now = clock()
        self._rows: list[Key] = []
        self._cursor: int | None = None
        self._described: dict[Key, Group] = {}
        self._due = self._held_until = 0.0
        self._was_complete = False
        self._placing = False

    # What comes from outside

    @property
    def by(self) -> By:
        """What the failures are grouped by."""
        return self.groups.by

    def group_by(self, name: str) -> None:
        """Group by something else: a name of ``BY``."""
        if BY[name] is not self.by:
            self.groups.by = BY[name]
            self._restart()
            self.sync(0.0)

    def sort(self, *, by_rate: bool) -> None:
        """Sort by rate or by count, at once and all rows."""
        self.by_rate = by_rate
        self._cursor, self._held_until, self._due = None, 0.0, 0.0
        self._scroll(0)
        self.sync(0.0)

    def sync(self, seconds: float) -> bool:
        """Count what has changed in the view, for about this long; True if there is more to count now."""
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

    def focused_group(self) -> Group | None:
        """The group under the cursor, or the first one where there is no cursor yet."""
        if not self._rows:
            return None
        return self._group(self._rows[self._cursor or 0])

    # Order and place

    def _restart(self) -> None:
        self._rows, self._cursor, self._was_complete = [], None, False
        self._due = self._held_until = 0.0
        self._scroll(0)

    def _arrange(self, sort: bool) -> None:
        """Look again; sort the rows, or leave them as they are and put new ones below."""
        self._now = self._clock()
        self.groups.look(self._now)
        self._described.clear()
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
        """What is known of a group; all on the screen are asked for at once."""
        if value not in self._described:
            top = round(self.scroll_y)
            wanted = dict.fromkeys([value, *self._rows[top : top + self.size.height]])
            fresh = [row for row in wanted if row not in self._described]
            self._described.update(zip(fresh, self.groups.describe(fresh), strict=True))
        return self._described[value]

    def _resize(self) -> None:
        self._placing = True
        self.virtual_size = Size(self._width, len(self._rows))
        self._placing = False

    @property
    def _width(self) -> int:
        """Cells of a line: the scrollbar has the last one of the widget."""
        return self.scrollable_content_region.width

    def _scroll(self, top: int) -> None:
        self._placing = True
        last = max(0, len(self._rows) - self.size.height)
        self.scroll_target_y = self.scroll_y = float(min(max(0, top), last))
        self._placing = False

    def _hold(self) -> None:
        self._held_until = time.monotonic() + _HOLD

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Who scrolls reads."""
        super().watch_scroll_y(old_value, new_value)
        if not self._placing and round(new_value) != round(old_value):
            self._hold()

    def on_resize(self) -> None:
        """Other columns, other lines."""
        self._resize()
        self.refresh()

    def watch_has_focus(self, has_focus: bool) -> None:
        """The cursor is drawn stronger or weaker."""
        super().watch_has_focus(has_focus)
        self.refresh()

    # Keys and mouse

    def move_to(self, row: int) -> None:
        """Put the cursor on a row and the row on the screen."""
        if not self._rows:
            return
        self._hold()
        self._cursor = row = min(max(0, row), len(self._rows) - 1)
        top, height = round(self.scroll_y), self.size.height
        if row < top:
            self._scroll(row)
        elif row >= top + height:
            self._scroll(row - height + 1)
        self.refresh()

    def action_move(self, rows: int) -> None:
        """Move the cursor by rows; the first key puts it on the first row on the screen."""
        self.move_to(round(self.scroll_y) if self._cursor is None else self._cursor + rows)

    def action_page(self, pages: float) -> None:
        """Move the cursor and the window by a part of what is on the screen."""
        rows = round(pages * max(1, self.size.height - 1))
        self._scroll(round(self.scroll_y) + rows)
        self.move_to((self._cursor or 0) + rows)

    def action_first(self) -> None:
        """Go to the first row."""
        self.move_to(0)

    def action_last(self) -> None:
        """Go to the last row."""
        self.move_to(len(self._rows) - 1)

    def action_open(self) -> None:
        """Ask for the events of the group under the cursor."""
        group = self.focused_group()
        if group is not None:
            self.post_message(self.Opened(group))

    def on_click(self, event: events.Click) -> None:
        """The cursor goes to the row; a second click opens it."""
        row = round(self.scroll_y) + event.y
        if row < len(self._rows):
            self.move_to(row)
            if event.chain == 2:
                self.action_open()

    # Painting

    def render_line(self, y: int) -> Strip:
        """One line of the window."""
        row, width = round(self.scroll_y) + y, self._width
        if row >= len(self._rows):
            return self._empty_line(y, width)
        over: Style | None = None
        if row == self._cursor:
            over = self.role("cursor" if self.has_focus else "cursor-blurred")
        group = self._group(self._rows[row])
        pieces: list[Piece] = [(" " if over is None else "▌", "mark")]
        used = GUTTER
        for place in group_places(width, self.by.name):
            pieces.append((" " * (place.x - used), "plain"))
            pieces += group_cell(group, self.by, place, self._now, show_secrets=self._show_secrets)
            used = place.x + place.width
        return self.line(pieces, width, over)

    def _empty_line(self, y: int, width: int) -> Strip:
        """A line below the last row: blank, or part of what is said where there is no row."""
        lines = wrapped([(self.empty, False)], max(10, min(width - 4, 72)))
        top = max(0, (self.size.height - len(lines)) // 3)
        silent = not self.empty or self._rows or not self.groups.complete
        if silent or not top <= y < top + len(lines):
            return Strip.blank(width, self.rich_style)
        text = "".join(part for part, _ in lines[y - top])
        return self.line([(" " * max(0, (width - len(text)) // 2), "muted"), (text, "muted")], width)
