"""The headings above the table; that of the focused cell stands out."""

from __future__ import annotations

from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from execwhy.tui.widgets.events.columns import placed_columns
from execwhy.tui.widgets.painting.painted import Painted, Piece


class TableHeader(Painted):
    """A line of headings, as wide as the table, whose scrollbar takes the last cell."""

    focused_column: reactive[str] = reactive("")
    """The title of the column whose cell is focused, or ""."""

    with_host: reactive[bool] = reactive(False)
    """As in the table: a column has the host."""

    class Chosen(Message):
        """A heading was clicked: focus its cell."""

        def __init__(self, title: str) -> None:
            super().__init__()
            self.title = title

    def on_click(self, event: events.Click) -> None:
        """Choose the heading that was clicked."""
        for place in placed_columns(self.size.width - 1, self.with_host):
            if place.x <= event.x < place.x + place.width:
                self.post_message(self.Chosen(place.column.title))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return one line."""
        return 1

    def render_line(self, y: int) -> Strip:
        """Paint the titles, each aligned as its column is."""
        pieces: list[Piece] = []
        used = 0
        for place in placed_columns(self.size.width - 1, self.with_host):
            title = place.column.title[: place.width]
            padding = " " * (place.width - len(title))
            role = "strong" if title == self.focused_column else "label"
            pieces.append((" " * (place.x - used), "label"))
            if place.column.right:
                pieces += [(padding, "label"), (title, role)]
            else:
                pieces += [(title, role), (padding, "label")]
            used = place.x + place.width
        return self.line(pieces, self.size.width)
