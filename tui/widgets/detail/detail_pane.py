"""The facts of one event, laid out for the width of the pane."""

from __future__ import annotations

from typing import ClassVar, Final

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from execwhy.tui.model.text.printable import pieces
from execwhy.tui.widgets.detail.fact import Fact, Section
from execwhy.tui.widgets.painting.painted import Painted, Piece, in_role
from execwhy.tui.widgets.painting.shorten import Run, cells, wrapped

_LABEL: Final = 13
"""Cells of the section titles: "Environment" is the longest."""

_GAP: Final = 3
"""Cells between two facts in one line."""

_LIST_FROM: Final = 16
"""Lines of the pane from which on each argument and variable gets a line of its own."""

Line = list[tuple[str, str, int]]
"""Text, role and the index of the fact it belongs to (-1: none)."""


class DetailPane(Painted, ScrollView, can_focus=True):
    """Shows sections of facts; the filter and the clipboard take the focused one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "fact(-1)", "Up", show=False),
        Binding("down,j", "fact(1)", "Down", show=False),
        Binding("left", "fact_beside(-1)", "Left", show=False),
        Binding("right", "fact_beside(1)", "Right", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home,g", "edge(0)", "First", show=False),
        Binding("end,G", "edge(1)", "Last", show=False),
    ]

    class FactFocused(Message):
        """Another fact is focused."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._sections: list[Section] = []
        self._facts: list[Fact] = []
        self._places: list[tuple[int, int]] = []
        self._lines: list[Line] = []
        self._focused = 0

    @property
    def focused_fact(self) -> Fact | None:
        """The fact under the cursor."""
        return self._facts[self._focused] if self._focused < len(self._facts) else None

    def show(self, sections: list[Section], *, same_event: bool) -> None:
        """Show other facts; of the same event, the cursor keeps its place."""
        if sections == self._sections:
            return
        self._sections = sections
        self._facts = [fact for section in sections for fact in section.facts]
        if not same_event:
            self._focused = 0
            self.scroll_target_y = self.scroll_y = 0
        self._focused = min(self._focused, max(0, len(self._facts) - 1))
        self._lay_out()

    def on_resize(self) -> None:
        """Lay the facts out anew."""
        self._lay_out()

    def _lay_out(self) -> None:
        width = self.scrollable_content_region.width - 1
        self._lines, self._places = [], []
        width = max(_LABEL + 8, width)
        listed = self.size.height >= _LIST_FROM
        for section in self._sections:
            self._lay_section(section, width, listed)
        self.virtual_size = Size(self.scrollable_content_region.width, len(self._lines))
        self.refresh()

    def _lay_section(self, section: Section, width: int, listed: bool) -> None:
        room = width - _LABEL
        line: Line = [(f" {section.title:<{_LABEL - 1}}", "label", -1)]
        used = 0
        first = len(self._places)
        for index, fact in enumerate(section.facts, first):
            parts = _parts(fact)
            size = sum(cells(text) for (text, _), _ in parts)
            new_line = fact.starts_line or (section.is_list and listed and index > first)
            if index > first and (new_line or used + _GAP + size > room):
                self._lines.append(line)
                line, used = [(" " * _LABEL, "label", -1)], 0
            elif index > first:
                line.append((" " * _GAP, "plain", -1))
                used += _GAP
            self._places.append((len(self._lines), used))
            for row, text_runs in enumerate(_wrap(parts, room, room - used)):
                if row:
                    self._lines.append(line)
                    line, used = [(" " * _LABEL, "label", -1)], 0
                for text, role in text_runs:
                    line.append((text, role, index))
                    used += cells(text)
        self._lines.append(line)

    def action_fact(self, step: int) -> None:
        """Focus the nearest fact in the next line with facts, above or below."""
        if not self._places:
            return
        line, x = self._places[self._focused]
        lines = sorted({place[0] for place in self._places})
        at = min(max(0, lines.index(line) + step), len(lines) - 1)
        inside = [index for index, place in enumerate(self._places) if place[0] == lines[at]]
        self._focus_fact(min(inside, key=lambda index: abs(self._places[index][1] - x)))

    def action_fact_beside(self, step: int) -> None:
        """Focus the next or the previous fact."""
        self._focus_fact(min(max(0, self._focused + step), max(0, len(self._facts) - 1)))

    def action_edge(self, end: int) -> None:
        """Focus the first or the last fact."""
        self._focus_fact(max(0, len(self._facts) - 1) if end else 0)

    def action_page(self, pages: int) -> None:
        """Scroll by pages, and focus the first fact on the screen."""
        top = round(self.scroll_y) + pages * max(1, self.size.height - 1)
        self._scroll(top)
        inside = [index for index, place in enumerate(self._places) if place[0] >= round(self.scroll_y)]
        if inside:
            self._focus_fact(inside[0])

    def _scroll(self, top: int) -> None:
        top = min(max(0, top), max(0, len(self._lines) - self.size.height))
        self.scroll_target_y = self.scroll_y = top

    def _focus_fact(self, index: int) -> None:
        if not self._places:
            return
        self._focused = index
        line = self._places[index][0]
        top = round(self.scroll_y)
        if line < top or index == 0:
            self._scroll(line)
        elif line >= top + self.size.height:
            self._scroll(line - self.size.height + 1)
        self.refresh()
        self.post_message(self.FactFocused())

    def on_click(self, event: events.Click) -> None:
        """Focus the fact that was clicked."""
        place = event.get_content_offset(self)
        if place is None:
            return
        row = round(self.scroll_y) + place.y
        x = 0
        for text, _, index in self._lines[row] if row < len(self._lines) else []:
            if x <= place.x < x + cells(text) and index >= 0:
                self._focus_fact(index)
            x += cells(text)

    def on_focus(self) -> None:
        """Mark the focused fact."""
        self.refresh()

    def on_blur(self) -> None:
        """Remove the mark."""
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Paint one line of the window."""
        row = round(self.scroll_y) + y
        if row >= len(self._lines):
            return Strip.blank(self.size.width, self.base)
        focused = self._focused if self.has_focus else -2
        return self.line(
            [(text, "cell" if index == focused else role) for text, role, index in self._lines[row]],
            self.size.width,
        )


def _parts(fact: Fact) -> list[tuple[Run, str]]:
    """Return a fact's label, text and note, each with its role."""
    parts: list[tuple[Run, str]] = []
    if fact.label:
        parts.append(((f"{fact.label} ", False), "muted"))
    parts += [(run, fact.role) for run in pieces(fact.text)]
    if fact.note:
        parts.append(((f" {fact.note}" if fact.text else fact.note, False), "muted"))
    return parts


def _wrap(parts: list[tuple[Run, str]], width: int, first: int) -> list[list[Piece]]:
    """Break parts into lines; each keeps its role."""
    lines: list[list[Piece]] = [[]]
    left = first
    for run, role in parts:
        for row, runs in enumerate(wrapped([run], width, left)):
            if row:
                lines.append([])
                left = width
            lines[-1] += in_role(runs, role)
            left -= sum(cells(text) for text, _ in runs)
    return lines
