"""The two lines above the groups: what they are grouped by, and the headings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rich.style import Style
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from execwhy.tui.model.view.group_by import BY
from execwhy.tui.widgets.groups.group_columns import GroupColumn, group_places
from execwhy.tui.widgets.painting.painted import Painted, Piece
from execwhy.tui.widgets.painting.shorten import cells

_SHORT: Final = {"container": "ctr"}
"""For narrow windows."""


@dataclass(frozen=True, slots=True)
class Heading:
    """What the lines show.

    Attributes:
        by: The name of what the failures are grouped by.
        by_rate: The order is by rate; else by count.
        groups: How many groups there are.
        failures: How many failures are in them.
        progress: The part that has been counted, from 0 to 1.
    """

    by: str = "path"
    by_rate: bool = True
    groups: int = 0
    failures: int = 0
    progress: float = 1.0


class GroupHeader(Painted):
    """Two lines; it must be as wide as the table, whose scrollbar takes the last cell."""

    DEFAULT_CSS = """
    GroupHeader {
        height: 2;
        width: 100%;
    }
    """

    class Chosen(Message):
        """Group by this: a name of ``BY``."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    class Sorted(Message):
        """Sort by rate, or by count."""

        def __init__(self, *, by_rate: bool) -> None:
            super().__init__()
            self.by_rate = by_rate

    def __init__(self) -> None:
        super().__init__()
        self._heading = Heading()

    def show(self, heading: Heading) -> None:
        """Show another heading."""
        if heading != self._heading:
            self._heading = heading
            self.refresh()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return two lines."""
        return 2

    def render_line(self, y: int) -> Strip:
        """Paint what to group by, then the headings."""
        return self._titles() if y else self._choices()

    def _choices(self) -> Strip:
        width = self.size.width
        summaries = self._summaries()
        gap = 2 if width >= 112 else 1
        choices = [self._choice(number, name, gap) for number, name in enumerate(BY, 1)]
        left = self.line([(" by", "muted"), (" " * gap, "plain")], 3 + gap)
        used = left.cell_length + sum(choice.cell_length for choice in choices)
        fitting = next((text for text in summaries if used + cells(text) < width), "")
        space = width - used - len(fitting) - 1
        right = self.line(
            [(" " * space, "plain"), (fitting, "muted"), (" ", "plain")], space + len(fitting) + 1
        )
        return Strip.join([left, *choices, right]).crop(0, width)

    def _choice(self, number: int, name: str, gap: int) -> Strip:
        word = _SHORT.get(name, name) if self.size.width < 80 else name
        is_chosen = name == self._heading.by
        role = "cell" if is_chosen else "muted"
        pieces: list[Piece] = [(str(number), "key"), (" ", "plain"), (word, role), (" " * gap, "plain")]
        strip = self.line(pieces, 2 + len(word) + gap)
        return strip.apply_style(Style.from_meta({"@click": f"choose('{name}')"}))

    def action_choose(self, name: str) -> None:
        """Group by the name that was clicked."""
        self.post_message(self.Chosen(name))

    def on_click(self, event: events.Click) -> None:
        """Sort by the heading that was clicked, if that is possible."""
        for place in group_places(self.size.width - 1, self._heading.by) if event.y == 1 else ():
            is_there = place.x <= event.x < place.x + place.width
            if is_there and place.column in (GroupColumn.RATE, GroupColumn.COUNT):
                self.post_message(self.Sorted(by_rate=place.column is GroupColumn.RATE))

    def _summaries(self) -> tuple[str, ...]:
        """Return the number of groups, in ever shorter forms."""
        heading = self._heading
        if heading.progress < 1:
            return (f"counting {heading.progress:.0%}",)
        groups = f"{heading.groups:,} group{'' if heading.groups == 1 else 's'}"
        return f"{groups} of {heading.failures:,} failure{'' if heading.failures == 1 else 's'}", groups

    def _titles(self) -> Strip:
        pieces: list[Piece] = []
        used = 0
        sorted_by = GroupColumn.RATE if self._heading.by_rate else GroupColumn.COUNT
        for place in group_places(self.size.width - 1, self._heading.by):
            title = place.column.value
            if place.column is GroupColumn.MINUTE and place.width < len(title):
                title = "MINUTE"
            if place.column is GroupColumn.GROUP:
                # The last column has WHY as its heading.
                title = "CAUSE" if self._heading.by == "why" else self._heading.by.upper()
            is_sorted = place.column is sorted_by
            title = (("▾" if is_sorted else "") + title)[: place.width]
            padding = " " * (place.width - len(title))
            role = "strong" if is_sorted else "label"
            pieces.append((" " * (place.x - used), "label"))
            pieces += (
                [(padding, "label"), (title, role)] if place.is_right else [(title, role), (padding, "label")]
            )
            used = place.x + place.width
        return self.line(pieces, self.size.width)
