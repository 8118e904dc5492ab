"""Help: one screen, in the order in which one needs it."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.geometry import Size
from textual.screen import ModalScreen
from textual.strip import Strip

from bpf.source import Counters
from tui.widgets.facts import equation
from tui.widgets.painted import Painted, Piece
from tui.widgets.shorten import cells

_KEYS: Final = (
    ("/", "filter: Enter keeps it, Esc reverts it"),
    ("c", "clear the filter; again: bring it back"),
    ("↑ ↓ j k  f  End G", "move; follow the newest; moving up ends it"),
    ("Space  p", "freeze the view; capture goes on"),
    ("Enter", "show or hide the detail"),
    ("Tab", "to the detail and back"),
    ("← →  +  -", "focus a cell; filter for it, exclude it"),
    ("t", "groups: by path, error, cause, user, unit, …"),
    ("h  r", "show PATH searches that ended well; unfold repeats"),
    ("w", "write what the filter shows: .jsonl .csv .svg"),
    ("y", "copy the row, or the focused fact"),
    ("K", "apply the filter in the kernel; again: end it"),
    ("PgUp PgDn ^u ^d  Home g", "page, half a page, the oldest"),
    ("F2  ^p  ^z  ^l  q", "mouse, palette, suspend, redraw, quit"),
)

_FILTERS: Final = (
    ("nginx EACCES", "path, comm or argv has nginx, and the error"),
    ("uid:1000..1999", "a range; user=www-data is a name"),
    ("path:/opt/**", "a glob; path~^/opt/ a regular expression"),
    ("error in (ENOENT,EACCES)", "one of several"),
    ("!comm:cron age<5m", "not; side by side: and; also or, ( )"),
)

_MARGIN: Final = 24
"""Cells of the keys and the examples: both columns meet at one line."""


class HelpText(Painted):
    """The keys, the filter language and the counters."""

    def __init__(self, counters: Counters, evicted: int) -> None:
        super().__init__()
        self._lines: list[list[Piece]] = [
            [(f"{key:>{_MARGIN}}", "key"), (f"   {what}", "plain")] for key, what in _KEYS
        ]
        self._lines.append([])
        self._lines += [[(f"{text:>{_MARGIN}}", "name"), (f"   {what}", "muted")] for text, what in _FILTERS]
        self._lines.append([])
        counted = equation(counters) + (f"; {evicted:,} evicted" if evicted else "")
        self._counted: list[Piece] = [(counted, "plain")]

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Every line."""
        return len(self._lines) + 1

    def render_line(self, y: int) -> Strip:
        """A line; the last one is the counters, in the middle."""
        width = self.size.width
        if y < len(self._lines):
            return self.line(self._lines[y], width)
        left = max(0, (width - sum(cells(text) for text, _ in self._counted)) // 2)
        return self.line([(" " * left, "plain"), *self._counted], width)


class Help(ModalScreen[None]):
    """Shows the help until a key closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1,enter,space", "app.pop_screen", "Close", show=False),
    ]

    def __init__(self, counters: Counters, evicted: int) -> None:
        super().__init__()
        self._counters = counters
        self._evicted = evicted

    def compose(self) -> ComposeResult:
        """One pane in the middle."""
        pane = Vertical(HelpText(self._counters, self._evicted), id="help-pane")
        pane.border_title = "execwhy"
        pane.border_subtitle = "Esc closes"
        yield pane

    def on_click(self) -> None:
        """A click closes it too."""
        self.dismiss()
