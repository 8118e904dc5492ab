"""Open the app on a scripted source and read the screen."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from textual.pilot import Pilot
from textual.widget import Widget

from execwhy.bpf.events.arrivals import Event, Report
from execwhy.bpf.events.record import Diagnosis, ExecFailure
from execwhy.tui.model.history.store import History
from execwhy.tui.screen.app import ExecwhyApp
from execwhy.tui.screen.parts import Parts
from execwhy.tui.textual_private import strips
from execwhy.tui.widgets.detail.detail_pane import DetailPane
from execwhy.tui.widgets.events.event_table import EventTable
from tests.looks import InlineLookers
from tests.ui.scripted_source import ScriptedSource

MOMENT = 0.2
"""Seconds within which an app on an idle machine reads its source at least once."""

LOOKS = 2
"""Number of looks after which the result of the first is on the screen, even on a busy machine."""

PATIENCE = 60.0


class Opened:
    """An app that runs."""

    def __init__(self, app: ExecwhyApp, source: ScriptedSource, pilot: Pilot[None]) -> None:
        self.app = app
        self.source = source
        self.pilot = pilot

    @property
    def parts(self) -> Parts:
        """Return the parts of the screen."""
        return self.app.parts

    @property
    def table(self) -> EventTable:
        """Return the table of events."""
        return self.app.parts.table

    @property
    def detail(self) -> DetailPane:
        """Return the facts of the event under the cursor."""
        return self.app.parts.body.detail

    async def give(self, *events: Report) -> None:
        """Let events come, and wait until they are on the screen."""
        self.source.give(*events)
        await self.settle()

    async def press(self, *keys: str) -> None:
        """Press keys one after the other."""
        await self.pilot.press(*keys)
        await self.settle()

    async def settle(self, looks: int = LOOKS) -> None:
        """Wait until the app has looked at its source and painted, however long that takes."""
        until = self.source.looks + looks
        await self.pilot.pause(MOMENT)
        deadline = time.monotonic() + PATIENCE
        while self.source.looks < until and self.app.is_running and not self.source.is_closed:
            assert time.monotonic() < deadline, f"the app looks no more:\n{self.text}"
            await self.pilot.pause(MOMENT / 10)
        await self.pilot.pause()

    def shows(self, rows: int) -> bool:
        """Return whether that many failed execs have a row."""
        return self.app.view.shown == rows

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, f"it never came to that:\n{self.text}"
            await self.settle(1)

    async def type(self, text: str) -> None:
        """Type a text."""
        names = {
            " ": "space", "/": "slash", ":": "colon", "=": "equals_sign", "_": "underscore", "@": "at",
        }  # fmt: skip
        await self.press(*(names.get(character, character) for character in text))

    def lines(self) -> list[str]:
        """Return the screen as lines of text without trailing blanks."""
        width, height = self.app.size
        shown = strips(self.app.screen)
        assert len(shown) == height
        assert all(strip.cell_length == width for strip in shown), "a line has the wrong width"
        return [strip.text.rstrip() for strip in shown]

    @property
    def text(self) -> str:
        """Return the text of the whole screen."""
        return "\n".join(self.lines())

    @property
    def status(self) -> str:
        """Return the status line."""
        return self.lines_of(self.parts.status_bar)[0]

    @property
    def filter(self) -> str:
        """Return the filter line."""
        return self.lines_of(self.parts.filter_bar)[0]

    @property
    def keys(self) -> str:
        """Return the line of keys, or what replaces it: the end of a message, a search."""
        return self.lines()[-1]

    @property
    def headings(self) -> str:
        """Return the line above the rows: headings, or what is wrong with the filter."""
        header, problem = self.parts.body.header, self.parts.body.problem
        return self.lines_of(header if header.display else problem)[0]

    @property
    def rows(self) -> list[str]:
        """Return the lines of the table, without its scrollbar."""
        return self.lines_of(self.table)

    def lines_of(self, widget: Widget) -> list[str]:
        """Return the lines of a widget without a scrollbar and without trailing blanks."""
        x, y, width, height = widget.scrollable_content_region
        cut = [strip.crop(x, x + width).text.rstrip() for strip in strips(self.app.screen)]
        return cut[y : y + height]

    def line_with(self, text: str) -> str:
        """Return the one line that holds a text."""
        found = [line for line in self.lines() if text in line]
        assert len(found) == 1, f"{len(found)} lines hold {text!r}:\n{self.text}"
        return found[0]


@asynccontextmanager
async def opened(
    events: Sequence[Event] = (),
    *,
    size: tuple[int, int] = (120, 40),
    source: ScriptedSource | None = None,
    history: History | None = None,
    query: str = "",
    show_secrets: bool = False,
    why: Callable[[ExecFailure], Diagnosis] | None = None,
    theme: str | None = None,
    may_fail: bool = False,
) -> AsyncIterator[Opened]:
    """Open the app; the events are on the screen when the block begins. No part fails unless it may."""
    source = source or ScriptedSource()
    source.give(*events)
    app = ExecwhyApp(
        source,
        history=History() if history is None else history,
        query=query,
        show_secrets=show_secrets,
        lookers=None if why is None else InlineLookers(why),
        theme=theme,
    )
    async with app.run_test(size=size) as pilot:
        screen = Opened(app, source, pilot)
        await screen.settle()
        yield screen
    assert may_fail or not app.faults.reports, "\n".join(app.faults.reports.values())
