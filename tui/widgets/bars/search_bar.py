"""The line that a search is typed in, in place of the keys, as in a pager."""

from __future__ import annotations

from typing import Final

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input

from execwhy.tui.faults.contained import Contained
from execwhy.tui.model.query import QueryError, parse
from execwhy.tui.model.view.moment import is_moment
from execwhy.tui.widgets.bars.filter_bar import Line
from execwhy.tui.widgets.bars.filter_input import FilterInput
from execwhy.tui.widgets.painting.shorten import cells, keep_beginning

_QUIET: Final = 0.08
"""Seconds without a key after which the cursor goes to the first match."""

_PROMPT: Final = " search "

_LEAST: Final = 22
"""Cells left for typing, whatever is said beside it."""

_AROUND: Final = 3
"""Blanks around what is said."""

_HINT: Final = "a word, EACCES, why:noexec-mount; or a time: @21:50"


class SearchBar(Contained, Horizontal):
    """Takes a search and posts it; shown while it is typed."""

    class Typed(Message):
        """Search for this; while it is typed, an incomplete text is no mistake."""

        def __init__(self, text: str, *, is_final: bool) -> None:
            super().__init__()
            self.text = text
            self.is_final = is_final
            """Enter was pressed: every mistake is shown."""

    class Reverted(Message):
        """Escape: go back to the row from before."""

    class Left(Message):
        """Something else has the focus now: search for this as after Enter, or go back if it is no search."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._input = FilterInput("", placeholder=_HINT)
        self._said = Line("", "notice")
        self._problem = ""
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """Yield the prompt, the text, and what is wrong with it."""
        yield Line(_PROMPT, "key")
        yield self._input
        yield self._said

    def on_mount(self) -> None:
        """Hide until it is used."""
        self.display = False
        self._input.can_focus = False

    @property
    def is_editing(self) -> bool:
        """The operator is typing."""
        return self.display

    def on_resize(self) -> None:
        """Divide the line anew."""
        self._show_problem()

    def edit(self, text: str) -> None:
        """Begin to type, after this text."""
        self.say("", is_final=False)
        with self.prevent(Input.Changed):
            self._input.value = text
        self.display = True
        self._input.begin()
        self._input.cursor_position = len(text)

    def close(self) -> None:
        """End typing."""
        self._forget_timer()
        self._input.can_focus = False
        self.display = False

    def say(self, problem: str, *, is_final: bool) -> None:
        """Show what is wrong with the text, and mark the place.

        Until Enter, a text that only lacks its end is not wrong.

        Args:
            problem: One sentence, printable; "" if nothing is wrong.
            is_final: Enter was pressed.
        """
        place = _place(self._input.value) if problem else None
        if place is not None and not is_final and place[1] >= len(self._input.value.rstrip()):
            problem, place = "", None
        self._input.mark(place)
        self._problem = problem
        self._show_problem()

    def _show_problem(self) -> None:
        """Show the problem at the right, cut so that there is room to type."""
        room = self.size.width - cells(_PROMPT) - _LEAST - _AROUND
        text = "".join(run for run, _ in keep_beginning(self._problem, max(0, room)))
        self._said.text = f"  {text} " if text else ""

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self._forget_timer()
        self._timer = self.set_timer(_QUIET, lambda: self._post(is_final=False))

    @on(FilterInput.Keep)
    def _keep(self, event: FilterInput.Keep) -> None:
        event.stop()
        self._forget_timer()
        self._input.remember(self._input.value)
        self._post(is_final=True)

    @on(FilterInput.Revert)
    def _revert(self, event: FilterInput.Revert) -> None:
        event.stop()
        self._forget_timer()
        self.post_message(self.Reverted())

    def on_descendant_blur(self) -> None:
        """End the search after a click elsewhere; a terminal that loses the focus gives it back."""
        if self.is_editing and self.app.app_focus and self.screen.focused is not self._input:
            self._forget_timer()
            self.post_message(self.Left(self._input.value))

    def _post(self, *, is_final: bool) -> None:
        self.post_message(self.Typed(self._input.value, is_final=is_final))

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None


def _place(text: str) -> tuple[int, int]:
    """Return the wrong part of a text, from where to where; of a time, all of it."""
    try:
        if not is_moment(text):
            parse(text)
    except QueryError as error:
        return error.start, max(error.end, error.start + 1)
    return 0, len(text)
