"""A line to type a filter or a search in."""

from __future__ import annotations

from typing import ClassVar, Final

from rich.segment import Segment
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from execwhy.tui.faults.contained import Contained
from execwhy.tui.textual_private import PaintedInput
from execwhy.tui.widgets.painting.shorten import ELLIPSIS

_CONTROL_PICTURES: Final = 0x2400
"""U+2400 + n stands for the control character n; U+2421 for DEL."""


def _visible(character: str) -> str:
    """Return a character of one cell for one that must not reach the terminal."""
    code = ord(character)
    if character.isprintable():
        return character
    if code < 0x20:
        return chr(_CONTROL_PICTURES + code)
    return "\u2421" if code == 0x7F else "\ufffd"


MAX_TYPED: Final = 1_000
"""Characters that can be typed: ten lines of a wide terminal."""

_MAX_KEPT: Final = 100
"""Lines that Up brings back."""


class FilterInput(Contained, PaintedInput):
    """A one-line editor that marks a place and never shows a control character as it is."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"filter-input--problem"}

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "keep", "Keep", show=False),
        Binding("escape", "revert", "Revert", show=False),
        Binding("up", "recall(-1)", "Older", show=False),
        Binding("down", "recall(1)", "Newer", show=False),
        Binding("tab,shift+tab", "stay", "Stay", show=False),
    ]

    class Keep(Message):
        """Enter."""

    class Revert(Message):
        """Escape."""

    def __init__(self, value: str, *, placeholder: str) -> None:
        self._problem: tuple[int, int] | None = None  # setting the value, the base class asks for it
        self._kept: list[str] = []
        self._recalled = 0
        super().__init__(
            value, placeholder=placeholder, compact=True, select_on_focus=False, max_length=MAX_TYPED
        )
        self.cursor_blink = False

    def on_resize(self) -> None:
        """Keep the cursor in sight when the text beside takes or leaves room."""
        self.scroll_to_region(Region(self.cursor_cell, 0, 1, 1), force=True, animate=False)

    def render_line(self, y: int) -> Strip:
        """Paint the text, with an ellipsis if its beginning does not fit."""
        strip = super().render_line(y)
        if y or not self.scroll_offset.x or not self.value:
            return strip
        ellipsis = Strip([Segment(ELLIPSIS, self.rich_style)])
        return Strip.join([ellipsis, strip.crop(1, strip.cell_length)])

    def begin(self) -> None:
        """Take the focus; Up brings back the newest remembered line."""
        self._recalled = len(self._kept)
        self.can_focus = True
        self.screen.set_focus(self)

    def remember(self, text: str) -> None:
        """Keep a line for Up to bring back."""
        if text.strip() and text not in self._kept[-1:]:
            self._kept = [*self._kept, text][-_MAX_KEPT:]

    def mark(self, problem: tuple[int, int] | None) -> None:
        """Underline a part of the text; None takes the mark away."""
        if problem != self._problem:
            self._problem = problem
            self.refresh()

    @property
    def painted_value(self) -> Text:
        """The text to paint: as many characters as the value has, all harmless."""
        text = Text("".join(map(_visible, self.value)), no_wrap=True, overflow="ignore", end="")
        if self._problem is not None:
            start, end = self._problem
            text.stylize(self.get_component_rich_style("filter-input--problem", partial=True), start, end)
        return text

    def action_keep(self) -> None:
        """Keep what was typed."""
        self.post_message(self.Keep())

    def action_revert(self) -> None:
        """Go back to what was there before."""
        self.post_message(self.Revert())

    def action_recall(self, step: int) -> None:
        """Bring back an older line (-1), or a newer one (1)."""
        self._recalled = min(max(0, self._recalled + step), len(self._kept))
        self.value = self._kept[self._recalled] if self._recalled < len(self._kept) else ""
        self.cursor_position = len(self.value)

    def action_stay(self) -> None:
        """Do nothing: Tab must not leave an edit half done."""
