"""The line of filter: what is typed, what it matches, and what is wrong with it."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.timer import Timer
from textual.widgets import Input

from execwhy.tui.faults.contained import Contained
from execwhy.tui.model.query import FIELDS, Query, QueryError, parse
from execwhy.tui.widgets.bars.filter_input import FilterInput
from execwhy.tui.widgets.painting.painted import Painted, in_role
from execwhy.tui.widgets.painting.shorten import cells, keep_beginning

_QUIET: Final = 0.08
"""Seconds without a key after which the filter is checked, so that not every letter is."""

_QUIET_NAME: Final = 0.4
"""The same if the last word may be a field's name: what follows then makes it another filter."""

_WORD_AT_END: Final = re.compile(r"(?<![^\s(!])[\w.]+$", re.ASCII)
"""A word at the end that may become a field's name."""

_OPERATOR_NEXT: Final = re.compile(r"\s*(?:[=<>:~]|![=:~])")

_HINT: Final = "filter: a word, ENOENT, uid:1000"


_LEAST: Final = 24
"""Cells left for typing."""

_AROUND: Final = 6
"""Cells of the prompt, and of the blanks around the text at the right."""


class Line(Painted):
    """One line of text in one role."""

    text: reactive[str] = reactive("", layout=True)
    """The text; printable."""

    def __init__(self, text: str, role: str) -> None:
        super().__init__()
        self._role = role
        self.set_reactive(Line.text, text)

    def get_content_width(self, container: Size, viewport: Size) -> int:
        """Return the width of the text."""
        return cells(self.text)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return one line."""
        return 1

    def render_line(self, y: int) -> Strip:
        """Paint the text."""
        return self.line([(self.text, self._role)], self.size.width)


class FilterBar(Contained, Horizontal):
    """Checks a filter while it is typed; the last one that was valid stays active."""

    class Changed(Message):
        """Another query is active."""

        def __init__(self, query: Query) -> None:
            super().__init__()
            self.query = query

    class Problem(Message):
        """What is typed is no filter, or without a problem, is one again."""

        def __init__(self, problem: QueryError | None) -> None:
            super().__init__()
            self.problem = problem

    class Closed(Message):
        """Editing has ended."""

        def __init__(self, *, is_left: bool) -> None:
            super().__init__()
            self.is_left = is_left
            """Something else has the focus already."""

    def __init__(self, query: Query, id: str | None = None) -> None:
        super().__init__(id=id)
        self.active = query
        self._before = query
        self._set_aside = ""
        self._input = FilterInput("", placeholder=_HINT)
        self._input.remember(query.text)
        self._input.can_focus = False
        self._shown = Line("", "muted")
        self._typing: Timer | None = None

    def compose(self) -> ComposeResult:
        """Yield the prompt, the text, and what it matches."""
        yield Line(" / ", "key")
        yield self._input
        yield self._shown

    def on_mount(self) -> None:
        """Show the first filter: the input takes a text only while the app runs."""
        with self.prevent(Input.Changed):
            self._input.value = self.active.text

    @property
    def is_editing(self) -> bool:
        """The operator is typing."""
        return self._input.can_focus

    def show_matches(self, whole: str, brief: str) -> None:
        """Show at the right what the filter matches, briefly if the filter itself needs the room."""
        needed = max(_LEAST, cells(self._input.value) + 1)
        text = whole if cells(whole) + needed + _AROUND <= self.size.width else brief
        self._shown.text = f"  {text} " if text else ""

    def edit(self, text: str | None = None) -> None:
        """Begin to type, in place of the filter if a text is given."""
        self._before = self.active
        self._input.begin()
        if text is not None:
            self._input.value = text
        self._input.cursor_position = len(self._input.value)

    def set_text(self, text: str) -> None:
        """Make another filter active without typing.

        Raises:
            QueryError: The text is no filter.
        """
        query = parse(text)
        self._input.remember(query.text)
        self._activate(query)
        with self.prevent(Input.Changed):
            self._input.value = text

    def toggle(self) -> None:
        """Clear the filter, or bring back the one that was cleared."""
        if self.active.text:
            self._set_aside = self.active.text
            self.set_text("")
        elif self._set_aside:
            self.set_text(self._set_aside)

    def on_click(self, event: events.Click) -> None:
        """Begin to type."""
        if not self.is_editing:
            self.edit()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._forget_typing()
        word = _WORD_AT_END.search(event.value)
        may_be_name = word is not None and any(name.startswith(word[0].lower()) for name in FIELDS)
        self._typing = self.set_timer(_QUIET_NAME if may_be_name else _QUIET, self._check)

    def _forget_typing(self) -> None:
        if self._typing is not None:
            self._typing.stop()
            self._typing = None

    def _check(self) -> None:
        try:
            query = parse(self._input.value)
        except QueryError as problem:
            self._input.mark((problem.start, max(problem.end, problem.start + 1)))
            self.post_message(self.Problem(problem))
            self._take_back_name()
            return
        self._clear_problem()
        self._activate(query)

    def _take_back_name(self) -> None:
        """Drop a word from the filter that became the name of a field while it was typed."""
        active = self.active.text
        word = _WORD_AT_END.search(active)
        typed = self._input.value
        if word is None or not typed.startswith(active) or not _OPERATOR_NEXT.match(typed, len(active)):
            return
        with suppress(QueryError):
            self._activate(parse(active[: word.start()]))

    @on(FilterInput.Keep)
    def _keep(self, event: FilterInput.Keep) -> None:
        """Keep the filter; one with a mistake stays open, so that Enter does not throw it away."""
        event.stop()
        self._forget_typing()
        self._check()
        try:
            query = parse(self._input.value)
        except QueryError:
            return
        self._input.remember(query.text)
        self._close()

    @on(FilterInput.Revert)
    def _revert(self, event: FilterInput.Revert) -> None:
        event.stop()
        self._go_back_to(self._before)
        self._close()

    def on_descendant_blur(self) -> None:
        """Keep the last valid filter after a click elsewhere; Up brings back what was typed.

        A terminal that loses the focus gives it back.
        """
        if not self.is_editing or not self.app.app_focus or self.screen.focused is self._input:
            return
        self._input.remember(self._input.value)
        with suppress(QueryError):
            self._activate(parse(self._input.value))
        self._go_back_to(self.active)
        self._close(is_left=True)

    def _go_back_to(self, query: Query) -> None:
        self._forget_typing()
        self._clear_problem()
        self._activate(query)
        with self.prevent(Input.Changed):
            self._input.value = query.text

    def _activate(self, query: Query) -> None:
        if query.text != self.active.text:
            self.active = query
            self.post_message(self.Changed(query))

    def _clear_problem(self) -> None:
        self._input.mark(None)
        self.post_message(self.Problem(None))

    def _close(self, *, is_left: bool = False) -> None:
        self._input.can_focus = False
        self.post_message(self.Closed(is_left=is_left))


class ProblemLine(Painted):
    """What is wrong with a filter, right below the place; it replaces the headings."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.display = False
        self._problem: QueryError | None = None

    def show(self, problem: QueryError | None) -> None:
        """Show a problem, or hide without one."""
        self._problem = problem
        self.display = problem is not None
        self.refresh()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return one line."""
        return 1

    def render_line(self, y: int) -> Strip:
        """Paint a caret below the place, then what was expected."""
        problem, width = self._problem, self.size.width
        if problem is None:
            return Strip.blank(width, self.base)
        message = in_role(keep_beginning(problem.message, width - 6), "notice")
        length = sum(cells(text) for text, _ in message)
        place = 3 + problem.start
        if place + 2 + length < width:
            return self.line([(" " * place, "plain"), ("^ ", "notice"), *message], width)
        return self.line([("   ", "plain"), *message], width)
