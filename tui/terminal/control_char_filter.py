"""The last filter before the terminal: it removes control characters from everything that widgets paint.

Strings from processes have already been escaped (``tui.model.text.printable``). This filter is for other
text, such as text pasted into an input.
"""

from __future__ import annotations

from rich.cells import get_character_cell_size
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter


def _blank(character: str) -> str:
    """Return a printable character unchanged, else as many blanks as it takes cells (none for ESC)."""
    return character if character.isprintable() else " " * get_character_cell_size(character)


class ControlCharFilter(LineFilter):
    """Replaces characters that are not printable in every painted line."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return the same segments with only printable text in them."""
        if all(segment.text.isprintable() for segment in segments):
            return segments
        return [
            Segment("".join(map(_blank, segment.text)), segment.style, segment.control)
            for segment in segments
        ]
