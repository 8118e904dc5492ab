"""The line of keys; a message replaces it for a moment, so that it covers no row."""

from __future__ import annotations

from typing import Final

from rich.style import Style
from textual.geometry import Size
from textual.strip import Strip
from textual.timer import Timer

from execwhy.tui.widgets.painting.painted import Painted, Piece, in_role
from execwhy.tui.widgets.painting.shorten import Run, cells, wrapped

Hint = tuple[str, str, str]
"""A key, what it does, and the action that a click on it runs."""

_SECONDS: Final = 8.0
"""Long enough to read two lines."""

_MAX_LINES: Final = 3
"""Longer messages are cropped; none of the program's own is that long."""


class KeyBar(Painted):
    """Shows hints, or a message."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._hints: tuple[Hint, ...] = ()
        self._message: list[Run] = []
        self._role = "notice"
        self._timer: Timer | None = None

    def show(self, hints: tuple[Hint, ...]) -> None:
        """Show other hints."""
        if hints != self._hints:
            self._hints = hints
            self.refresh()

    def say(self, message: list[Run], role: str = "notice", *, stays: bool = False) -> None:
        """Show a message in place of the hints; an empty one brings them back.

        Args:
            message: Printable runs.
            role: How it is painted.
            stays: It stays until the next key.
        """
        if not message and not self._message:
            return
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        self._message, self._role = message, role
        if message and not stays:
            self._timer = self.set_timer(_SECONDS, lambda: self.say([]))
        self.refresh(layout=True)

    def _lines(self, width: int) -> list[list[Run]]:
        return wrapped(self._message, max(1, width - 2))[:_MAX_LINES]

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return one line, or more for a long message."""
        return len(self._lines(width)) if self._message else 1

    def render_line(self, y: int) -> Strip:
        """Paint the message, or as many hints as fit; the last one always stays."""
        width = self.size.width
        if self._message:
            lines = self._lines(width)
            return self.line(
                [(" ", "plain"), *in_role(lines[y] if y < len(lines) else [], self._role)], width
            )
        gap = "   " if width >= 100 else "  "
        hints = list(self._hints)
        while len(hints) > 2 and sum(cells(key + word) + 1 + len(gap) for key, word, _ in hints) > width:
            del hints[-3 if len(hints) > 3 else 0]
        strips = [self.line([(" ", "plain")], 1)]
        for key, word, action in hints:
            pieces: list[Piece] = [(key, "key"), (f" {word}", "muted")]
            size = sum(cells(text) for text, _ in pieces)
            click = Style.from_meta({"@click": f"app.{action}"}) if action else Style.null()
            strips += [self.line(pieces, size).apply_style(click), self.line([(gap, "plain")], len(gap))]
        strip = Strip.join(strips)
        return strip.adjust_cell_length(width, self.base)
