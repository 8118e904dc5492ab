"""The table of events: a window onto a view, painted line by line.

Textual's DataTable costs time for every row it holds; here only the lines on the screen cost any.
The cursor belongs to an event, not to a row: whatever comes or is evicted, the event stays where it
is on the screen while the cursor is on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Final

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from execwhy.bpf.events.kinds import FAILURES, LOSS, by_kind
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.model.history.store import History
from execwhy.tui.model.search.tries import tries_of
from execwhy.tui.model.text.secrets import masked
from execwhy.tui.model.view.view import View
from execwhy.tui.widgets.events import search_words
from execwhy.tui.widgets.events.columns import GUTTER, Placed, cells_of, placed_columns
from execwhy.tui.widgets.events.loss_row import loss_row
from execwhy.tui.widgets.events.row_strips import RowStrips
from execwhy.tui.widgets.painting.painted import Piece
from execwhy.tui.widgets.painting.row_window import RowWindow


class EventTable(RowWindow):
    """Shows the events of a view; the newest at the end."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "cell(-1)", "Cell left", show=False),
        Binding("right", "cell(1)", "Cell right", show=False),
    ]

    following: reactive[bool] = reactive(True)
    """The newest event stays on the screen, with the cursor on it."""

    with_host: reactive[bool] = reactive(False)
    """Each event has its host beside it."""

    class CursorMoved(Message):
        """The cursor is on another event, or on none."""

    class FollowingChanged(Message):
        """Following began or ended."""

    class CellFocused(Message):
        """Another column is focused."""

    def __init__(self, history: History, view: View, *, show_secrets: bool, id: str | None = None) -> None:
        super().__init__(id=id)
        self.history = history
        self.view = view
        self.is_diagnosed = False
        """Records without a diagnosis will get one."""
        self.sign: Callable[[int], str] = lambda event_id: ""
        """Returns the sign left of an event's row: one character, or ""."""
        self._show_secrets = show_secrets
        self._wanted: int | None = None
        self._shown: int | None = None
        self._line: int | None = None
        self._column = ""
        self._strips = RowStrips()

    # What the cursor is on

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        return len(self.view)

    @property
    def cursor_row(self) -> int:
        """The row of the cursor; 0 if it is on none."""
        if self._wanted is None or not len(self.view):
            return 0
        return min(max(0, self.view.row_of(self._wanted)), len(self.view) - 1)

    @property
    def cursor_id(self) -> int | None:
        """The event under the cursor."""
        return self._shown

    @property
    def cursor_times(self) -> int:
        """How many failed execs the row under the cursor stands for; 0 if there is none."""
        return self.view.times(self.cursor_row) if len(self.view) else 0

    @property
    def focused_cell(self) -> Placed | None:
        """The column whose cell is focused; None if it is not shown now."""
        return next((place for place in self._places if place.column.title == self._column), None)

    @property
    def rows_below(self) -> int:
        """Rows below the last line on the screen."""
        return max(0, len(self.view) - self._top - self.size.height)

    def visible_ids(self) -> list[int]:
        """Return the events on the screen, from the top."""
        end = min(len(self.view), self._top + self.size.height)
        return [self.view[row] for row in range(self._top, end)]

    @property
    def _places(self) -> tuple[Placed, ...]:
        return placed_columns(self._width, self.with_host)

    # Changes of the view

    def sync(self) -> None:
        """Show a view that has changed: keep the end in sight, or the cursor on its line of the screen."""
        rows = len(self.view)
        if self.following:
            self._resize()
            self._wanted = self.view[rows - 1] if rows else None
            self._scroll(rows)
        else:
            top, line = self._top, self._line
            self._resize()
            self._scroll(top if line is None else self.cursor_row - line)
        self._settle()
        self.refresh()

    def redraw(self, event_ids: set[int] | None = None) -> None:
        """Paint some events anew, or all."""
        if event_ids is None:
            self._strips.clear()
        else:
            self._strips.forget(event_ids)
        self.refresh()

    def follow(self, following: bool) -> None:
        """Begin or end following."""
        if following != self.following:
            self.following = following
            if following:
                self.sync()
            self.post_message(self.FollowingChanged())

    # Placing

    def _settle(self) -> None:
        """Remember where the cursor is, and post a message if it is on another event."""
        rows = len(self.view)
        shown = self.view[self.cursor_row] if rows else None
        if self.view.complete and shown is not None:
            self._wanted = shown
        line = self.cursor_row - self._top
        self._line = line if rows and 0 <= line < self.size.height else None
        if shown != self._shown:
            self._shown = shown
            self.post_message(self.CursorMoved())

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """End following after the wheel and the scrollbar, as after keys."""
        super().watch_scroll_y(old_value, new_value)
        if self._is_scrolled(old_value, new_value):
            if new_value < old_value:
                self.follow(False)
            self._settle()

    def watch_with_host(self) -> None:
        """Forget the rows as they were painted."""
        self._strips.clear()

    def on_resize(self) -> None:
        """Lay out the columns anew, and keep a cursor that was on the screen there."""
        was_on_screen = self._line is not None
        self._strips.clear()
        self.sync()
        if was_on_screen and not self.following and self._reveal(self.cursor_row):
            self._settle()
        self.post_message(self.CellFocused())

    def notify_style_update(self) -> None:
        """Forget the rows as they were painted: the theme has changed."""
        super().notify_style_update()
        self._strips.clear()

    def watch_has_focus(self, has_focus: bool) -> None:
        """Draw the cursor stronger or weaker."""
        super().watch_has_focus(has_focus)
        self.refresh_line(self.cursor_row)

    # Keys and mouse

    def move_to(self, row: int) -> None:
        """Put the cursor on a row and the row on the screen."""
        rows = len(self.view)
        if not rows:
            return
        row = min(max(0, row), rows - 1)
        if row < self.cursor_row or row < rows - 1:
            self.follow(False)
        before = self.cursor_row
        self._wanted = self.view[row]
        if not self._reveal(row):
            self.refresh_line(before)
            self.refresh_line(row)
        self._settle()

    def action_move(self, rows: int) -> None:
        """Move the cursor by rows."""
        self.move_to(self.cursor_row + rows)

    def action_page(self, pages: float) -> None:
        """Move the cursor and the window by a part of what is on the screen; up, that ends following."""
        if pages < 0:
            self.follow(False)
        super().action_page(pages)

    def action_last(self) -> None:
        """Go to the newest event and follow."""
        self.follow(True)

    def action_cell(self, step: int) -> None:
        """Focus the cell left or right of the focused one; from none to the first or the last."""
        titles = [place.column.title for place in self._places]
        if self._column in titles:
            index = min(max(0, titles.index(self._column) + step), len(titles) - 1)
        else:
            index = 0 if step > 0 else len(titles) - 1
        self.focus_cell(titles[index])

    def focus_cell(self, title: str) -> None:
        """Focus the cell of the column with this heading."""
        self._column = title
        self.refresh_line(self.cursor_row)
        self.post_message(self.CellFocused())

    def on_click(self, event: events.Click) -> None:
        """Put the cursor on the row, and the focus on the cell."""
        row = self._top + event.y
        if row < len(self.view):
            self.move_to(row)
            for place in self._places:
                if place.x <= event.x < place.x + place.width:
                    self.focus_cell(place.column.title)

    # Painting

    def render_line(self, y: int) -> Strip:
        """Paint one line of the window."""
        row = self._top + y
        if row >= len(self.view):
            return self._line_below(row)
        event_id = self.view[row]
        cursor = ""
        if row == self.cursor_row:
            cursor = "cursor" if self.has_focus else "cursor-blurred"
        sign = self.sign(event_id)
        times = self.view.times(row)
        key = (event_id, times, cursor, self._column if cursor else "", sign)
        return self._strips.get(key, lambda: self._event_line(row, times, cursor, sign))

    def _event_line(self, row: int, times: int, cursor: str, sign: str) -> Strip:
        width, over = self._width, self.role(cursor) if cursor else None
        mark: Piece = (sign or ("▌" if cursor else " "), "sign" if sign else "mark")
        try:
            event = self.history[self.view[row]]
        except KeyError:
            return self.line([mark, ("— evicted from memory —", "muted")], width, over)
        painted = _PAINTERS[event.kind](self, event, row, times, bool(cursor))
        return self.line([mark, *painted], width, over)

    def paint_failure(self, failure: ExecFailure, row: int, times: int, is_current: bool) -> list[Piece]:
        """Return what stands in the row of a failure."""
        search = failure.search
        if search is not None and search_words.lacks_cause(failure):
            event_id = self.view[row]
            self._strips.mark_provisional(event_id)
            failure = search_words.with_best_cause(
                failure, lambda: tries_of(self.history, event_id, search.id)
            )
        # argv and envp are not in the table, and masking them would cost more than all the rest.
        brief = replace(failure, arguments=(), environment=())
        shown = brief if self._show_secrets else masked(brief)
        looking = self.is_diagnosed and failure.diagnosis is None
        return cells_of(shown, self._places, looking, times, self._column if is_current else "")

    def paint_loss(self, loss: Loss, row: int, _times: int, _is_current: bool) -> list[Piece]:
        """Return what stands in the row of a loss."""
        count, last = self.view.lost(row)
        return loss_row(loss, count, last, self._width - GUTTER, self._places[0].width)


_PAINTERS: Final[Mapping[str, Callable[[EventTable, Any, int, int, bool], list[Piece]]]] = by_kind(
    dict.fromkeys(FAILURES, EventTable.paint_failure) | {LOSS: EventTable.paint_loss}
)
"""What stands in a row, by the kind of its event: of the event, the row's number, how many failures it shows,
and whether the cursor is on it."""
