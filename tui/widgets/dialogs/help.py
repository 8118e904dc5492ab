"""Help: one screen of the keys that work here, the most useful first."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final, Literal

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.strip import Strip

from execwhy.bpf.events.source import Counters
from execwhy.tui.faults.contained import Dialog
from execwhy.tui.widgets.detail.loss_facts import equation
from execwhy.tui.widgets.painting.painted import Painted, Piece
from execwhy.tui.widgets.painting.shorten import cells, wrapped

Place = Literal["table", "detail", "groups"]
"""Where the help was opened: other keys work there."""

Row = tuple[str, str]
"""Keys and what they do; or a filter and what it means."""

_TABLE: Final[tuple[Row, ...]] = (
    ("↑ ↓ j k  PgUp PgDn  Home", "move; ^u ^d by half a page"),
    ("Enter  Tab", "the detail; into it and back"),
    ("/  c", "filter; clear it, and bring it back"),
    ("f  End", "follow the newest; moving up ends it"),
    ("Space", "freeze the view; capture goes on"),
    ("← →  + -", "focus a cell; filter for it, exclude it"),
    ("s  n N  @  m  M", "search, its matches; @21:50; mark, go to marks"),
    ("t", "groups: by path, error, cause, user, unit, …"),
    ("h  r", "show PATH searches that ended well; repeats"),
    ("y  w", "copy it, in four forms; write a file"),
    ("K", "apply uid, path in the kernel; again: end it"),
    ("? under WHY", "the cause is not certain: the detail says why"),
    ("F2  ^p  ^z  ^l  q", "mouse, palette, suspend, redraw, quit"),
)

_DETAIL: Final[tuple[Row, ...]] = (
    ("↑ ↓ ← →  PgUp PgDn", "from fact to fact; by a page"),
    ("Home  End", "the first fact, the last"),
    ("Esc  Tab", "back to the table"),
    ("+ -", "filter for the fact, exclude it"),
    ("y", "copy the fact, or all as JSON, command, report"),
    ("n N  M", "the next match, the one before; the next mark"),
    ("/  c", "filter; clear it, and bring it back"),
    ("Space", "freeze the view; capture goes on"),
    ("t", "groups: by path, error, cause, user, unit, …"),
    ("F2  ^p  ^z  ^l  q", "mouse, palette, suspend, redraw, quit"),
)

_GROUPS: Final[tuple[Row, ...]] = (
    ("↑ ↓ j k  PgUp PgDn", "move; the group that one is on keeps its line"),
    ("Enter", "the group's events; Esc comes back"),
    ("← →  1 to 8", "group by path, error, cause, user, …"),
    ("s", "sort by count in place of rate; again: by rate"),
    ("+ -", "filter for the group, exclude it"),
    ("/  c", "filter; clear it, and bring it back"),
    ("Space", "freeze the view; capture goes on"),
    ("y  w", "copy the group; write a file"),
    ("Esc  t", "back to the events"),
    ("? under WHY", "none of the group's causes is certain"),
    ("F2  ^p  ^z  ^l  q", "mouse, palette, suspend, redraw, quit"),
)

_KEYS: Final[dict[Place, tuple[Row, ...]]] = {"table": _TABLE, "detail": _DETAIL, "groups": _GROUPS}

FILTERS: Final[tuple[Row, ...]] = (
    ("nginx EACCES", "path, comm or argv has nginx, and the error"),
    ("user==www-data age<5m", "a name; the last five minutes"),
    ("path:/opt/** !comm:cron", "a glob; not; side by side is and"),
    ("binary.path:/opt/**", "the file itself, also if called as ./run.sh"),
    ("error in (ENOENT,EACCES)", "one of several"),
    ("uid:1000..1999 or uid==0", "a range; also or, and ( )"),
    ("why:missing-interpreter", "a cause; the manual (see --help) has all"),
)

_EVERY: Final = 1.0
"""Seconds between two looks at the counters."""

_MARGIN: Final = 25
"""Cells of the keys and the examples, so that their explanations are aligned."""


class HelpText(Painted):
    """The keys, examples of filters to take over, and the counters."""

    def __init__(self, place: Place, counted: Callable[[], tuple[Counters, int]]) -> None:
        super().__init__()
        self.chosen = 0
        """The example under the cursor: an index of ``FILTERS``."""
        self.top = 0
        """The first line shown, if a small terminal has no room for all."""
        self._keys = _KEYS[place]
        self._ask = counted
        self._counted = self._count()

    def on_mount(self) -> None:
        """Keep the counters up to date."""
        self.set_interval(_EVERY, self._renew)

    def _count(self) -> str:
        counters, evicted = self._ask()
        return equation(counters) + (f"; {evicted:,} evicted" if evicted else "")

    def _renew(self) -> None:
        if (counted := self._count()) != self._counted:
            self._counted = counted
            # It may take another line now.
            self.refresh(layout=True)
            self.call_after_refresh(self.on_resize)

    @property
    def first_example(self) -> int:
        """The line of the first example."""
        return len(self._keys) + 1

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return the lines of the keys, a heading, the examples and the counters."""
        return self._first_count + len(self._counts(width))

    @property
    def _first_count(self) -> int:
        return self.first_example + len(FILTERS)

    @property
    def _lines(self) -> int:
        return self._first_count + len(self._counts(self.size.width))

    def _counts(self, width: int) -> list[str]:
        """Return the counters, broken into lines of that width."""
        lines = wrapped([(self._counted, False)], width)
        return ["".join(text for text, _ in line).strip() for line in lines]

    def on_resize(self) -> None:
        """Say how to see the rest if not all is shown."""
        self._show_from(self.top)
        is_whole = self._lines <= self.size.height
        self.border_subtitle = "Esc closes" if is_whole else "PgUp PgDn scroll, Esc closes"

    def move(self, step: int) -> None:
        """Choose another example."""
        self.chosen = min(max(0, self.chosen + step), len(FILTERS) - 1)
        line = self.first_example + self.chosen
        self._show_from(min(line, max(self.top, line - self.size.height + 1)))

    def page(self, step: int) -> None:
        """Show the next page (1) or the one before (-1).

        If there is none, choose the last example or the first.
        """
        before = self.top
        self._show_from(self.top + step * max(1, self.size.height))
        if self.top == before:
            self.move(step * len(FILTERS))

    def _show_from(self, line: int) -> None:
        self.top = min(max(0, line), max(0, self._lines - self.size.height))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Paint one line."""
        y += self.top
        width, example = self.size.width, y - self.first_example
        if y < len(self._keys):
            keys, what = self._keys[y]
            return self.line([(f"{keys:>{_MARGIN}}", "key"), (f"   {what}", "plain")], width)
        if example == -1:
            heading = "filters, such as"
            said = "↑ ↓ and Enter take one over"
            return self.line([(f"{heading:>{_MARGIN}}", "label"), (f"   {said}", "label")], width)
        if example < len(FILTERS):
            text, what = FILTERS[example]
            over = self.role("cursor") if example == self.chosen else None
            pieces: list[Piece] = [(f"{text:>{_MARGIN}}", "name"), (f"   {what}", "muted")]
            if over is not None:
                pieces[0] = (f"▌{text:>{_MARGIN - 1}}", "name")
            return self.line(pieces, width, over)
        counts = self._counts(width)
        count = counts[y - self._first_count] if y - self._first_count < len(counts) else ""
        left = max(0, (width - cells(count)) // 2)
        return self.line([(" " * left, "plain"), (count, "label")], width)


class Help(Dialog[str | None]):
    """Shows the help; dismissed with the example to use as a filter, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1,space", "leave", "Close", show=False),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("enter", "take", "Take the filter over", show=False),
    ]

    def __init__(self, place: Place, counted: Callable[[], tuple[Counters, int]]) -> None:
        """Make the dialog.

        Args:
            place: Where it was opened.
            counted: Returns the counters, and how many events were evicted from memory.
        """
        super().__init__()
        self._text = HelpText(place, counted)
        self._text.id = "help-pane"
        self._place = place

    def compose(self) -> ComposeResult:
        """Yield one pane in the middle."""
        self._text.border_title = {"table": "execwhy", "detail": "the detail", "groups": "groups"}[
            self._place
        ]
        self._text.border_subtitle = "Esc closes"
        yield self._text

    def action_move(self, step: int) -> None:
        """Choose another example."""
        self._text.move(step)

    def action_page(self, step: int) -> None:
        """Show another page."""
        self._text.page(step)

    def action_take(self) -> None:
        """Use the chosen example as the filter."""
        self._leave(FILTERS[self._text.chosen][0])

    def action_leave(self) -> None:
        """Close it."""
        self._leave(None)

    def on_click(self, event: events.Click) -> None:
        """Use the example that was clicked as the filter; any other click closes the help."""
        place = event.get_content_offset(self._text)
        line = -1 if place is None else place.y + self._text.top - self._text.first_example
        self._leave(FILTERS[line][0] if 0 <= line < len(FILTERS) else None)

    def _leave(self, taken: str | None) -> None:
        if self.is_current:
            self.dismiss(taken)
