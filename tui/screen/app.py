"""The app: it starts and ends the screen, and hands each key to the part that it is for."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import ClassVar, Final

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.command import Provider
from textual.driver import Driver
from textual.screen import Screen

from execwhy.bpf.events.arrivals import Report
from execwhy.bpf.events.record import Diagnosis
from execwhy.bpf.events.source import EventSource, Stage
from execwhy.tui.arrivals import Looking
from execwhy.tui.faults.contained_app import ContainedApp
from execwhy.tui.model.history.store import History
from execwhy.tui.model.query import parse
from execwhy.tui.model.text.printable import pieces
from execwhy.tui.screen import sentences, themes
from execwhy.tui.screen.keys import BINDINGS, Commands
from execwhy.tui.screen.live.ticker import TICK
from execwhy.tui.screen.main_screen import MainScreen
from execwhy.tui.screen.parts import Parts
from execwhy.tui.terminal.control_char_filter import ControlCharFilter
from execwhy.tui.terminal.terminal import input_is_known, set_mouse
from execwhy.tui.textual_private import add_line_filter
from execwhy.tui.widgets.dialogs.help import Help, Place
from execwhy.tui.widgets.painting.painted import Painted

_QUIT_KEYS: Final = ("q", "ctrl+c")


class ExecwhyApp(ContainedApp):
    """Shows the failed execs of a source, live, and does what is typed.

    Attributes:
        failure: Why its source had failed when it was left, in one sentence; "" if it had not.
        parts: What the screen consists of.
        view: Which events are shown.
    """

    TITLE = "execwhy"
    CSS_PATH = "theme.tcss"
    ENABLE_COMMAND_PALETTE = True
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {Commands}
    BINDINGS: ClassVar[list[BindingType]] = BINDINGS

    def __init__(
        self,
        source: EventSource,
        *,
        history: History,
        query: str = "",
        show_secrets: bool = False,
        lookers: Looking | None = None,
        capture: str = "",
        theme: str | None = None,
        on_cause: Callable[[Diagnosis, int], None] | None = None,
        greets: bool = False,
    ) -> None:
        """Make the screen; nothing starts before ``run``.

        Args:
            source: Where events come from.
            history: Where they are kept.
            query: The filter to begin with.
            show_secrets: Nothing is masked.
            lookers: Look at each failure; None if nothing is to be diagnosed.
            capture: The filter that the kernel applies already.
            theme: The name of the theme to begin with; None goes by the environment.
            on_cause: Called with each cause that was found, and the number of its events.
            greets: Until the first key, the line of keys says what to do first.

        Raises:
            QueryError: ``query`` is no filter.
        """
        first = themes.first_theme(os.environ, theme)
        # Textual would turn the colours into greys, even those of a theme that was asked for.
        os.environ.pop("NO_COLOR", None)
        super().__init__(source, history, show_secrets=show_secrets)
        # Textual's own themes would show hues without the meaning that they have here.
        for name in self.available_themes:
            self.unregister_theme(name)
        for own in themes.THEMES.values():
            self.register_theme(own)
        self.theme = first
        add_line_filter(self, ControlCharFilter())
        self.failure = ""
        self.parts = Parts(
            self, self._leave, query=parse(query), lookers=lookers, capture=capture, on_cause=on_cause
        )
        self.view = self.parts.view
        self._has_mouse = True
        self._greets = greets

    def get_default_screen(self) -> Screen[None]:
        """Return the screen below all dialogs."""
        return MainScreen(self.parts)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Return the variables of theme.tcss that Textual's own themes lack."""
        return dict(themes.VARIABLES)

    def compose(self) -> ComposeResult:
        """State, filter, table and detail or groups, keys or search."""
        parts = self.parts
        yield parts.status_bar
        yield parts.filter_bar
        yield parts.body
        yield parts.groups
        yield parts.search_bar
        yield parts.key_bar

    def on_mount(self) -> None:
        """Start the source once there is a screen to show it on."""
        self.parts.groups.display = False
        self.parts.table.focus()
        self.source.start()
        self.parts.state.count()
        self.set_interval(TICK, self.parts.ticker.on_time)
        self.set_interval(1.0, self.parts.state.count)
        if self._greets:
            self.call_after_refresh(self._greet)

    def _greet(self) -> None:
        is_open = self.parts.body.detail_is_open
        greeting = sentences.GREETING_BESIDE_DETAIL if is_open else sentences.GREETING
        self.parts.key_bar.say(pieces(greeting), "plain", stays=True)

    async def on_event(self, event: events.Event) -> None:
        """Hold keys back until the one before is handled; a key or a click ends a message."""
        if isinstance(event, events.Key | events.Paste | events.MouseDown) and not event.is_forwarded:
            input_is_known(self)
            if isinstance(event, events.Key) and event.key in _QUIT_KEYS and self.parts.writing.quit_after():
                return
            if not isinstance(event, events.MouseDown) and self.parts.typed.holds(event):
                return
            self.parts.key_bar.say([])
        await super().on_event(event)

    def on_unmount(self) -> None:
        """Stop what runs beside the screen."""
        self.report_faults()
        self.parts.intake.arrivals.close()
        self.source.close()

    def untaken(self) -> list[Report]:
        """Return the events that have arrived and are not in the history yet."""
        return self.parts.intake.arrivals.untaken()

    def _leave(self) -> None:
        status = self.source.status()
        if status.stage is Stage.FAILED:
            self.failure = status.detail
            self.exit(return_code=1)
        else:
            self.exit()

    @on(Driver.SignalResume)
    def _resumed(self) -> None:
        """Paint all: the terminal's other screen is empty after a stop."""
        self.action_redraw()

    # Keys

    async def action_quit(self) -> None:
        """Leave; after a failure with exit status 1."""
        self._leave()

    def action_help(self) -> None:
        """Show the keys."""
        parts = self.parts
        place: Place = "table"
        if parts.groups.display:
            place = "groups"
        elif parts.body.detail.has_focus:
            place = "detail"

        def take(text: str | None) -> None:
            if text is not None:
                parts.edit_filter(text)

        self.push_screen(Help(place, lambda: (self.source.status().counters, self.history.evicted)), take)

    def action_filter(self) -> None:
        """Type a filter."""
        self.parts.edit_filter()

    def action_toggle_filter(self) -> None:
        """Clear the filter, or bring it back."""
        self.parts.filter_bar.toggle()

    def action_follow(self) -> None:
        """Follow the newest event, or stay."""
        self.parts.table.follow(not self.parts.table.following)

    def action_freeze(self) -> None:
        """Stop taking in what comes, or go on."""
        self.parts.control.freeze()
        self.parts.answer()

    def action_groups(self) -> None:
        """Show the groups, or the events again."""
        self.parts.show_groups(not self.parts.groups.display)

    def action_searches(self) -> None:
        """Show the PATH searches that have found their program, or hide them."""
        self.parts.say(sentences.searches(self.parts.control.toggle_found()))
        self.parts.state.show()

    def action_repeats(self) -> None:
        """Fold repeats of a failure, or give each its own row."""
        self.parts.say(sentences.repeats(self.parts.control.toggle_repeats()))
        self.parts.state.show()

    def action_detail(self) -> None:
        """Open or close the detail."""
        self.parts.body.open_detail(not self.parts.body.detail_is_open)

    def action_close_layer(self) -> None:
        """Close the top layer; the table is never closed."""
        self.parts.close_layer()

    def action_search(self, text: str) -> None:
        """Type what to look for among the rows, or which time to go to."""
        self.parts.begin_search(text)

    def action_match(self, step: int) -> None:
        """Go to the next match, or the one before."""
        self.parts.navigate(lambda: self.parts.navigation.step(step))

    def action_mark(self) -> None:
        """Mark the row, or remove its mark."""
        self.parts.navigate(self.parts.navigation.mark)

    def action_next_mark(self) -> None:
        """Go to the next mark."""
        self.parts.navigate(self.parts.navigation.next_mark)

    def action_other_pane(self, step: int) -> None:
        """Move the focus to the other pane, or to the next cell if there is none."""
        if not self.parts.body.other_pane():
            self.parts.table.action_cell(step)

    def action_add_cell(self, exclude: bool) -> None:
        """Filter for what the focused cell or fact says, or exclude it."""
        self.parts.filter_for_cell(exclude=exclude)

    def action_copy(self) -> None:
        """Ask in which form, and put it into the terminal's clipboard."""
        self.parts.copier.copy()

    def action_write(self) -> None:
        """Ask where to write what the filter shows."""
        self.parts.writing.ask()

    def action_capture(self) -> None:
        """Have the kernel apply the filter, or record everything again."""
        self.parts.say(self.parts.kernel_filter.toggle(self.parts.filter_bar.active))
        self.parts.state.show()

    def action_mouse(self) -> None:
        """Give the mouse to the terminal, for selecting text, or take it back."""
        if set_mouse(self, not self._has_mouse):
            self._has_mouse = not self._has_mouse
            self.parts.say(sentences.mouse(self._has_mouse))

    def action_redraw(self) -> None:
        """Paint everything anew, where something else wrote on the terminal."""
        self.faults.try_again()
        for widget in self.screen.query(Painted):
            widget.refresh()
        self.screen.refresh(layout=True)
