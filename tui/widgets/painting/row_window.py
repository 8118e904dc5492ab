"""What the tables share: a window onto rows, the cursor's keys, and the text below the rows."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from execwhy.tui.widgets.painting.painted import Painted
from execwhy.tui.widgets.painting.shorten import wrapped


class RowWindow(Painted, ScrollView, can_focus=True):
    """A table of one line a row; a subclass knows the rows and the cursor."""

    DEFAULT_CSS = """
    RowWindow {
        width: 100%;
        height: 1fr;
        overflow-x: hidden;
        overflow-y: scroll;
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
    ]

    empty: reactive[str] = reactive("")
    """The text below the rows, such as why there is none; printable."""

    _placing = False
    """The program scrolls, not the operator."""

    @property
    @abstractmethod
    def row_count(self) -> int:
        """How many rows there are."""

    @property
    @abstractmethod
    def cursor_row(self) -> int:
        """The row of the cursor; 0 if it is on none."""

    @abstractmethod
    def move_to(self, row: int) -> None:
        """Put the cursor on a row, or the nearest there is, and scroll to it."""

    def action_page(self, pages: float) -> None:
        """Move the cursor and the window by this many pages."""
        rows = round(pages * max(1, self.size.height - 1))
        self._scroll(self._top + rows)
        self.move_to(self.cursor_row + rows)

    def action_first(self) -> None:
        """Go to the first row."""
        self.move_to(0)

    def action_last(self) -> None:
        """Go to the last row."""
        self.move_to(self.row_count - 1)

    @property
    def _top(self) -> int:
        """The row in the first line."""
        return round(self.scroll_y)

    @property
    def _width(self) -> int:
        """Cells of a line; the scrollbar takes the widget's last one."""
        return self.scrollable_content_region.width

    def _resize(self) -> None:
        """Set the height to the number of rows."""
        self._placing = True
        self.virtual_size = Size(self._width, self.row_count)
        self._placing = False

    def _scroll(self, top: int) -> None:
        """Put a row in the first line, or the nearest there is, without an animation."""
        self._placing = True
        last = max(0, self.row_count - self.size.height)
        self.scroll_target_y = self.scroll_y = float(min(max(0, top), last))
        self._placing = False

    def _reveal(self, row: int) -> bool:
        """Scroll until a row is on the screen; return False if it is there already."""
        top, height = self._top, self.size.height
        if row < top:
            self._scroll(row)
        elif row >= top + height:
            self._scroll(row - height + 1)
        else:
            return False
        return True

    def _is_scrolled(self, old: float, new: float) -> bool:
        """Return whether the operator has scrolled, by a row at least."""
        return not self._placing and round(new) != round(old)

    def _line_below(self, row: int) -> Strip:
        """Paint a line below the rows: blank, or part of the text there."""
        y, width = row - self.row_count, self._width
        lines = wrapped([(self.empty, False)], max(10, min(width - 4, 72)))
        top = max(0, (self.size.height - self.row_count - len(lines)) // 3)
        if not self.empty or not top <= y < top + len(lines):
            return Strip.blank(width, self.base)
        text = "".join(part for part, _ in lines[y - top])
        return self.line([(" " * max(0, (width - len(text)) // 2), "muted"), (text, "muted")], width)
