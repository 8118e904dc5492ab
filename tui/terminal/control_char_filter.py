"""The last gate before the terminal: no control character passes, whatever widget painted it.

What comes from processes is escaped where it is made into text (``tui.model.text.printable``). This is for
what is not ours to escape, such as a text that was pasted into an input.
"""

from __future__ import annotations

from rich.cells import get_character_cell_size
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter


def _blank(character: str) -> str:
    """The character, or as many blanks as it would take cells: an escape sequence's ESC takes none."""
    return character if character.isprintable() else " " * get_character_cell_size(character)


class ControlCharFilter(LineFilter):
    """Replaces what cannot be printed in every line that is painted."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same segments with nothing but printable text in them."""
        if all(segment.text.isprintable() for segment in segments):
            return segments
        return [
            Segment("".join(map(_blank, segment.text)), segment.style, segment.control)
            for segment in segments
        ]
